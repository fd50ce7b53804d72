"""What the server asks of a framework: load, describe, infer, close. One file beside this one for each framework."""

from collections.abc import Mapping
from typing import Protocol

from everwarm_server.protocol.tensors import Array, ModelMetadata, Parameters


class Runtime(Protocol):
    """A loaded model.

    `infer` blocks; it is called from worker threads, at most `concurrency` at a time, and on the event loop's thread
    only once it is known to be quick; see placement.py.
    """

    @property
    def metadata(self) -> ModelMetadata:
        """What the model takes and gives."""

    @property
    def device(self) -> str:
        """Where it computes: `cpu`, `cuda:0`."""

    @property
    def only_computes(self) -> bool:
        """Whether `infer` never waits for anybody: then a quick one may run on the event loop's thread."""

    def infer(self, inputs: Mapping[str, Array], parameters: Parameters) -> Mapping[str, Array]:
        """Compute all outputs from named inputs that fit `metadata`.

        Raises:
            InvalidInput: the model refuses these inputs (the client's fault).
            InferenceFailed: anything else that the framework raised.
        """

    def close(self) -> None:
        """Free what the model holds. Not called while `infer` runs."""
