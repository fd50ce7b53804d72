"""The limit: the V2 protocol with nothing around it. No checks, no queue, no metrics, the model on the event loop."""

import sys
from collections.abc import Awaitable, Callable
from typing import Any

import models
import numpy as np
import orjson
import uvicorn

_FUNCTIONS = {f"/v2/models/{name}/infer": (name, function) for name, function in models.MODELS.items()}
_HEADER_LENGTH = b"inference-header-content-length"
_JSON = (b"content-type", b"application/json")
_BINARY = (b"content-type", b"application/octet-stream")


async def app(
    scope: dict[str, Any],
    receive: Callable[[], Awaitable[dict[str, Any]]],
    send: Callable[[dict[str, Any]], Awaitable[None]],
) -> None:
    """Answer one request."""
    chunks = []
    more = scope["method"] == "POST"
    while more:
        message = await receive()
        chunks.append(message["body"])
        more = message["more_body"]
    body = chunks[0] if len(chunks) == 1 else b"".join(chunks)
    name, function = _FUNCTIONS.get(scope["path"], ("", None))
    headers, answer = [_JSON], b"{}"
    if function is not None:
        length = next((int(value) for key, value in scope["headers"] if key == _HEADER_LENGTH), None)
        headers, answer = infer(name, function, body, length)
    headers.append((b"content-length", b"%d" % len(answer)))
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": answer})


def infer(name: str, function: Any, body: bytes, length: int | None) -> tuple[list[tuple[bytes, bytes]], bytes]:
    """Headers and body of the answer; binary if the request is."""
    request = orjson.loads(body if length is None else memoryview(body)[:length])
    given = request["inputs"][0]
    if length is None:
        x = np.asarray(given["data"], np.float32).reshape(given["shape"])
    else:
        x = np.frombuffer(body, np.float32, offset=length).reshape(given["shape"])
    y = function(x)
    output: dict[str, Any] = {"name": "y", "datatype": "FP32", "shape": y.shape}
    document = {"model_name": name, "model_version": "1", "outputs": [output]}
    if length is None:
        output["data"] = y.reshape(-1)
        return [_JSON], orjson.dumps(document, option=orjson.OPT_SERIALIZE_NUMPY)
    output["parameters"] = {"binary_data_size": y.nbytes}
    header = orjson.dumps(document)
    return [_BINARY, (_HEADER_LENGTH, b"%d" % len(header))], header + y.tobytes()


if __name__ == "__main__":
    uvicorn.run(app, port=int(sys.argv[1]), loop="uvloop", http="httptools", access_log=False, log_level="error")
