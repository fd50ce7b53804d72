"""One row for each class of bad input: the bytes of a request, and the code with which the same process answers.

The numbers are those of a list of 105 classes that was made from what broke other servers. 1 to 65 are HTTP's and stand
here; gRPC's (66 to 76) are in test_grpc_classes.py. 86 and 87 are in test_telemetry.py and here, 89 to 98 (storage,
archives, model files) in tests/unit/everwarm_server/artifacts and runtime, 104 and 105 in the operator's tests. What
this server does not offer can't be asked: JWT (77 to 85, 88), CloudEvents and Kafka (99 to 103).
"""

import contextlib
import gzip
import json
import socket
import zlib
from typing import Any, NamedTuple

import pytest
from backports import zstd

INFER = "/v2/models/bendable/infer"
TENSOR = {"name": "x", "shape": [1, 2], "datatype": "FP32", "data": [1, 2]}
MOST_BYTES = 2_000_000


def request(
    body: bytes = b"",
    *lines: str,
    method: str = "POST",
    path: str = INFER,
    length: int | None = None,
    ends: bool = True,
) -> bytes:
    head = [f"{method} {path} HTTP/1.1", "Host: x", *lines]
    if length is not None or not any(
        line.lower().startswith(("transfer-encoding", "content-length")) for line in lines
    ):
        head.append(f"Content-Length: {len(body) if length is None else length}")
    head += ["Connection: close"] if ends else []
    return "\r\n".join(head).encode("latin-1") + b"\r\n\r\n" + body


def infer(*lines: str, **changes: Any) -> bytes:
    return request(json.dumps({"inputs": [TENSOR | changes]}).encode(), *lines)


def raw_json(text: str) -> bytes:
    return request(text.encode("utf-8", "surrogatepass"))


def tensor_text(field: str, text: str) -> bytes:
    """A valid request but for one member of its tensor, which is written as it is here."""
    members = {name: json.dumps(value) for name, value in TENSOR.items()} | {field: text}
    return raw_json('{"inputs": [{' + ", ".join(f'"{name}": {value}' for name, value in members.items()) + "}]}")


def whole(**changes: Any) -> bytes:
    return request(json.dumps({"inputs": [TENSOR]} | changes).encode())


def binary(size: Any, tail: bytes, length: str | None = None, **changes: Any) -> bytes:
    tensor = {k: v for k, v in TENSOR.items() if k != "data"} | {"parameters": {"binary_data_size": size}} | changes
    head = json.dumps({"inputs": [tensor]}).encode()
    return request(head + tail, f"Inference-Header-Content-Length: {len(head) if length is None else length}")


def chunked(*chunks: bytes, lines: tuple[str, ...] = ()) -> bytes:
    return request(b"".join(chunks), "Transfer-Encoding: chunked", *lines)


GOOD = json.dumps({"inputs": [TENSOR]}).encode()
GOOD_CHUNK = b"%x\r\n%b\r\n" % (len(GOOD), GOOD)


class Row(NamedTuple):
    number: int
    sent: bytes
    codes: set[int]


