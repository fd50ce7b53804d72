"""Valid requests, each damaged in up to three ways by a seed: bytes, framing, headers or the document.

Whatever comes, the server answers with a code that is the client's fault (or 200), within seconds, and is afterwards
what it was before: its memory, threads and files don't grow. `make badinput` runs ten times as many.
"""

import asyncio
import gzip
import json
import os
import random
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from backports import zstd

CASES = int(os.environ.get("EVERWARM_BADINPUT_CASES", "2000"))
FIRST_CASE = int(os.environ.get("EVERWARM_BADINPUT_FIRST", "0"))
AT_ONCE = 48
ANSWER_SECONDS = 15.0
GROWTH_BYTES = 24 * 2**20

TENSOR = {"name": "x", "shape": [2, 2], "datatype": "FP32", "data": [1.5, 2, -3, 4e3]}
DOCUMENT = {"id": "a", "parameters": {"p": 1}, "inputs": [TENSOR], "outputs": [{"name": "y"}]}
BINARY = {k: v for k, v in TENSOR.items() if k != "data"} | {"parameters": {"binary_data_size": 16}}
NASTY: tuple[Any, ...] = (
    None, True, False, 0, -1, 1, 2**31, 2**63, 2**64, -(2**63) - 1, 1e308, 0.1, "", "x", "\0", "\u202e", "é" * 50,
    "a" * 3000, [], [[]], [[[[[[[]]]]]]], {}, {"a": {}}, [None], [1, "a"], [2**40, 2**40], "FP32", "BYTES",
    "INT8", "BOOL", "BF16",
)  # fmt: skip
LINES = (
    "Transfer-Encoding: chunked", "Transfer-Encoding: gzip, chunked", "Content-Length: 5", "Content-Length: 0",
    "Content-Encoding: gzip", "Content-Encoding: zstd", "Content-Encoding: deflate", "Content-Encoding: x",
    "Expect: 100-continue", "Connection: close", "Connection: Upgrade\r\nUpgrade: h2c",
    "Accept-Encoding: *;q=0, gzip;q=x",
    "Inference-Header-Content-Length: 3", "Inference-Header-Content-Length: 0", "Inference-Header-Content-Length: -3",
    "X-Request-Timeout-Ms: 0.0001", "X-Request-Timeout-Ms: x", "X-Envoy-Expected-Rq-Timeout-Ms: 1", "Grpc-Timeout: 1n",
    "X-Tenant-Id: \xff\xfe", "Traceparent: 00-" + "1" * 32 + "-" + "1" * 16 + "-01", "X-Request-Start: t=nan",
    "Host: a, b", "Authorization: Basic \xe9", "Content-Type: text/\xe9", "X-A: " + "a" * 70_000, "Range: bytes=0-",
)  # fmt: skip
Head = list[str]


def bases() -> list[tuple[Head, bytes]]:
    """Requests that are right."""
    document = json.dumps(DOCUMENT).encode()
    header = json.dumps(DOCUMENT | {"inputs": [BINARY]}).encode()
    infer, predict = "POST /v2/models/bendable/infer HTTP/1.1", "POST /v1/models/bendable:predict HTTP/1.1"
    posts = [
        ([infer], document),
        ([infer, f"Inference-Header-Content-Length: {len(header)}"], header + bytes(16)),
        (["POST /v2/models/bendable/versions/1/infer HTTP/1.1"], document),
        ([predict], b'{"instances": [[1, 2], [3, 4]]}'),
        ([predict], b'{"inputs": {"x": [[1, 2]]}}'),
        ([infer, "Content-Encoding: gzip"], gzip.compress(document)),
        ([infer, "Content-Encoding: zstd"], zstd.compress(document)),
        (["POST /v2/models/bendable/generate HTTP/1.1"], b'{"x": [[1, 2]], "temperature": 0.5}'),
        (["POST /v2/repository/index HTTP/1.1"], b'{"ready": true}'),
    ]
    made = [([*head, "Host: x", f"Content-Length: {len(body)}"], body) for head, body in posts]
    made.append(
        ([infer, "Host: x", "Transfer-Encoding: chunked"], b"%x\r\n%b\r\n0\r\n\r\n" % (len(document), document))
    )
    paths = (
        "/v2",
        "/v2/health/ready",
        "/v2/models/bendable",
        "/v2/models/bendable/versions/1/ready",
        "/v1/models",
        "/",
    )
    return made + [([f"GET {path} HTTP/1.1", "Host: x"], b"") for path in paths]


