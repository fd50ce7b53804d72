"""The device as a Python model of everwarm."""

from typing import ClassVar

import device


class Model:
    """16 numbers in, 16 out."""

    metadata: ClassVar = {
        "inputs": [{"name": "x", "datatype": "FP32", "shape": [-1, device.COLUMNS]}],
        "outputs": [{"name": "y", "datatype": "FP32", "shape": [-1, device.COLUMNS]}],
    }

    def predict(self, inputs: dict[str, device.Array]) -> dict[str, device.Array]:
        """Answer one batch."""
        return {"y": device.device(inputs["x"])}
