"""A user's Python class in, a Runtime out: `model.py` with a class `Model`.

    import numpy as np
    from everwarm_server import InvalidInput

    class Model:
        def load(self):                  # optional; may use self.directory, self.name and self.device
            self.weights = np.load(self.directory / "weights.npy")

        def predict(self, inputs):       # or async def; inputs: dict of arrays by name
            if inputs["x"].shape[1] != len(self.weights):
                raise InvalidInput("x must have as many columns as there are weights.")   # the client gets 400
            return {"y": inputs["x"] @ self.weights}

Any other exception is a 500 with its type and message and without a traceback, which is logged. What it takes and gives
is said by model.toml, or by the class as `metadata = {"inputs": [...], "outputs": [...]}` of objects with a name, a
datatype and a shape; without either the model takes whatever comes. `predict` may take the request's parameters as a
second argument. It runs in worker threads, at most `concurrency` at a time; a class with `only_computes = True`, which
promises that predict() waits for nobody, may also be run by the server's own thread while it is quick. Coroutines run
on one event loop that all share. Modules beside model.py can be imported by it until load() returns.
"""

import hashlib
import importlib.util
import inspect
import logging
import sys
from collections.abc import Iterator, Mapping
from concurrent.futures import CancelledError
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import numpy as np

from everwarm_server.errors import InferenceFailed, InvalidInput, ModelError
from everwarm_server.protocol.tensors import DTYPES, Array, ModelMetadata, Parameters, TensorSpec
from everwarm_server.runtime import arrays, model_toml
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
        _forget(directory)
        if isinstance(error, ModelError):
            raise
        _LOG.exception("The model can't be loaded")
        raise ModelError(f"{path} failed to load: {_reason(error)}") from error
    return PythonRuntime(model, metadata, loop, directory)


def _make(path: Path, options: LoadOptions, loop: LoopThread) -> Any:
    with _importable(path.parent):
        name = f"everwarm_model_{hashlib.sha256(str(path.resolve()).encode()).hexdigest()[:16]}"
        spec = importlib.util.spec_from_file_location(name, path)
        if spec is None or spec.loader is None:
            raise ModelError(f"{path} can't be imported.")
        module = importlib.util.module_from_spec(spec)
        sys.modules[name] = module  # dataclasses and typing look a class's module up there
        spec.loader.exec_module(module)
        model_class = getattr(module, CLASS, None)
        if not isinstance(model_class, type) or not callable(getattr(model_class, "predict", None)):
            raise ModelError(f"{path} must have a class {CLASS} with a method predict(self, inputs).")
        model = model_class()
        model.directory, model.name, model.device = path.parent, options.name, options.device
        if callable(getattr(model, "load", None)):
            loop.resolve(model.load())
        return model


@contextmanager
def _importable(directory: Path) -> Iterator[None]:
    sys.path.insert(0, str(directory))
    try:
        yield
    finally:
        if str(directory) in sys.path:
            sys.path.remove(str(directory))


def _forget(directory: Path) -> None:
    """Drop the modules of a model's directory, so that another model may have some of the same names."""
    root = directory.resolve()
    for name, module in list(sys.modules.items()):
        file = getattr(module, "__file__", None)
        if file is not None and Path(file).resolve().is_relative_to(root):
            del sys.modules[name]


def _reason(error: BaseException) -> str:
    return f"{type(error).__name__}: {error}"[:1000]


class PythonRuntime:
    """A user's model."""

    def __init__(self, model: Any, metadata: ModelMetadata, loop: LoopThread, directory: Path) -> None:
        self._model = model
        self._metadata = metadata
        self._loop = loop
        self._directory = directory
        self._takes_parameters = _positional(model.predict) >= 2

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

    def infer(self, inputs: Mapping[str, Array], parameters: Parameters) -> Mapping[str, Array]:
        """All outputs; see Runtime.infer."""
        # By V2 binary they are read-only views of the request, by JSON they are not; a model should not have to know.
        own = {name: array if array.flags.writeable else array.copy() for name, array in inputs.items()}
        try:
            answer = self._model.predict(own, dict(parameters)) if self._takes_parameters else self._model.predict(own)
            if inspect.iscoroutine(answer):
                answer = self._loop.resolve(answer)
        except InvalidInput:
            raise
        except (Exception, SystemExit, CancelledError) as error:
            _LOG.exception("The model failed")
            raise InferenceFailed(f"The model failed: {_reason(error)}") from error
        try:
            return outputs_of(answer, self._metadata.outputs)
        except ModelError as error:
            raise InferenceFailed(str(error)) from error

    def close(self) -> None:
        """Let the model close itself, if it knows how, and forget its modules."""
        try:
            if callable(getattr(self._model, "close", None)):
                self._loop.resolve(self._model.close())
        finally:
            self._model = None
            self._loop.close()
            _forget(self._directory)


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
