"""A user's Python class in, a Runtime out: `model.py` with a class `Model`.

    import numpy as np
    from everwarm_server import InvalidInput

    class Model:
        def load(self):                  # optional; may use self.directory, self.name, self.version and self.device
            self.weights = np.load(self.directory / "weights.npy")

        def predict(self, inputs):       # or async def; inputs: dict of arrays by name
            if inputs["x"].shape[1] != len(self.weights):
                raise InvalidInput("x must have as many columns as there are weights.")   # the client gets 400
            return {"y": inputs["x"] @ self.weights}

        def close(self):                 # optional, or async def
            del self.weights

A predict() that is a generator or an asynchronous one streams: each dict that it yields is one answer. One that returns
an iterator says so by `streams = True`. A client that leaves closes the generator at its next yield.

`Overloaded` says that the client should try again later (503). Any other exception is a 500 with its type and message
and without a traceback, which is logged. What it takes and gives is said by model.toml, or by the class as `metadata =
{"inputs": [...], "outputs": [...]}` of objects with a name, a datatype and a shape; without either the model takes
whatever comes. `predict` may take the request's parameters as a second argument. It runs in worker threads, at most
`concurrency` at a time; a class with `only_computes = True`, which promises that predict() waits for nobody, may also
be run by the server's own thread while it is quick. Coroutines run on one event loop that all share. Modules beside
model.py can be imported by it until load() returns. `weights_bytes` may say what the model holds in memory; else the
size of its directory is taken for it.
"""

import inspect
import logging
from collections.abc import AsyncIterator, Generator, Iterator, Mapping
from concurrent.futures import CancelledError
from contextlib import closing
from pathlib import Path
from typing import Any, Final

import numpy as np

from everwarm_server.errors import InferenceFailed, InvalidInput, ModelError, Overloaded
from everwarm_server.protocol.tensors import DTYPES, Array, ModelMetadata, Parameters, TensorSpec
from everwarm_server.runtime import accuracy, arrays, base, model_toml, source
from everwarm_server.runtime.load import LoadOptions
from everwarm_server.runtime.loop_thread import LoopThread

FILE: Final = "model.py"
CLASS: Final = "Model"
PLATFORM: Final = "python"
_LOG: Final = logging.getLogger(__name__)


def load(directory: Path, options: LoadOptions) -> "PythonRuntime":
    """Import `model.py`, make its Model and let it load.

    Raises:
        ModelError: the file, the class or its load() fails.
    """
    toml = model_toml.read(directory)
    path = directory / FILE
    if not path.is_file():
        raise ModelError(f"{directory} has no {FILE}.")
    if options.precision != accuracy.FULL:
        raise ModelError("A Python model quantises itself, if it wants to; leave [quantization] out.")
    loop = LoopThread()
    try:
        model = _make(path, options, loop)
        declared = getattr(model, "metadata", {})
        if not isinstance(declared, Mapping):
            raise ModelError(f"{path}: metadata is {declared!r}; it must be a dict of inputs and outputs.")
        metadata = ModelMetadata(
            name=options.name,
            version=options.version,
            platform=toml.platform or PLATFORM,
            inputs=toml.inputs or model_toml.specs(declared.get("inputs", []), "inputs"),
            outputs=toml.outputs or model_toml.specs(declared.get("outputs", []), "outputs"),
        )
    except (Exception, SystemExit) as error:
        loop.close()
        source.forget(directory)
        if isinstance(error, ModelError):
            raise
        _LOG.exception("The model can't be loaded")
        raise ModelError(f"{path} failed to load: {source.reason(error)}") from error
    return PythonRuntime(model, metadata, loop, directory)


def _make(path: Path, options: LoadOptions, loop: LoopThread) -> Any:
    with source.importable(path.parent):
        model_class = getattr(source.import_file(path), CLASS, None)
        if not isinstance(model_class, type) or not callable(getattr(model_class, "predict", None)):
            raise ModelError(f"{path} must have a class {CLASS} with a method predict(self, inputs).")
        model = model_class()
        model.directory, model.name, model.version = path.parent, options.name, options.version
        model.device = options.device
        if callable(getattr(model, "load", None)):
            loop.resolve(model.load())
        return model