def damage_document(rng: random.Random, head: Head, body: bytes) -> tuple[Head, bytes]:
    """Another value, or none, somewhere in a JSON body; its length is right."""
    try:
        document = json.loads(body)
    except ValueError:
        return damage_bytes(rng, head, body)
    places: list[tuple[Any, Any]] = []
    stack = [document]
    while stack:
        node = stack.pop()
        if isinstance(node, (dict, list)):
            keys = list(node) if isinstance(node, dict) else range(len(node))
            places += [(node, key) for key in keys]
            stack += [node[key] for key in keys]
    if not places:
        return head, json.dumps(rng.choice(NASTY)).encode()
    node, key = rng.choice(places)
    if rng.random() < 0.2:
        del node[key]
    else:
        node[key] = rng.choice(NASTY)
    body = json.dumps(document).encode()
    return [line for line in head if not line.startswith("Content-Length")] + [f"Content-Length: {len(body)}"], body


def damage_bytes(rng: random.Random, head: Head, body: bytes) -> tuple[Head, bytes]:
    """Bytes of the body changed, cut out, doubled or put in; its length may be wrong then."""
    data = bytearray(body)
    at = rng.randrange(len(data) + 1)
    match rng.randrange(4):
        case 0:
            data[at : at + 1] = rng.randbytes(1)
        case 1:
            del data[at : at + rng.randrange(1, 20)]
        case 2:
            data[at:at] = data[at : at + rng.randrange(1, 50)]
        case _:
            data[at:at] = rng.randbytes(rng.randrange(1, 20))
    if rng.random() < 0.7:
        head = [f"Content-Length: {len(data)}" if line.startswith("Content-Length") else line for line in head]
    return head, bytes(data)


def damage_head(rng: random.Random, head: Head, body: bytes) -> tuple[Head, bytes]:
    """A header more, less, twice or with other characters."""
    head = list(head) or [""]
    at = rng.randrange(len(head))
    match rng.randrange(5):
        case 0 | 1:
            head.insert(rng.randrange(len(head)) + 1, rng.choice(LINES))
        case 2:
            del head[at]
        case 3:
            head.insert(at, head[at])
        case _:
            line = head[at]
            cut = rng.randrange(len(line) + 1)
            head[at] = line[:cut] + chr(rng.randrange(256)) + line[cut + rng.randrange(2) :]
    return head, body


def damage_length(rng: random.Random, head: Head, body: bytes) -> tuple[Head, bytes]:
    """A length that is not the body's."""
    wrong = rng.choice([0, 1, len(body) - 1, len(body) + 1, 2**31, 2**64, -1])
    return [f"Content-Length: {wrong}" if line.startswith("Content-Length") else line for line in head], body


DAMAGES: tuple[Callable[[random.Random, Head, bytes], tuple[Head, bytes]], ...] = (
    damage_document, damage_document, damage_document, damage_bytes, damage_head, damage_head, damage_length,
)  # fmt: skip
BASES = bases()


def case(number: int) -> bytes:
    """The bytes of a case."""
    rng = random.Random(number)
    head, body = rng.choice(BASES)
    for _ in range(rng.randrange(1, 4)):
        head, body = rng.choice(DAMAGES)(rng, head, body)
    return "\r\n".join(head).encode("latin-1") + b"\r\n\r\n" + body


