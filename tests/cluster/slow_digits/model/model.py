"""The digits model, each of whose inferences takes SERVICE_SECONDS: images in, labels and probabilities out."""

import time
from typing import Any, ClassVar

import numpy as np
import onnxruntime

SERVICE_SECONDS = 0.25
MODEL = "/models/digits/model.onnx"


class Model:
    """Runs the ONNX model, and then waits for the rest of the service time."""

    metadata: ClassVar[dict[str, Any]] = {
        "inputs": [{"name": "image", "datatype": "FP32", "shape": [-1, 64]}],
        "outputs": [
            {"name": "label", "datatype": "INT64", "shape": [-1]},
            {"name": "probabilities", "datatype": "FP32", "shape": [-1, 10]},
        ],
    }

    def load(self) -> None:
        """Loads the model on one thread: several replicas share the machine of the test."""
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        self.session = onnxruntime.InferenceSession(MODEL, options, providers=["CPUExecutionProvider"])

    def predict(self, inputs: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Returns what the ONNX model returns."""
        done = time.monotonic() + SERVICE_SECONDS
        label, probabilities = self.session.run(["label", "probabilities"], inputs)
        time.sleep(max(0.0, done - time.monotonic()))
        return {"label": label, "probabilities": probabilities}