ROWS = {
    "shape is not data's": Row(1, infer(shape=[1, 3]), {400}),
    "negative dimension": Row(2, infer(shape=[1, -2]), {400}),
    "dimension -1": Row(3, infer(shape=[-1, 2]), {400}),
    "dimension 0 with data": Row(4, infer(shape=[0, 2]), {400}),
    "product wraps to few": Row(5, infer(shape=[2**4, 2**60 + 2]), {400}),
    "product wraps": Row(6, infer(shape=[2**2, 2**60 + 2]), {400}),
    "product wraps to 0": Row(7, infer(shape=[2**32, 2**32], data=[]), {400}),
    "dimension of 1e12": Row(8, infer(shape=[10**12, 2]), {400}),
    "rank 100": Row(9, infer(shape=[1] * 99 + [2]), {400}),
    "bool dimension": Row(10, infer(shape=[True, 2]), {400}),
    "float dimension": Row(11, infer(shape=[1.0, 2]), {400}),
    "text dimension": Row(12, infer(shape=["1", 2]), {400}),
    "unknown datatype": Row(13, infer(datatype="FP31"), {400}),
    "INT8 of 300": Row(14, infer(datatype="INT8", data=[300, 1]), {400}),
    "UINT64 of -1": Row(15, infer(datatype="UINT64", data=[-1, 1]), {400}),
    "text in FP32": Row(16, infer(data=["a", "b"]), {400}),
    "null in data": Row(17, infer(data=[None, 1]), {400}),
    "ragged": Row(18, infer(data=[[1], [2, 3]]), {400}),
    "NaN literal": Row(19, tensor_text("data", "[NaN, 1]"), {400}),
    "1e400": Row(20, tensor_text("data", "[1e400, 1]"), {400}),
    "integer of 5000 digits": Row(21, tensor_text("data", f"[{'9' * 5000}, 1]"), {400}),
    "duplicate keys": Row(22, raw_json('{"inputs": [], "inputs": [' + json.dumps(TENSOR) + "]}"), {200, 400}),
    "no inputs": Row(23, whole(inputs=[]), {400}),
    "an input twice": Row(24, whole(inputs=[TENSOR, TENSOR]), {400}),
    "10000 inputs": Row(25, whole(inputs=[TENSOR | {"name": f"x{i}"} for i in range(10_000)]), {400}),
    "unknown input": Row(26, infer(name="y"), {400}),
    "an output twice": Row(27, whole(outputs=[{"name": "y"}, {"name": "y"}]), {200, 400}),
    "inputs are a number": Row(28, whole(inputs=7), {400}),
    "outputs are text": Row(28, whole(outputs="y"), {400}),
    "parameters are a list": Row(28, whole(parameters=[1]), {400}),
    "empty": Row(29, request(b""), {400}),
    "null": Row(29, raw_json("null"), {400}),
    "byte order mark": Row(29, request(b"\xef\xbb\xbf" + GOOD), {200, 400}),
    "not UTF-8": Row(30, request(GOOD.replace(b'"x"', b'"\xff"')), {400}),
    "lone surrogate": Row(31, whole(id="\ud800"), {200, 400}),
    "raw lone surrogate": Row(31, raw_json('{"id": "\ud800", "inputs": [' + json.dumps(TENSOR) + "]}"), {400}),
    "NUL in a name": Row(32, infer(name="x\0"), {400}),
    "depth of 100000": Row(33, raw_json("[" * 100_000), {400}),
    "depth of 2000 in data": Row(34, tensor_text("data", "[" * 2000 + "1, 2" + "]" * 2000), {400}),
    "id of 1.9 MB": Row(35, whole(id="a" * 1_900_000), {400}),
    "id of lines": Row(36, whole(id="a\r\nX-Injected: 1"), {400}),
    "100000 parameters": Row(37, whole(parameters={f"p{i}": 1 for i in range(100_000)}), {200, 400}),
    "length of BYTES beyond": Row(38, binary(8, b"\xff\xff\xff\xffabcd", datatype="BYTES"), {400}),
    "too few BYTES": Row(39, binary(5, b"\x01\0\0\0a", datatype="BYTES"), {400}),
    "header longer than the body": Row(40, binary(8, b"12345678", "99999"), {400}),
    "header negative": Row(41, binary(8, b"12345678", "-1"), {400}),
    "header not a number": Row(42, binary(8, b"12345678", "1e2"), {400}),
    "header enormous": Row(43, binary(8, b"12345678", "99999999999999999999"), {400}),
    "sizes are not the tail": Row(44, binary(8, b"1234567890"), {400}),
    "size negative": Row(44, binary(-8, b"12345678"), {400}),
    "size is text": Row(44, binary("8", b"12345678"), {400}),
    "binary short of its shape": Row(45, binary(4, b"1234"), {400}),
    "data and binary": Row(46, binary(8, b"12345678", data=[1, 2]), {400}),
    "length and chunks": Row(47, request(b"0\r\n\r\n", "Transfer-Encoding: chunked", length=5), {400}),
    "chunked, identity": Row(48, request(b"", "Transfer-Encoding: chunked, identity"), {400}),
    "length twice": Row(49, request(GOOD, f"Content-Length: {len(GOOD)}", length=5), {400}),
    "length with a sign": Row(49, request(GOOD, f"Content-Length: +{len(GOOD)}"), {400}),
    "chunk of 0x": Row(50, chunked(b"0x3\r\nabc\r\n0\r\n\r\n"), {400}),
    "chunk overflows": Row(50, chunked(b"ffffffffffffffffff\r\n"), {400}),
    "chunk negative": Row(50, chunked(b"-1\r\n"), {400}),
    "one-byte chunks": Row(51, chunked(b"1\r\n \r\n" * 100_000, b"0\r\n\r\n"), {400}),
    "bytes in chunks without end": Row(51, chunked(b"1\r\n \r\n" * 1_000_000), {400}),
    "chunks beyond the most bytes": Row(51, chunked(b"4e20\r\n%b\r\n" % bytes(20_000) * 150), {413}),
    "bare LF": Row(52, infer().replace(b"\r\n", b"\n"), {400}),
    "folded header": Row(52, request(GOOD, "X-A: b\r\n c"), {400}),
    "NUL in a header": Row(52, request(GOOD, "X-A: b\0c"), {400}),
    "space before a colon": Row(52, request(GOOD, "X-A : b"), {400}),
    "300 headers": Row(53, request(GOOD, *[f"X-{i}: 1" for i in range(300)]), {431}),
    "header of 1 MB": Row(53, request(GOOD, "X-A: " + "a" * 1_000_000), {431}),
    "absolute form": Row(54, request(GOOD, path=f"http://elsewhere{INFER}"), {200}),
    "absolute form, wrong port": Row(54, request(GOOD, path=f"http://x:99999999{INFER}"), {400}),
    "malformed Host": Row(54, infer("Host: a/v2/health/live?"), {200, 400}),
    "up by %2e": Row(55, request(GOOD, path="/v2/models/%2e%2e%2f%2e%2e%2fetc%2fpasswd/infer"), {404}),
    "up by %252e": Row(55, request(GOOD, path="/v2/models/%252e%252e%252f/infer"), {404}),
    "up by backslashes": Row(55, request(GOOD, path="/v2/models/..\\..\\etc/infer"), {400, 404}),
    "absolute name": Row(55, request(GOOD, path="/v2/models//etc/passwd/infer"), {404}),
    "trailing slash": Row(55, request(GOOD, path=f"{INFER}/"), {404}),
    "overlong UTF-8": Row(55, request(GOOD, path="/v2/models/%c0%ae%c0%ae/infer"), {404}),
    **{
        f"version {version}": Row(56, request(GOOD, path=f"/v2/models/bendable/versions/{version}/infer"), {404})
        for version in ("0", "-1", "01", "1e3", "999999999999999999999", "%00")
    },
    "gzip bomb": Row(57, request(gzip.compress(bytes(50_000_000)), "Content-Encoding: gzip"), {413}),
    "deflate bomb": Row(57, request(zlib.compress(bytes(50_000_000)), "Content-Encoding: deflate"), {413}),
    "zstd bomb": Row(57, request(zstd.compress(bytes(500_000_000)), "Content-Encoding: zstd"), {413}),
    "br": Row(57, request(GOOD, "Content-Encoding: br"), {415}),
    "gzip in gzip": Row(58, request(gzip.compress(gzip.compress(GOOD)), "Content-Encoding: gzip"), {400}),
    "two encodings": Row(58, request(gzip.compress(GOOD), "Content-Encoding: gzip, gzip"), {415}),
    "wrong checksum": Row(58, request(gzip.compress(GOOD)[:-5] + b"\0" * 5, "Content-Encoding: gzip"), {400}),
    "gzip breaks off": Row(58, request(gzip.compress(GOOD)[:-9], "Content-Encoding: gzip"), {400}),
    "zstd breaks off": Row(58, request(zstd.compress(GOOD)[:-4], "Content-Encoding: zstd"), {400}),
    "10 GB announced": Row(59, request(b"", length=10**10), {413}),
    "body that never comes": Row(60, request(b"{", length=100), {408}),
    "head that never ends": Row(60, b"POST /v2", {408}),
    "5000 ranges": Row(61, infer("Range: bytes=" + ",".join(f"{i}-{i}" for i in range(5000))), {200}),
    "TRACE": Row(62, request(b"", method="TRACE", path="/v2"), {405}),
    "CONNECT": Row(62, request(b"", method="CONNECT", path="example.com:443"), {405}),
    "PATCH": Row(62, request(GOOD, method="PATCH"), {405}),
    "unknown method": Row(62, request(GOOD, method="BREW"), {400}),
    "WebSocket": Row(
        63,
        request(
            b"", "Connection: Upgrade", "Upgrade: websocket", "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
            "Sec-WebSocket-Version: 13", method="GET", ends=False,
        ),
        {405},
    ),
    "h2c with a body": Row(63, request(GOOD, "Connection: Upgrade, HTTP2-Settings", "Upgrade: h2c", ends=False), {200}),
    "HTTP/2": Row(63, b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", {400}),
    "TLS": Row(63, b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", {400}),
    "two authorizations": Row(86, infer("Authorization: Bearer a", "Authorization: Bearer b"), {200}),
    "deadline is text": Row(0, infer("X-Request-Timeout-Ms: soon"), {400}),
    "deadline has passed": Row(0, infer("X-Request-Timeout-Ms: 0"), {504}),
    "trace context is garbage": Row(0, infer("traceparent: 00-zz"), {200}),
}  # fmt: skip


@pytest.fixture(scope="module")
def server(start_shared: Any, bendable: Any) -> Any:
    return start_shared(
        bendable, max_body_bytes=MOST_BYTES, head_seconds=0.6, body_seconds=0.6, idle_seconds=1.0, unread_seconds=2.0
    )


def exchange(server: Any, sent: bytes) -> bytes:
    """All that is answered, until the server closes the connection or has nothing more to say for its idle time."""
    received = b""
    with socket.create_connection(("127.0.0.1", server.port), timeout=15) as connection:
        with contextlib.suppress(ConnectionError):
            connection.sendall(sent)
        with contextlib.suppress(ConnectionError):
            while chunk := connection.recv(65536):
                received += chunk
    return received


@pytest.mark.parametrize("name", ROWS)
def test_it_is_answered_with_its_code_and_a_sentence(server: Any, name: str) -> None:
    row = ROWS[name]
    answer = exchange(server, row.sent)
    head, _, body = answer.partition(b"\r\n\r\n")
    assert int(head.split()[1]) in row.codes, answer[:500]
    if not head.startswith(b"HTTP/1.1 200"):
        assert list(json.loads(body)) == ["error"]
        assert 10 < len(json.loads(body)["error"]) < 1000
        assert b"content-type: application/json" in head
    reply = server.infer()
    assert (reply.code, reply.json["outputs"][0]["data"]) == (200, [2, 4])


def test_a_thousand_pipelined_requests_are_all_answered(server: Any) -> None:
    one = request(GOOD, ends=False)
    answer = exchange(server, one * 1000)  # class 64
    assert answer.count(b"HTTP/1.1 200 OK\r\n") == 1000


@pytest.mark.parametrize("cut", [20, 100, -1])
def test_clients_that_leave_at_any_time_leave_nothing(server: Any, cut: int) -> None:
    for _ in range(50):  # class 65
        with socket.create_connection(("127.0.0.1", server.port), timeout=10) as connection:
            connection.sendall(infer()[:cut])
    server.until(lambda: server.metric("everwarm_in_flight_requests") == 0)
    assert server.infer().code == 200
