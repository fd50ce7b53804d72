"""The models on MLServer, without its worker processes. It runs in MLServer's own environment."""

import models
from mlserver import MLModel
from mlserver.codecs import NumpyCodec
from mlserver.types import InferenceRequest, InferenceResponse


class Model(MLModel):  # type: ignore[misc]  # mlserver is not in our environment
    """One function as a model of MLServer, by the name in model-settings.json."""

    async def load(self) -> bool:
        """Nothing to load."""
        return True

    async def predict(self, payload: InferenceRequest) -> InferenceResponse:
        """Answer one request."""
        y = models.MODELS[self.name](NumpyCodec.decode_input(payload.inputs[0]))
        return InferenceResponse(model_name=self.name, outputs=[NumpyCodec.encode_output("y", y)])
