"""Whatever a client sends, it gets a 4xx with one sentence, and the same process answers the next request."""

import gzip
import json
import socket
import struct
from typing import Any

import pytest

INFER = "/v2/models/bendable/infer"
PREDICT = "/v1/models/bendable:predict"
GOOD = {"name": "x", "shape": [1, 2], "datatype": "FP32", "data": [1, 2]}


def infer(**changes: Any) -> dict[str, Any]:
    return {"inputs": [GOOD | changes]}


def binary(size_bytes: int, tail: bytes, header_length: str | None = None) -> tuple[bytes, dict[str, str]]:
    tensor = {k: v for k, v in GOOD.items() if k != "data"} | {"parameters": {"binary_data_size": size_bytes}}
    head = json.dumps({"inputs": [tensor]}).encode()
    return head + tail, {"Inference-Header-Content-Length": header_length or str(len(head))}


BAD: dict[str, tuple[int, str, Any, dict[str, str]]] = {
    "empty body": (400, INFER, b"", {}),
    "not JSON": (400, INFER, b"{", {}),
    "not UTF-8": (400, INFER, b'{"inputs": "\xff"}', {}),
    "a list": (400, INFER, [], {}),
    "null": (400, INFER, b"null", {}),
    "nested without end": (400, INFER, b"[" * 100_000, {}),
    "no inputs": (400, INFER, {}, {}),
    "empty inputs": (400, INFER, {"inputs": []}, {}),
    "unknown input": (400, INFER, infer(name="z"), {}),
    "input twice": (400, INFER, {"inputs": [GOOD, GOOD]}, {}),
    "unknown datatype": (400, INFER, infer(datatype="FP128"), {}),
    "other datatype": (400, INFER, infer(datatype="INT64"), {}),
    "negative dimension": (400, INFER, infer(shape=[1, -2]), {}),
    "huge dimension": (400, INFER, infer(shape=[2**60, 2**60]), {}),
    "fractional dimension": (400, INFER, infer(shape=[1, 2.5]), {}),
    "too few elements": (400, INFER, infer(data=[1]), {}),
    "ragged data": (400, INFER, infer(data=[[1], [2, 3]]), {}),
    "text in numbers": (400, INFER, infer(data=["1", "2"]), {}),
    "null in numbers": (400, INFER, infer(data=[1, None]), {}),
    "number too large": (
        400,
        INFER,
        b'{"inputs": [{"name": "x", "shape": [1, 1], "datatype": "FP32", "data": [1e400]}]}',
        {},
    ),
    "wrong shape": (400, INFER, infer(shape=[2, 1]), {}),
    "unknown output": (400, INFER, infer() | {"outputs": [{"name": "z"}]}, {}),
    "id of control characters": (400, INFER, infer() | {"id": "a\r\nb"}, {}),
    "id of a million characters": (400, INFER, infer() | {"id": "a" * 1_000_000}, {}),
    "binary too short": (400, INFER, *binary(8, b"1234")),
    "binary too long": (400, INFER, *binary(8, b"123456789")),
    "binary of another size": (400, INFER, *binary(4, b"1234")),
    "header length beyond the body": (400, INFER, *binary(8, b"12345678", "99999999999")),
    "header length negative": (400, INFER, *binary(8, b"12345678", "-1")),
    "header length of words": (400, INFER, *binary(8, b"12345678", "many")),
    "refused by the model": (400, INFER, infer() | {"parameters": {"refuse": True}}, {}),
    "V1 without instances": (400, PREDICT, {"rows": [[1, 2]]}, {}),
    "V1 with no row": (400, PREDICT, {"instances": []}, {}),
    "V1 ragged": (400, PREDICT, {"instances": [[1, 2], [3]]}, {}),
    "unknown model": (404, "/v2/models/other/infer", infer(), {}),
    "unknown version": (404, "/v2/models/bendable/versions/7/infer", infer(), {}),
    "unknown V1 model": (404, "/v1/models/other:predict", {}, {}),
    "traversal": (404, "/v2/models/..%2f..%2fetc%2fpasswd/infer", infer(), {}),
    "unknown path": (404, "/v3/models", {}, {}),
    "wrong method": (405, "/v2/health/ready", {}, {}),
    "too large": (413, INFER, b"x" * 2_000_001, {}),
    "brotli": (415, INFER, infer(), {"Content-Encoding": "br"}),
    "broken gzip": (400, INFER, b"\x1f\x8b", {"Content-Encoding": "gzip"}),
    "gzip bomb": (413, INFER, gzip.compress(bytes(50_000_000)), {"Content-Encoding": "gzip"}),
}


