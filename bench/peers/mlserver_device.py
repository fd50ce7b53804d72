"""The device on MLServer, without its worker processes; it waits in a thread, so that the event loop goes on."""

import asyncio

import device
from mlserver import MLModel
from mlserver.codecs import NumpyCodec
from mlserver.types import InferenceRequest, InferenceResponse


class Model(MLModel):  # type: ignore[misc]  # mlserver is not in our environment
    """It is batched by MLServer, as model-settings.json says."""

    async def load(self) -> bool:
        """Nothing to load."""
        return True

    async def predict(self, payload: InferenceRequest) -> InferenceResponse:
        """Answer one batch."""
        y = await asyncio.to_thread(device.device, NumpyCodec.decode_input(payload.inputs[0]))
        return InferenceResponse(model_name=self.name, outputs=[NumpyCodec.encode_output("y", y)])
