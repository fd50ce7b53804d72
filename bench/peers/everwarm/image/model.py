"""The mean of channels as a Python model of everwarm."""

from typing import ClassVar

import models


class Model:
    """Images in, three numbers each out."""

    only_computes = True
    metadata: ClassVar = {
        "inputs": [{"name": "x", "datatype": "FP32", "shape": [-1, 3, 224, 224]}],
        "outputs": [{"name": "y", "datatype": "FP32", "shape": [-1, 3]}],
    }

    def predict(self, inputs: dict[str, models.Array]) -> dict[str, models.Array]:
        """Answer one request."""
        return {"y": models.image(inputs["x"])}
