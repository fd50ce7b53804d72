"""Compressed bodies in, within a bound of their real size; answers compressed for clients that accept it.

gzip and deflate by zlib; zstd by the module that Python has from 3.14 on, whose backport is imported when it is first
needed. zstd's windows are bounded to 8 MiB, as RFC 9659 says. Of what is accepted for answers, zstd is preferred: it
takes a third of gzip's time.
"""

import sys
import zlib
from collections.abc import Callable, Iterator
from functools import lru_cache
from typing import Any, Final, Protocol

from everwarm_server.errors import InvalidInput, TooLarge
from everwarm_server.protocol.v2_json import Body
from everwarm_server.transport.http import Answer, Head, Refused

QUICK_BYTES: Final = 4096  # of gzip or deflate: they inflate to a thousand times as many at most, which takes 10 ms
MOST_MEMBERS: Final = 10_000  # one after the other in a body; each costs time, however empty
_OFFERED: Final = (b"accept-encoding", b"gzip, deflate, zstd")
_GZIP: Final = 16 + zlib.MAX_WBITS
_STEP_BYTES: Final = 2**20  # of what comes out
_PIECE_BYTES: Final = 2**16  # of what goes in
_LEVEL: Final = 1  # the highest of gzip takes ten times as long for a fifth less
_ZSTD_WINDOW_LOG: Final = 23
_NAMES: Final = {b"gzip": "gzip", b"x-gzip": "gzip", b"deflate": "deflate", b"zstd": "zstd"}
_BY_PREFERENCE: Final = ("zstd", "gzip")


class _Member(Protocol):
    """One stream of a body, of which there may be several."""

    @property
    def eof(self) -> bool:
        """Whether it is whole."""

    @property
    def unused_data(self) -> bytes:
        """What came behind its end."""

    def decompress(self, data: Any, max_length: int, /) -> bytes:
        """Some of what it holds."""


def encoding(head: Head) -> str | None:
    """How a body is compressed: gzip, deflate or zstd; None if it is not.

    Raises:
        Refused: by something else.
    """
    named = head.get(b"content-encoding", b"").strip().lower()
    if named in {b"", b"identity"}:
        return None
    if named in _NAMES:
        return _NAMES[named]
    shown = named[:32].decode("latin-1")
    sentence = f"The body is encoded as {shown!r}; send it as gzip, deflate or zstd, or uncompressed."
    raise Refused(415, sentence, [_OFFERED])


def is_quick(body: Body, how: str) -> bool:
    """Whether inflating it holds up the event loop for 10 ms at most; zstd's ratio has no bound."""
    return how != "zstd" and len(body) <= QUICK_BYTES


def inflate(body: Body, how: str, max_bytes: int) -> bytes:
    """The body that was compressed.

    Args:
        body: as it came.
        how: gzip, deflate or zstd; see encoding().
        max_bytes: the most that it may become. No more memory than that and a step is used to find out.

    Raises:
        TooLarge: it is larger.
        InvalidInput: it is not of that encoding, or breaks off.
    """
    parts: list[bytes] = []
    size = 0
    for part in _inflated(memoryview(body), how):
        size += len(part)
        if size > max_bytes:
            raise TooLarge(f"The body inflates to more than the {max_bytes} bytes that this server accepts.")
        parts.append(part)
    return b"".join(parts)


def _inflated(body: memoryview, how: str) -> Iterator[bytes]:
    opener, errors = _opener(how)
    members = 0
    while body:
        members += 1
        if members > MOST_MEMBERS:
            raise InvalidInput(f"The body is {how} of more than {MOST_MEMBERS} parts; send it as one.")
        member = opener(body)
        while not member.eof:
            wants_more = getattr(member, "needs_input", True)  # zstd keeps what it was given; zlib gives it back
            piece = body[:_PIECE_BYTES] if wants_more else body[:0]
            try:
                part = member.decompress(piece, _STEP_BYTES)
            except errors:
                raise InvalidInput(f"The body is said to be {how}, but it can't be inflated.") from None
            left_bytes = len(member.unused_data) + len(getattr(member, "unconsumed_tail", b""))
            body = body[len(piece) - left_bytes :]
            if not part and not piece and wants_more:
                raise InvalidInput(f"The body is said to be {how}, but it breaks off.")
            yield part


def _opener(how: str) -> tuple[Callable[[memoryview], _Member], type[Exception]]:
    """What begins to inflate a body, and what it raises."""
    if how == "zstd":
        zstd = _zstd()
        options = {zstd.DecompressionParameter.window_log_max: _ZSTD_WINDOW_LOG}
        return lambda _: zstd.ZstdDecompressor(options=options), zstd.ZstdError
    if how == "gzip":
        return lambda _: zlib.decompressobj(_GZIP), zlib.error
    return lambda body: zlib.decompressobj(_wbits(body)), zlib.error


def _zstd() -> Any:
    if sys.version_info >= (3, 14):
        from compression import zstd
    else:
        from backports import zstd
    return zstd


def _wbits(body: memoryview) -> int:
    """Deflate means zlib's format (RFC 9110), but some clients send it without zlib's two bytes in front."""
    is_zlib = len(body) >= 2 and body[0] & 0x0F == zlib.DEFLATED and int.from_bytes(body[:2]) % 31 == 0
    return zlib.MAX_WBITS if is_zlib else -zlib.MAX_WBITS


def accepted(head: Head) -> str | None:
    """How to compress an answer, by Accept-Encoding (RFC 9110, 12.5.3): zstd or gzip; None: not at all.

    The one of the highest weight, unless the client would rather have it uncompressed.
    """
    header = head.get(b"accept-encoding")
    return None if header is None else _best(header)


@lru_cache(maxsize=64)  # clients of a kind send the same
def _best(header: bytes) -> str | None:
    weights: dict[str, float] = {}
    for item in header.lower().split(b","):
        name, *parameters = (part.strip() for part in item.split(b";"))
        weights[_NAMES.get(name, name.decode("latin-1"))] = _weight(parameters)
    others = weights.get("*", 0.0)
    best = max(_BY_PREFERENCE, key=lambda name: weights.get(name, others))
    weight = weights.get(best, others)
    return best if weight > 0 and weight >= weights.get("identity", 0.0) else None


def _weight(parameters: list[bytes]) -> float:
    for parameter in parameters:
        name, _, value = parameter.partition(b"=")
        if name.strip() == b"q":
            try:
                return min(max(float(value), 0.0), 1.0)
            except ValueError:
                return 0.0
    return 1.0


def compressed(answer: Answer, how: str) -> Answer:
    """The same answer as zstd or gzip."""
    packer = _zstd().ZstdCompressor(level=_LEVEL) if how == "zstd" else zlib.compressobj(_LEVEL, zlib.DEFLATED, _GZIP)
    body = b"".join([*[packer.compress(chunk) for chunk in answer.chunks], packer.flush()])
    headers = [(name, value) for name, value in answer.headers if name != b"content-length"]
    headers += [
        (b"content-encoding", how.encode()), (b"vary", b"accept-encoding"), (b"content-length", b"%d" % len(body)),
    ]  # fmt: skip
    return Answer(answer.code, headers, [body])