class PythonRuntime:
    """A user's model."""

    def __init__(self, model: Any, metadata: ModelMetadata, loop: LoopThread, directory: Path) -> None:
        self._model = model
        self._metadata = metadata
        self._loop = loop
        self._directory = directory
        self._takes_parameters = _positional(model.predict) >= 2
        self._streams = (
            inspect.isgeneratorfunction(model.predict)
            or inspect.isasyncgenfunction(model.predict)
            or getattr(model, "streams", False) is True
        )

    @property
    def metadata(self) -> ModelMetadata:
        """What model.toml or the class declares; perhaps nothing."""
        return self._metadata

    @property
    def device(self) -> str:
        """What the model left in its attribute `device`; `cpu` if that is still `auto`."""
        device = str(getattr(self._model, "device", "cpu"))
        return "cpu" if device == "auto" else device

    @property
    def only_computes(self) -> bool:
        """What the class says by its attribute; code that nobody vouches for may wait for anything."""
        return getattr(self._model, "only_computes", False) is True

    @property
    def takes_parameters(self) -> bool:
        """Whether predict() has a second argument."""
        return self._takes_parameters

    @property
    def streams(self) -> bool:
        """Whether predict() is a generator, or the class says that it returns an iterator."""
        return self._streams

    @property
    def weights_bytes(self) -> int:
        """What the model says by its attribute, else the size of its directory."""
        told = getattr(self._model, "weights_bytes", None)
        return told if isinstance(told, int) else base.files_bytes(self._directory.rglob("*"))

    def infer(self, inputs: Mapping[str, Array], parameters: Parameters) -> Mapping[str, Array]:
        """All outputs; see Runtime.infer."""
        if self._streams:
            with closing(self.stream(inputs, parameters)) as answers:
                return base.only_answer(answers)
        with _BLAME:
            return outputs_of(self._predict(inputs, parameters), self._metadata.outputs)

    def stream(self, inputs: Mapping[str, Array], parameters: Parameters) -> Generator[Mapping[str, Array], None, None]:
        """One answer for each that predict() yields; see Runtime.stream."""
        with _BLAME:
            answer = self._predict(inputs, parameters)
            several = isinstance(answer, Iterator | AsyncIterator)
            for each in self._loop.iterate(answer if several else [answer]):
                yield outputs_of(each, self._metadata.outputs)

    def _predict(self, inputs: Mapping[str, Array], parameters: Parameters) -> Any:
        # By V2 binary they are read-only views of the request, by JSON they are not; a model should not have to know.
        own = {name: array if array.flags.writeable else array.copy() for name, array in inputs.items()}
        answer = self._model.predict(own, dict(parameters)) if self._takes_parameters else self._model.predict(own)
        return self._loop.resolve(answer) if inspect.iscoroutine(answer) else answer

    def close(self) -> None:
        """Let the model close itself, if it knows how, and forget its modules."""
        try:
            if callable(getattr(self._model, "close", None)):
                self._loop.resolve(self._model.close())
        finally:
            self._model = None
            self._loop.close()
            source.forget(self._directory)


class _Blame:
    """Tells the client's faults from the model's. A class, since contextlib's generators cost a microsecond each."""

    def __enter__(self) -> None:
        """What it is told by is raised within."""

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, where: object) -> None:
        if error is None or isinstance(error, InvalidInput | Overloaded | GeneratorExit):
            return
        if isinstance(error, ModelError):
            raise InferenceFailed(str(error)) from error
        if isinstance(error, Exception | SystemExit | CancelledError):
            _LOG.error("The model failed", exc_info=error)
            raise InferenceFailed(f"The model failed: {source.reason(error)}") from error


_BLAME: Final = _Blame()


def _positional(function: Any) -> int:
    kinds = [parameter.kind for parameter in inspect.signature(function).parameters.values()]
    if inspect.Parameter.VAR_POSITIONAL in kinds:
        return 2
    return sum(k in {inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD} for k in kinds)


def outputs_of(answer: Any, declared: tuple[TensorSpec, ...]) -> dict[str, Array]:
    """What predict() returned, by name: a mapping of arrays, or one array alone where one output is declared.

    Raises:
        ModelError: it is neither, an output is missing, or one is no array of the protocol.
    """
    if not isinstance(answer, Mapping):
        if isinstance(answer, Iterator | AsyncIterator):
            raise ModelError("predict() returned an iterator; a class whose predict() does must say streams = True.")
        if len(declared) != 1:
            raise ModelError(f"predict() returned a {type(answer).__name__}; it must return a dict of arrays by name.")
        answer = {declared[0].name: answer}
    datatypes: dict[Any, str] = {}
    for spec in declared:
        if spec.name not in answer:
            raise ModelError(f"predict() returned no output {spec.name!r}, which the model declares.")
        datatypes[spec.name] = spec.datatype
    return {str(name): _output(name, value, datatypes.get(name)) for name, value in answer.items()}


def _output(name: Any, value: Any, datatype: str | None) -> Array:
    if type(value) is np.ndarray and datatype not in {None, "BYTES"} and value.dtype == DTYPES[datatype]:
        return value  # as nearly always
    return arrays.to_protocol(value, f"the output {name!r}", datatype)
