import contextlib
import gzip
import json
import random
import tracemalloc
import zlib
from typing import Any

import pytest
from backports import zstd
from hypothesis import given
from hypothesis import strategies as st

from everwarm_server.errors import InvalidInput, TooLarge
from everwarm_server.repository import Repository
from everwarm_server.transport import compression
from everwarm_server.transport.compression import accepted, compressed, inflate
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


PACKERS = {"gzip": [gzip.compress], "deflate": [zlib.compress, bare_deflate], "zstd": [zstd.compress]}
CASES = [(how, pack) for how, packers in PACKERS.items() for pack in packers]


@pytest.mark.parametrize(("how", "pack"), CASES)
@given(data=st.binary(max_size=3000))
def test_what_was_compressed_comes_back(how: str, pack: Any, data: bytes) -> None:
    assert inflate(pack(data), how, len(data)) == data


@pytest.mark.parametrize(("how", "pack"), [("gzip", gzip.compress), ("zstd", zstd.compress)])
def test_members_follow_each_other(how: str, pack: Any) -> None:
    assert inflate(pack(b"one ") + pack(b"two"), how, 7) == b"one two"
    with pytest.raises(TooLarge):
        inflate(pack(b"one ") + pack(b"two"), how, 6)


@pytest.mark.parametrize(("how", "pack"), CASES)
def test_bodies_of_many_pieces_come_back(how: str, pack: Any) -> None:
    data = random.Random(1).randbytes(300_000) + bytes(3_000_000)
    assert inflate(pack(data), how, len(data)) == data


def test_a_window_of_zstd_beyond_8_mib_is_refused() -> None:
    options = {zstd.CompressionParameter.window_log: 27, zstd.CompressionParameter.enable_long_distance_matching: 1}
    packer = zstd.ZstdCompressor(options=options)
    large = packer.compress(random.Random(1).randbytes(20_000_000)) + packer.flush()
    with pytest.raises(InvalidInput, match="can't be inflated"):
        inflate(large, "zstd", 30_000_000)


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


@pytest.mark.parametrize(("how", "pack"), [("gzip", gzip.compress), ("zstd", zstd.compress)])
def test_a_bomb_of_empty_members_is_refused(how: str, pack: Any) -> None:
    assert inflate(pack(b"") * 10_000, how, 10) == b""
    with pytest.raises(InvalidInput, match="more than 10000 parts"):
        inflate(pack(b"") * 2_000_000, how, 10)


@pytest.mark.parametrize(
    ("how", "data"),
    [
        ("gzip", b"not gzip"),
        ("gzip", gzip.compress(b"x" * 100)[:-9]),
        ("gzip", gzip.compress(b"x" * 100)[:-1] + b"\xff"),
        ("gzip", gzip.compress(b"x") + b"garbage"),
        ("gzip", zlib.compress(b"x")),
        ("deflate", zlib.compress(b"x" * 100)[:5]),
        ("zstd", b"not zstd"),
        ("zstd", zstd.compress(b"x" * 100)[:-1]),
        ("zstd", zstd.compress(b"x") + b"garbage"),
        ("zstd", gzip.compress(b"x")),
        ("deflate", b"\x78\x9c\xff\xff"),
    ],
)
def test_what_is_not_whole_is_refused(how: str, data: bytes) -> None:
    with pytest.raises(InvalidInput, match=r"can't be inflated|breaks off"):
        inflate(data, how, 1000)


@given(st.binary(max_size=200), st.sampled_from(["gzip", "deflate", "zstd"]))
def test_any_bytes_are_inflated_or_refused(data: bytes, how: str) -> None:
    with contextlib.suppress(InvalidInput):
        assert len(inflate(data, how, 1000)) <= 1000


