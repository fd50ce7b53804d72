"""The device on LitServe, with its faster queue; the answers have the shape of V2's, for the bench to read."""

import sys
from typing import Any

import device
import litserve
import numpy as np


class Api(litserve.LitAPI):  # type: ignore[misc]  # litserve is not in our environment
    """One row in a request; LitServe stacks them."""

    def setup(self, device: str) -> None:
        """Nothing to load."""

    def decode_request(self, request: dict[str, Any]) -> device.Array:
        """A row."""
        return np.asarray(request["inputs"][0]["data"], np.float32)

    def predict(self, x: device.Array) -> device.Array:
        """Answer one batch."""
        return device.device(x)

    def encode_response(self, output: device.Array) -> dict[str, Any]:
        """A row."""
        return {"outputs": [{"name": "y", "data": output.tolist()}]}


if __name__ == "__main__":
    api = Api(max_batch_size=device.ROWS, batch_timeout=0.002, api_path="/v2/models/device/infer")
    server = litserve.LitServer(
        api, accelerator="cpu", healthcheck_path="/v2/health/ready", fast_queue=True, timeout=False
    )
    server.run(port=int(sys.argv[1]), host="127.0.0.1", generate_client_file=False, log_level="error", access_log=False)
