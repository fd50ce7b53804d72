"""A subclass of kserve.Model in, a Runtime out: `model.py` with one such class, or one that is called Model.

It runs as KServe's own server would run it: made with the model's name, loaded, and called with the dict of a V1 body
or with an InferRequest, and with headers, through preprocess, predict and postprocess, each of them plain or async.
Plain ones run in worker threads, where they hold nobody up; in KServe they run on the event loop. Not here: explain,
streams, CloudEvents, a remote predictor's retries, response headers. Headers are those that this server reads.

KServe is imported by this module alone, and costs a second and 100 MB: tensors of other models know nothing of it.
"""

import inspect
import logging
import sys
from collections.abc import AsyncIterator, Mapping
from concurrent.futures import CancelledError
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import numpy as np
import orjson
from fastapi import HTTPException

from everwarm_server.errors import InferenceFailed, InvalidInput, ModelError, ModelNotReady
from everwarm_server.protocol import documents
from everwarm_server.protocol.tensors import DATATYPES, DTYPES, Array, ModelMetadata, Parameters
from everwarm_server.runtime import accuracy, arrays, base, model_toml, source
from everwarm_server.runtime.load import LoadOptions
from everwarm_server.runtime.loop_thread import LoopThread

_ARGUMENTS, sys.argv = sys.argv, sys.argv[:1]  # kserve reads the command line when it is imported
try:
    import kserve
    from kserve import errors as kserve_errors
finally:
    sys.argv = _ARGUMENTS

FILE: Final = "model.py"
CLASS: Final = "Model"
PLATFORM: Final = "kserve"
_HANDLERS: Final = ("preprocess", "predict", "postprocess")
_LOG: Final = logging.getLogger(__name__)


def load(directory: Path, options: LoadOptions) -> "KServeRuntime":
    """Import `model.py`, make its model and let it load.

    Raises:
        ModelError: there is no such class, or it fails to load.
    """
    path = directory / FILE
    if not path.is_file():
        raise ModelError(f"{directory} has no {FILE}.")
    if options.precision != accuracy.FULL:
        raise ModelError("A kserve.Model can't be quantised; leave [quantization] out.")
    toml = model_toml.read(directory)
    loop = LoopThread()
    try:
        with source.importable(directory):
            model = _made(path, options.name)
            if not model.ready:
                loop.resolve(model.load())
        if not model.ready:
            raise ModelError(f"{path}: load() came back, but the model says that it is not ready.")
        metadata = ModelMetadata(
            options.name,
            options.version,
            toml.platform or PLATFORM,
            toml.inputs or _specs(loop, model.get_input_types, "inputs"),
            toml.outputs or _specs(loop, model.get_output_types, "outputs"),
            takes_documents=True,
        )
    except (Exception, SystemExit) as error:
        loop.close()
        source.forget(directory)
        if isinstance(error, ModelError):
            raise
        _LOG.exception("The model can't be loaded")
        raise ModelError(f"{path} failed to load: {source.reason(error)}") from error
    return KServeRuntime(model, metadata, loop, directory)


def _made(path: Path, name: str) -> Any:
    module = source.import_file(path)
    classes = [
        each
        for each in vars(module).values()
        if isinstance(each, type) and issubclass(each, kserve.Model) and each.__module__ == module.__name__
    ]
    named = [each for each in classes if each.__name__ == CLASS] or classes
    if len(named) != 1:
        found = ", ".join(each.__name__ for each in classes) or "none"
        raise ModelError(f"{path} must have one subclass of kserve.Model, or one called {CLASS}; it has {found}.")
    model = named[0](name) if inspect.signature(named[0]).parameters else named[0]()
    model.name = name
    return model


def _specs(loop: LoopThread, types: Any, kind: str) -> Any:
    return model_toml.specs([dict(each) for each in loop.resolve(types())], kind)


