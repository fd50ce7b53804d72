"""The perceptron as a Python model of everwarm."""

from typing import ClassVar

import models


class Model:
    """784 numbers in, 10 out."""

    only_computes = True
    metadata: ClassVar = {
        "inputs": [{"name": "x", "datatype": "FP32", "shape": [-1, 784]}],
        "outputs": [{"name": "y", "datatype": "FP32", "shape": [-1, 10]}],
    }

    def predict(self, inputs: dict[str, models.Array]) -> dict[str, models.Array]:
        """Answer one request."""
        return {"y": models.mlp(inputs["x"])}
