"""What the server asks of a framework: load, describe, infer, close. One file beside this one for each framework."""

from abc import ABC, abstractmethod
from collections.abc import Generator, Iterable, Mapping
from pathlib import Path
from typing import Protocol

from everwarm_server.errors import InvalidInput
from everwarm_server.protocol.tensors import Array, ModelMetadata, Parameters


class Runtime(Protocol):
    """A loaded model.

    `infer` and `stream` block; they are called from worker threads, at most `concurrency` at a time, and `infer` on the
    event loop's thread only once it is known to be quick; see placement.py.
    """

    @property
    def metadata(self) -> ModelMetadata:
        """What the model takes and gives."""

    @property
    def device(self) -> str:
        """Where it computes: `cpu`, `cuda:0`; several by commas."""

    @property
    def only_computes(self) -> bool:
        """Whether `infer` never waits for anybody: then a quick one may run on the event loop's thread."""

    @property
    def takes_parameters(self) -> bool:
        """Whether its answers may depend on the parameters of a request."""

    @property
    def streams(self) -> bool:
        """Whether one request may have several answers, or none; `stream` gives them as they come."""

    @property
    def weights_bytes(self) -> int:
        """What the model holds in memory, on all devices together, in bytes; a close guess where nobody can tell."""

    def infer(self, inputs: Mapping[str, Array], parameters: Parameters) -> Mapping[str, Array]:
        """Compute all outputs from named inputs that fit `metadata`.

        Raises:
            InvalidInput: the model refuses these inputs (the client's fault), or has several answers to them.
            InferenceFailed: anything else that the framework raised.
        """

    def stream(self, inputs: Mapping[str, Array], parameters: Parameters) -> Generator[Mapping[str, Array], None, None]:
        """Compute one answer after the other; a caller that wants no more closes it.

        Raises:
            InvalidInput, InferenceFailed: as `infer`, also after some answers.
        """

    def close(self) -> None:
        """Free what the model holds. Not called while `infer` or `stream` runs."""


class AnswersOnce(ABC):
    """A runtime whose models have one answer to each request, which its tensors alone decide."""

    @property
    def takes_parameters(self) -> bool:
        """They do not."""
        return False

    @property
    def streams(self) -> bool:
        """They do not."""
        return False

    @abstractmethod
    def infer(self, inputs: Mapping[str, Array], parameters: Parameters) -> Mapping[str, Array]:
        """The answer; see Runtime.infer."""

    def stream(self, inputs: Mapping[str, Array], parameters: Parameters) -> Generator[Mapping[str, Array], None, None]:
        """The one answer; see Runtime.stream."""
        yield self.infer(inputs, parameters)


def only_answer(answers: Iterable[Mapping[str, Array]]) -> Mapping[str, Array]:
    """The one answer of a model that streams, for a protocol that has room for one.

    Raises:
        InvalidInput: it gave none, or began to give a second.
    """
    found: Mapping[str, Array] | None = None
    for answer in answers:
        if found is not None:
            raise InvalidInput(
                "This model gave more than one answer to this request: ask for them as a stream, by /generate_stream "
                "or /infer_stream over HTTP, or by ModelStreamInfer over gRPC."
            )
        found = answer
    if found is None:
        raise InvalidInput("This model gave no answer to this request, which only a stream can say.")
    return found


def batchable(metadata: ModelMetadata) -> bool:
    """Whether requests may be stacked along the first dimension of all inputs and outputs, and the answer cut again."""
    tensors = (*metadata.inputs, *metadata.outputs)
    declared = bool(metadata.inputs and metadata.outputs)
    return declared and all(spec.shape and spec.shape[0] == -1 for spec in tensors)


def files_bytes(paths: Iterable[Path]) -> int:
    """What files take together, in bytes: a guess of what a model made from them holds."""
    return sum(path.stat().st_size for path in paths if path.is_file())