class KServeRuntime(base.AnswersOnce):
    """A user's kserve.Model."""

    def __init__(self, model: Any, metadata: ModelMetadata, loop: LoopThread, directory: Path) -> None:
        self._model = model
        self._metadata = metadata
        self._loop = loop
        self._directory = directory
        # Of the handlers that nobody has overridden, predict is abstract and the others are coroutines that never wait.
        overridden = [getattr(type(model), name) for name in _HANDLERS]
        own = [handler for handler in overridden if not handler.__module__.startswith("kserve.")]
        self._is_async = any(inspect.iscoroutinefunction(handler) for handler in own)

    @property
    def metadata(self) -> ModelMetadata:
        """What model.toml says, or get_input_types() and get_output_types()."""
        return self._metadata

    @property
    def device(self) -> str:
        """What the model left in its attribute `device`, else `cpu`."""
        return str(getattr(self._model, "device", "cpu"))

    @property
    def only_computes(self) -> bool:
        """Nobody vouches for it."""
        return False

    @property
    def takes_parameters(self) -> bool:
        """They are in its InferRequest, and the headers of the request with them."""
        return True

    @property
    def weights_bytes(self) -> int:
        """The size of its directory."""
        return base.files_bytes(self._directory.rglob("*"))

    def infer(self, inputs: Mapping[str, Array], parameters: Parameters) -> Mapping[str, Array]:
        """All outputs; see Runtime.infer."""
        with _blamed():
            note, own = documents.note(parameters)
            if note.is_document:
                answer = self._call(_parsed(inputs[documents.DOCUMENT]), note.headers)
                return {documents.DOCUMENT: _written(answer)}
            request = kserve.InferRequest(
                self._metadata.name,
                [_Input(name, array, is_text=note.is_text) for name, array in inputs.items()],
                parameters=own,
                model_version=self._metadata.version,
            )
            return outputs_of(self._call(request, note.headers))

    def _call(self, body: Any, headers: dict[str, str]) -> Any:
        call = self._model(body, headers=headers)
        answer, _ = self._loop.resolve(call) if self._is_async else _driven(call)
        return answer

    def close(self) -> None:
        """Let the model stop, and forget its modules."""
        try:
            self._loop.resolve(self._model.stop())
        finally:
            self._model = None
            self._loop.close()
            source.forget(self._directory)


def _driven(call: Any) -> Any:
    """The result of a coroutine that waits for nothing, without an event loop."""
    try:
        call.send(None)
    except StopIteration as end:
        return end.value
    call.close()
    raise RuntimeError("A plain handler awaited something; write it as async def.")


@contextmanager
def _blamed() -> Any:
    """Tell the client's faults from the model's, as KServe's server does."""
    try:
        yield
    except (InvalidInput, InferenceFailed):
        raise
    except kserve_errors.InvalidInput as error:
        raise InvalidInput(str(error)) from error
    except kserve_errors.ModelNotReady as error:
        raise ModelNotReady(str(error)) from error
    except ModelError as error:
        raise InferenceFailed(str(error)) from error
    except (Exception, SystemExit, CancelledError) as error:
        if isinstance(error, HTTPException) and error.status_code < 500:
            raise InvalidInput(str(error.detail)) from error
        _LOG.exception("The model failed")
        raise InferenceFailed(f"The model failed: {source.reason(error)}") from error


class _Input(kserve.InferInput):  # type: ignore[misc]  # kserve is not in the environment of mypy
    """An input that is an array already; the list that KServe makes of it is made where it is asked for."""

    def __init__(self, name: str, array: Array, *, is_text: bool) -> None:
        if is_text and array.dtype == object:
            array = arrays.to_text(array, name)
        self._array = array
        super().__init__(name, list(array.shape), DATATYPES[array.dtype])

    @property
    def _data(self) -> Any:
        return self._array.reshape(-1).tolist() if self._given is None else self._given

    @_data.setter
    def _data(self, given: Any) -> None:
        self._given = given

    def as_numpy(self) -> Array:
        """The array, or what was set in its place."""
        if self._given is not None or self._raw_data is not None:
            return super().as_numpy()  # type: ignore[no-any-return]  # as above
        return self._array if self._array.flags.writeable else self._array.copy()


def _parsed(document: Array) -> Any:
    try:
        return orjson.loads(document[0])
    except orjson.JSONDecodeError as error:
        raise InvalidInput(f"The body is not valid JSON: {error}.") from None


def _written(answer: Any) -> Array:
    if isinstance(answer, AsyncIterator):
        raise ModelError("A kserve.Model that streams is not served; write it as a Python model.")
    if isinstance(answer, kserve.InferResponse):
        answer = answer.to_rest()
        answer = answer[0] if isinstance(answer, tuple) else answer
    body = np.empty(1, object)
    options = orjson.OPT_SERIALIZE_NUMPY | orjson.OPT_NON_STR_KEYS
    body[0] = answer if isinstance(answer, bytes) else orjson.dumps(answer, option=options)
    return body


def outputs_of(answer: Any) -> dict[str, Array]:
    """The outputs of an InferResponse, or of a dict that looks like one.

    Raises:
        ModelError: it is neither.
    """
    if isinstance(answer, dict) and isinstance(answer.get("outputs"), list):
        answer = kserve.InferResponse.from_rest(answer)
    if not isinstance(answer, kserve.InferResponse):
        raise ModelError(f"The model answered a V2 request by a {type(answer).__name__}; it must be an InferResponse.")
    found = {}
    for output in answer.outputs:
        owner = f"the output {output.name!r}"
        if output.datatype not in DTYPES:
            raise ModelError(f"{owner.capitalize()} has the datatype {output.datatype}, which the protocol lacks.")
        found[output.name] = arrays.to_protocol(output.as_numpy(), owner, output.datatype)
    return found