@pytest.mark.parametrize(
    ("header", "how"),
    [
        (b"gzip", "gzip"),
        (b"deflate, GZIP;q=0.5", "gzip"),
        (b"gzip;q=1.0, identity", "gzip"),
        (b"gzip, deflate, br, zstd", "zstd"),
        (b"zstd;q=0.5, gzip", "gzip"),
        (b"zstd;q=0.5, gzip;q=0.4", "zstd"),
        (b"x-gzip", "gzip"),
        (b"", None),
        (b"identity", None),
        (b"identity, gzip;q=0.5", None),
        (b"identity;q=0.5, gzip;q=0.5", "gzip"),
        (b"gzip;q=0", None),
        (b"gzip; q=0.000", None),
        (b"gzip;q=much", None),
        (b"gzip;q=nan", None),
        (b"br, deflate", None),
        (b"br, *", "zstd"),
        (b"*;q=0", None),
        (b"*, zstd;q=0", "gzip"),
        (b",;q=1,;;", None),
    ],
)
def test_the_client_chooses_by_weights(header: bytes, how: str | None) -> None:
    assert accepted({b"accept-encoding": header}) == how


@pytest.mark.parametrize(("how", "unpack"), [("gzip", gzip.decompress), ("zstd", zstd.decompress)])
def test_an_answer_keeps_its_code_and_says_what_it_is(how: str, unpack: Any) -> None:
    headers = [(b"content-type", b"x"), (b"content-length", b"7")]
    answer = compressed(Answer(200, headers, [b"abc", memoryview(b"defg")]), how)
    assert unpack(bytes(answer.chunks[0])) == b"abcdefg"
    assert (answer.code, answer.headers) == (
        200,
        [
            (b"content-type", b"x"),
            (b"content-encoding", how.encode()),
            (b"vary", b"accept-encoding"),
            (b"content-length", b"%d" % len(answer.chunks[0])),
        ],
    )


@pytest.mark.parametrize("count", [2, 5000])
@pytest.mark.parametrize(("how", "pack"), CASES)
async def test_a_compressed_request_is_answered(
    repository: Repository, client: Any, how: str, pack: Any, count: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(compression, "QUICK_BYTES", 60)
    router = Router(repository, Inference(100_000), None, metrics_here=True)
    reply = await client(router, "POST", INFER, pack(body(count)), headers={"content-encoding": how})
    assert (reply.code, reply.json["outputs"][0]["data"]) == (200, [3.0] * count)


@pytest.mark.parametrize(
    ("data", "encoding", "code"),
    [
        (gzip.compress(bytes(5_000_000)), "gzip", 413),
        (zstd.compress(bytes(5_000_000)), "zstd", 413),
        (gzip.compress(body()), "gzip, gzip", 415),
        (body(), "br", 415),
        (body(), "gzip", 400),
        (body(), "Identity", 200),
        (b"", "gzip", 400),
    ],
)
async def test_what_can_not_be_inflated_gets_its_code(
    repository: Repository, client: Any, data: bytes, encoding: str, code: int
) -> None:
    router = Router(repository, Inference(100_000), None, metrics_here=True)
    reply = await client(router, "POST", INFER, data, headers={"content-encoding": encoding})
    assert reply.code == code
    if code == 415:
        assert reply.headers["accept-encoding"] == "gzip, deflate, zstd"


@pytest.mark.parametrize(("count", "accept", "packed"), [(2, "gzip", False), (500, "gzip", True), (500, "", False)])
async def test_large_answers_are_compressed_if_asked_for(
    repository: Repository, client: Any, count: int, accept: str, packed: bool
) -> None:
    router = Router(repository, Inference(100_000, compress_bytes=1000), None, metrics_here=True)
    reply = await client(router, "POST", INFER, body(count), headers={"accept-encoding": accept})
    assert reply.headers.get("content-encoding") == ("gzip" if packed else None)
    raw = gzip.decompress(reply.body) if packed else reply.body
    assert json.loads(raw)["outputs"][0]["data"] == [3.0] * count
    assert int(reply.headers["content-length"]) == len(reply.body)
