"""Compressed bodies in, within a bound of their real size; answers compressed for clients that accept it.

gzip and deflate, by zlib of the standard library. zstd would be a package of its own for what few clients send.
"""

import zlib
from collections.abc import Iterator
from typing import Final

from everwarm_server.errors import InvalidInput, TooLarge
from everwarm_server.protocol.v2_json import Body
from everwarm_server.transport.http import Answer, Head, Refused

# Of compressed bytes: this many inflate to a thousand times as many at most, which takes 10 ms.
QUICK_BYTES: Final = 4096
_OFFERED: Final = (b"accept-encoding", b"gzip, deflate")
_GZIP: Final = 16 + zlib.MAX_WBITS
_STEP_BYTES: Final = 2**20
_LEVEL: Final = 1  # the highest takes ten times as long for a fifth less


def encoding(head: Head) -> str | None:
    """How a body is compressed: gzip or deflate; None if it is not.

    Raises:
        Refused: by something else.
    """
    named = head.get(b"content-encoding", b"").strip().lower()
    if named in {b"", b"identity"}:
        return None
    if named in {b"gzip", b"x-gzip"}:
        return "gzip"
    if named == b"deflate":
        return "deflate"
    shown = named[:32].decode("latin-1")
    raise Refused(415, f"The body is encoded as {shown!r}; send it as gzip, as deflate or uncompressed.", [_OFFERED])


def inflate(body: Body, how: str, max_bytes: int) -> bytes:
    """The body that was compressed.

    Args:
        body: as it came.
        how: gzip or deflate; see encoding().
        max_bytes: the most that it may become. No more memory than that and a step is used to find out.

    Raises:
        TooLarge: it is larger.
        InvalidInput: it is not of that encoding, or breaks off.
    """
    parts: list[bytes] = []
    size = 0
    try:
        for part in _inflated(bytes(body), how):
            size += len(part)
            if size > max_bytes:
                raise TooLarge(f"The body inflates to more than the {max_bytes} bytes that this server accepts.")
            parts.append(part)
    except zlib.error:
        raise InvalidInput(f"The body is said to be {how}, but it can't be inflated.") from None
    return b"".join(parts)


def _inflated(body: bytes, how: str) -> Iterator[bytes]:
    left = body
    while left:  # gzip may have several members, one after the other
        member = zlib.decompressobj(_GZIP if how == "gzip" else _wbits(left))
        while not member.eof:
            part = member.decompress(left, _STEP_BYTES)
            yield part
            left = member.unconsumed_tail
            if not part and not left and not member.eof:
                raise InvalidInput(f"The body is said to be {how}, but it breaks off.")
        left = member.unused_data


def _wbits(body: bytes) -> int:
    """Deflate means zlib's format (RFC 9110), but some clients send it without zlib's two bytes in front."""
    is_zlib = len(body) >= 2 and body[0] & 0x0F == zlib.DEFLATED and int.from_bytes(body[:2]) % 31 == 0
    return zlib.MAX_WBITS if is_zlib else -zlib.MAX_WBITS


def accepts_gzip(head: Head) -> bool:
    """Whether the client names gzip in Accept-Encoding, and not to refuse it."""
    for item in head.get(b"accept-encoding", b"").lower().split(b","):
        name, _, parameter = item.partition(b";")
        if name.strip() in {b"gzip", b"x-gzip"}:
            weight = parameter.strip().removeprefix(b"q=").strip()
            return not parameter or weight.strip(b"0.") != b""
    return False


def compressed(answer: Answer) -> Answer:
    """The same answer as gzip."""
    packer = zlib.compressobj(_LEVEL, zlib.DEFLATED, _GZIP)
    body = b"".join([*[packer.compress(chunk) for chunk in answer.chunks], packer.flush()])
    headers = [(name, value) for name, value in answer.headers if name != b"content-length"]
    headers += [(b"content-encoding", b"gzip"), (b"vary", b"accept-encoding"), (b"content-length", b"%d" % len(body))]
    return Answer(answer.code, headers, [body])