@pytest.fixture(scope="module")
def server(start_shared: Any, bendable: Any) -> Any:
    return start_shared(bendable, max_body_bytes=2_000_000)


@pytest.mark.parametrize("name", BAD)
def test_a_bad_request_gets_a_sentence(server: Any, name: str) -> None:
    code, path, body, headers = BAD[name]
    reply = server.ask("POST", path, body, headers)
    assert reply.code == code, reply.body
    assert list(reply.json) == ["error"]
    assert 0 < len(reply.json["error"]) < 1000
    assert server.infer().code == 200


def raw(server: Any, *parts: bytes) -> bytes:
    with socket.create_connection(("127.0.0.1", server.port), timeout=10) as connection:
        for part in parts:
            connection.sendall(part)
        received = b""
        while chunk := connection.recv(65536):
            received += chunk
        return received


HEAD = f"POST {INFER} HTTP/1.1\r\nHost: x\r\n".encode()


@pytest.mark.parametrize(
    ("request_bytes", "code"),
    [
        (b"nonsense\r\n\r\n", b"400"),
        (b"GET /\x00 HTTP/1.1\r\n\r\n", b"400"),
        (HEAD + b"Content-Length: 5\r\nContent-Length: 6\r\n\r\nhello", b"400"),
        (HEAD + b"Content-Length: -5\r\n\r\n", b"400"),
        (HEAD + b"Content-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", b"400"),
        (HEAD + b"Transfer-Encoding: chunked\r\n\r\nzz\r\n", b"400"),
    ],
)
def test_what_is_not_http_is_refused_as_json(server: Any, request_bytes: bytes, code: bytes) -> None:
    answer = raw(server, request_bytes)
    assert answer.startswith(b"HTTP/1.1 " + code)
    assert b'{"error":' in answer
    assert server.infer().code == 200


def test_a_body_that_is_too_large_is_refused_before_it_is_sent(server: Any) -> None:
    answer = raw(server, HEAD + b"Content-Length: 10000000000\r\n\r\n")
    assert answer.startswith(b"HTTP/1.1 413")
    assert b"connection: close" in answer


def test_a_client_that_keeps_sending_too_much_still_reads_why(server: Any) -> None:
    chunk = b"%x\r\n" % 100_000 + b"x" * 100_000 + b"\r\n"
    answer = raw(server, HEAD + b"Transfer-Encoding: chunked\r\n\r\n", *[chunk] * 40, b"0\r\n\r\n")
    assert answer.startswith(b"HTTP/1.1 413")
    assert b"larger than the 2000000 bytes" in answer


def test_a_model_that_raises_is_a_500_without_a_trace(server: Any) -> None:
    reply = server.infer(**{"raise": True})
    assert reply.code == 500
    assert b"Traceback" not in reply.body
    assert server.infer().code == 200


def test_what_json_cant_carry_is_said_to_need_binary_outputs(server: Any) -> None:
    body, headers = binary(8, struct.pack("<2f", float("nan"), float("inf")))
    reply = server.ask("POST", INFER, body, headers)
    assert reply.code == 500  # JSON can't carry them, and the sentence names the way out
    assert "binary" in reply.json["error"]
