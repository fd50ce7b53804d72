"""The models on KServe's SDK. It runs in KServe's own environment; its line of log for each request is off."""

import logging
import sys
from typing import Any

import kserve
import models


class Model(kserve.Model):  # type: ignore[misc]  # kserve is not in our environment
    """One function as a model of KServe."""

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.ready = True

    def predict(self, payload: Any, headers: Any = None, response_headers: Any = None) -> Any:
        """Answer one request; binary if the request asks for that."""
        del headers, response_headers
        y = models.MODELS[self.name](payload.inputs[0].as_numpy())
        output = kserve.InferOutput("y", list(y.shape), "FP32")
        output.set_data_from_numpy(y, binary_data=payload.use_binary_outputs)
        return kserve.InferResponse(
            payload.id or "1", self.name, [output], use_binary_outputs=payload.use_binary_outputs
        )


if __name__ == "__main__":
    logging.disable(logging.WARNING)
    http_port, grpc_port = map(int, sys.argv[1:])
    kserve.ModelServer(http_port=http_port, grpc_port=grpc_port).start([Model(name) for name in models.MODELS])