def length_of(head: bytes) -> int | None:
    """The length of the body that a head announces."""
    lines = [line for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:")]
    return int(lines[0].split(b":")[1]) if lines else None


async def answered(port: int, sent: bytes) -> bytes:
    """The first answer, or all that was said until the server closed."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    received = b""
    try:
        async with asyncio.timeout(ANSWER_SECONDS):
            writer.write(sent)
            while chunk := await reader.read(65536):
                received += chunk
                head, separator, rest = received.partition(b"\r\n\r\n")
                length = length_of(head)
                if separator and length is not None and len(rest) >= length:
                    break
    except ConnectionError:
        pass
    finally:
        writer.close()
    return received


def wrong_with(answer: bytes) -> str | None:
    """What is wrong with an answer, if something is."""
    if not answer:
        return None  # closed without a word: after half a request, or reset while its rest was still on its way
    head, _, rest = answer.partition(b"\r\n\r\n")
    code = int(head.split()[1])
    if code == 100:
        return wrong_with(rest)
    if code == 200:
        return None
    try:
        sentence = json.loads(rest[: length_of(head)])["error"]
    except (ValueError, KeyError, TypeError):
        return f"{code} without a sentence: {rest[:200]!r}"
    # NaN or infinity as JSON; V1 by rows of a model whose outputs have none.
    unrepresentable = code == 500 and ("binary" in sentence or "by columns" in sentence)
    documented = code < 500 or code in {504, 505} or unrepresentable
    return None if documented else f"{code}: {sentence}"


async def run(port: int, numbers: range) -> tuple[Counter[bytes], dict[int, str]]:
    """The codes of some cases, and those that were answered wrongly."""
    found: dict[int, str] = {}
    codes: Counter[bytes] = Counter()
    waiting = iter(numbers)

    async def work() -> None:
        for number in waiting:
            try:
                answer = await answered(port, case(number))
            except TimeoutError:
                found[number] = "no answer and no end"
                continue
            codes[answer[9:12]] += 1
            if (wrong := wrong_with(answer)) is not None:
                found[number] = wrong

    await asyncio.gather(*(work() for _ in range(AT_ONCE)))
    return codes, found


def state(pid: int) -> dict[str, int]:
    """Memory, threads and open files of a process."""
    status = dict(line.split(":", 1) for line in Path(f"/proc/{pid}/status").read_text().splitlines())
    files = len(list(Path(f"/proc/{pid}/fd").iterdir()))
    return {"bytes": int(status["VmRSS"].split()[0]) * 1024, "threads": int(status["Threads"]), "files": files}


@pytest.mark.timeout(60 + CASES // 10)
def test_damaged_requests_are_answered_and_leave_nothing(start_server: Any, bendable: Any) -> None:
    server = start_server(bendable, max_body_bytes=200_000, head_seconds=0.5, body_seconds=0.5, idle_seconds=1.0)
    warm_up = range(FIRST_CASE, FIRST_CASE + CASES // 4)
    rest = range(warm_up.stop, FIRST_CASE + CASES)
    codes, found = asyncio.run(run(server.port, warm_up))
    server.until(lambda: server.metric("everwarm_in_flight_requests") == 0)
    before = state(server.process.pid)
    more_codes, more_found = asyncio.run(run(server.port, rest))
    server.until(lambda: server.metric("everwarm_in_flight_requests") == 0)
    server.until(lambda: state(server.process.pid)["files"] <= before["files"])
    after = state(server.process.pid)
    print(f"{CASES} cases, codes {dict(codes + more_codes)}, before {before}, after {after}")
    assert found | more_found == {}
    assert (codes + more_codes)[b"400"] > CASES // 4
    assert (codes + more_codes)[b"200"] > CASES // 50
    assert after["threads"] <= before["threads"] + 4  # of the executor, which has as many at most
    assert after["bytes"] <= before["bytes"] + GROWTH_BYTES
    reply = server.infer()
    assert (reply.code, reply.json["outputs"][0]["data"]) == (200, [2, 4])
