import contextlib
import gzip
import json
import tracemalloc
import zlib
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from everwarm_server.dataplane import DataPlane
from everwarm_server.errors import InvalidInput, TooLarge
from everwarm_server.transport import compression
from everwarm_server.transport.compression import accepts_gzip, compressed, inflate
from everwarm_server.transport.http import Answer
from everwarm_server.transport.inference import Inference
from everwarm_server.transport.router import Router

INFER = "/v2/models/m/infer"


def body(count: int = 2) -> bytes:
    tensor = {"name": "x", "datatype": "FP32", "shape": [count], "data": [1.5] * count}
    return json.dumps({"inputs": [tensor]}).encode()


def bare_deflate(data: bytes) -> bytes:
    packer = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    return packer.compress(data) + packer.flush()


PACKERS = {"gzip": [gzip.compress], "deflate": [zlib.compress, bare_deflate]}
CASES = [(how, pack) for how, packers in PACKERS.items() for pack in packers]


@pytest.mark.parametrize(("how", "pack"), CASES)
@given(data=st.binary(max_size=3000))
def test_what_was_compressed_comes_back(how: str, pack: Any, data: bytes) -> None:
    assert inflate(pack(data), how, len(data)) == data


def test_members_of_gzip_follow_each_other() -> None:
    assert inflate(gzip.compress(b"one ") + gzip.compress(b"two"), "gzip", 7) == b"one two"
    with pytest.raises(TooLarge):
        inflate(gzip.compress(b"one ") + gzip.compress(b"two"), "gzip", 6)


@pytest.mark.parametrize(("how", "pack"), CASES)
def test_a_bomb_is_refused_within_its_bound(how: str, pack: Any) -> None:
    bomb = pack(bytes(200_000_000))
    assert len(bomb) < 250_000
    tracemalloc.start()
    with pytest.raises(TooLarge, match="inflates to more than the 1000000 bytes"):
        inflate(bomb, how, 1_000_000)
    peak_bytes = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak_bytes < 10_000_000


def test_a_bomb_of_empty_members_ends() -> None:
    assert inflate(gzip.compress(b"") * 10_000, "gzip", 10) == b""


@pytest.mark.parametrize(
    ("how", "data"),
    [
        ("gzip", b"not gzip"),
        ("gzip", gzip.compress(b"x" * 100)[:-9]),
        ("gzip", gzip.compress(b"x" * 100)[:-1] + b"\xff"),
        ("gzip", gzip.compress(b"x") + b"garbage"),
        ("gzip", zlib.compress(b"x")),
        ("deflate", zlib.compress(b"x" * 100)[:5]),
        ("deflate", b"\x78\x9c\xff\xff"),
    ],
)
def test_what_is_not_whole_is_refused(how: str, data: bytes) -> None:
    with pytest.raises(InvalidInput, match=r"can't be inflated|breaks off"):
        inflate(data, how, 1000)


@given(st.binary(max_size=200), st.sampled_from(["gzip", "deflate"]))
def test_any_bytes_are_inflated_or_refused(data: bytes, how: str) -> None:
    with contextlib.suppress(InvalidInput):
        assert len(inflate(data, how, 1000)) <= 1000


@pytest.mark.parametrize(
    ("header", "accepted"),
    [
        (b"gzip", True),
        (b"deflate, GZIP;q=0.5", True),
        (b"gzip;q=1.0, identity", True),
        (b"", False),
        (b"identity", False),
        (b"gzip;q=0", False),
        (b"gzip; q=0.000", False),
        (b"br, *", False),
    ],
)
def test_gzip_is_given_to_whom_it_is_named(header: bytes, accepted: bool) -> None:
    assert accepts_gzip({b"accept-encoding": header}) is accepted


def test_an_answer_keeps_its_code_and_says_what_it_is() -> None:
    headers = [(b"content-type", b"x"), (b"content-length", b"7")]
    answer = compressed(Answer(200, headers, [b"abc", memoryview(b"defg")]))
    assert gzip.decompress(bytes(answer.chunks[0])) == b"abcdefg"
    assert (answer.code, answer.headers) == (
        200,
        [
            (b"content-type", b"x"),
            (b"content-encoding", b"gzip"),
            (b"vary", b"accept-encoding"),
            (b"content-length", b"%d" % len(answer.chunks[0])),
        ],
    )


@pytest.mark.parametrize("count", [2, 5000])
@pytest.mark.parametrize(("how", "pack"), CASES)
async def test_a_compressed_request_is_answered(
    plane: DataPlane, client: Any, how: str, pack: Any, count: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(compression, "QUICK_BYTES", 60)
    router = Router(plane, Inference(plane, 100_000), None, metrics_here=True)
    reply = await client(router, "POST", INFER, pack(body(count)), headers={"content-encoding": how})
    assert (reply.code, reply.json["outputs"][0]["data"]) == (200, [3.0] * count)


@pytest.mark.parametrize(
    ("data", "encoding", "code"),
    [
        (gzip.compress(bytes(5_000_000)), "gzip", 413),
        (gzip.compress(body()), "gzip, gzip", 415),
        (body(), "br", 415),
        (body(), "gzip", 400),
        (body(), "Identity", 200),
        (b"", "gzip", 400),
    ],
)
async def test_what_can_not_be_inflated_gets_its_code(
    plane: DataPlane, client: Any, data: bytes, encoding: str, code: int
) -> None:
    router = Router(plane, Inference(plane, 100_000), None, metrics_here=True)
    reply = await client(router, "POST", INFER, data, headers={"content-encoding": encoding})
    assert reply.code == code
    if code == 415:
        assert reply.headers["accept-encoding"] == "gzip, deflate"


@pytest.mark.parametrize(("count", "accept", "packed"), [(2, "gzip", False), (500, "gzip", True), (500, "", False)])
async def test_large_answers_are_compressed_if_asked_for(
    plane: DataPlane, client: Any, count: int, accept: str, packed: bool
) -> None:
    router = Router(plane, Inference(plane, 100_000, compress_bytes=1000), None, metrics_here=True)
    reply = await client(router, "POST", INFER, body(count), headers={"accept-encoding": accept})
    assert reply.headers.get("content-encoding") == ("gzip" if packed else None)
    raw = gzip.decompress(reply.body) if packed else reply.body
    assert json.loads(raw)["outputs"][0]["data"] == [3.0] * count
    assert int(reply.headers["content-length"]) == len(reply.body)
