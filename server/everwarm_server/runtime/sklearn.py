"""scikit-learn: model.skops in, a Runtime out; without pickle, from types that skops or the model's owner trust.

The model takes `x`, rows of FP64, as many columns as it was fitted with, and answers `predict`, as MLServer's does.
model.toml may say otherwise: another name, datatype or shape of the one input (BYTES for a model of text), or several
inputs, which become the columns of a DataFrame; and as [[outputs]] the methods whose results are wanted, such as
predict_proba. What was fitted with n_jobs runs with one: threads for each request cost more than most models.
"""

import logging
import warnings
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import skops.io
import threadpoolctl

from everwarm_server.errors import InferenceFailed, InvalidInput, ModelError
from everwarm_server.protocol.tensors import DATATYPES, Array, ModelMetadata, Parameters, TensorSpec
from everwarm_server.runtime import accuracy, arrays, base, cpus, model_toml, source, warmup
from everwarm_server.runtime.load import LoadOptions

FILE: Final = "model.skops"
PLATFORM: Final = "sklearn_skops"
INPUT: Final = "x"
OUTPUT: Final = "predict"
_PROBE_ROWS: Final = 2
_LOG: Final = logging.getLogger(__name__)


def load(directory: Path, options: LoadOptions) -> "SklearnRuntime":
    """Load `model.skops` of a directory.

    Raises:
        ModelError: it holds types that nobody trusts, can't be read, or does not say what it takes.
    """
    toml = model_toml.read(directory)
    path = directory / FILE
    if not path.is_file():
        raise ModelError(f"{directory} has no {FILE}.")
    if options.device.startswith("cuda"):
        raise ModelError("scikit-learn computes on the CPU; use the device cpu or auto.")
    if options.precision != accuracy.FULL:
        raise ModelError("A model of scikit-learn can't be quantised; leave [quantization] out.")
    threadpoolctl.threadpool_limits(options.threads or cpus.threads_each(options.concurrency))
    try:
        with source.importable(directory), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # such as another version of scikit-learn: what matters fails below
            estimator = _estimator(path, toml.trusted)
            _use_one_job(estimator)
            inputs = toml.inputs or (_input_of(estimator),)
            outputs = _described(estimator, inputs, toml.outputs)
    except ModelError:
        source.forget(directory)
        raise
    # Once for all models: they are told apart by names where several inputs are declared, else by their places.
    warnings.filterwarnings("ignore", "X does not have valid feature names", UserWarning)
    metadata = ModelMetadata(options.name, options.version, toml.platform or PLATFORM, inputs, outputs)
    return SklearnRuntime(estimator, metadata, path, only_computes=not toml.trusted)


def _estimator(path: Path, trusted: tuple[str, ...]) -> Any:
    try:
        untrusted = [name for name in skops.io.get_untrusted_types(file=path) if name not in trusted]
        if untrusted:
            raise ModelError(
                f"{path} makes objects of types that nobody said to trust: {', '.join(untrusted)}. If you know them to "
                f"do no harm, name them in model.toml: [skops] trusted = {[*trusted, *untrusted]}".replace("'", '"')
            )
        estimator = skops.io.load(path, trusted=list(trusted))
    except ModelError:
        raise
    except Exception as error:
        raise ModelError(f"skops can't load {path}: {source.reason(error)}") from error
    if not callable(getattr(estimator, "get_params", None)):
        raise ModelError(f"{path} holds a {type(estimator).__name__}, which is no estimator of scikit-learn.")
    return estimator


def _use_one_job(estimator: Any) -> None:
    jobs = {name: value for name, value in estimator.get_params().items() if name.rpartition("__")[2] == "n_jobs"}
    estimator.set_params(**{name: None for name, value in jobs.items() if value is not None})


def _input_of(estimator: Any) -> TensorSpec:
    columns = getattr(estimator, "n_features_in_", None)
    if not isinstance(columns, int):
        raise ModelError(
            f"A {type(estimator).__name__} does not say what it takes, so model.toml must name its [[inputs]]; a model "
            'of text takes one of datatype = "BYTES" and shape = [-1].'
        )
    return TensorSpec(INPUT, "FP64", (-1, columns))


def _described(
    estimator: Any, inputs: tuple[TensorSpec, ...], declared: tuple[TensorSpec, ...]
) -> tuple[TensorSpec, ...]:
    """The outputs, by what the model answers to rows of zeros; those that are declared, as they are declared."""
    names = [spec.name for spec in declared] or [OUTPUT]
    for name in names:
        if not callable(getattr(estimator, name, None)):
            raise ModelError(
                f"A {type(estimator).__name__} has no method {name!r}; the outputs of the model are methods."
            )
    if declared:
        return declared
    rows = tuple(TensorSpec(spec.name, spec.datatype, (_PROBE_ROWS, *spec.shape[1:])) for spec in inputs)
    zeros = warmup.zeros(ModelMetadata("", "", "", rows, ()))
    try:
        answer = _call(estimator, OUTPUT, _features(zeros, inputs))
    except Exception as error:
        raise ModelError(
            f"The model fails on rows of zeros ({source.reason(error)}), so model.toml must name its [[outputs]]."
        ) from error
    return (TensorSpec(OUTPUT, DATATYPES[answer.dtype], (-1, *answer.shape[1:])),)


def _features(inputs: Mapping[str, Array], specs: tuple[TensorSpec, ...]) -> Any:
    """What scikit-learn calls X."""
    columns = {
        spec.name: arrays.to_text(inputs[spec.name], spec.name) if spec.datatype == "BYTES" else inputs[spec.name]
        for spec in specs
    }
    if len(columns) == 1:
        return next(iter(columns.values()))
    try:
        import pandas as pd
    except ModuleNotFoundError as error:
        raise ModelError("A model of scikit-learn with several inputs needs pandas: pip install pandas.") from error
    return pd.DataFrame({name: column.reshape(len(column)) for name, column in columns.items()})


def _call(estimator: Any, method: str, features: Any, datatype: str | None = None) -> Array:
    answer = getattr(estimator, method)(features)
    if hasattr(answer, "toarray"):  # a sparse matrix
        answer = answer.toarray()
    return arrays.to_protocol(answer, f"the output {method!r}", datatype)


def _unpacked_bytes(path: Path) -> int:
    with zipfile.ZipFile(path) as archive:
        return sum(member.file_size for member in archive.infolist())


class SklearnRuntime(base.AnswersOnce):
    """An estimator of scikit-learn, or a pipeline of them."""

    def __init__(self, estimator: Any, metadata: ModelMetadata, path: Path, *, only_computes: bool) -> None:
        self._estimator = estimator
        self._metadata = metadata
        self._directory = path.parent
        self._weights_bytes = _unpacked_bytes(path)
        self._only_computes = only_computes

    @property
    def metadata(self) -> ModelMetadata:
        """What model.toml says, or the estimator shows."""
        return self._metadata

    @property
    def device(self) -> str:
        """scikit-learn has no other."""
        return "cpu"

    @property
    def only_computes(self) -> bool:
        """Types that the owner trusts may wait for anything; those of scikit-learn do not."""
        return self._only_computes

    @property
    def weights_bytes(self) -> int:
        """The size of what the file unpacks to."""
        return self._weights_bytes

    def infer(self, inputs: Mapping[str, Array], parameters: Parameters) -> Mapping[str, Array]:
        """All outputs; see Runtime.infer."""
        del parameters
        try:
            features = _features(inputs, self._metadata.inputs)
            return {
                spec.name: _call(self._estimator, spec.name, features, spec.datatype) for spec in self._metadata.outputs
            }
        except ModelError as error:
            raise InferenceFailed(str(error)) from error
        except InvalidInput:
            raise
        except ValueError as error:
            # What scikit-learn's checks raise: NaN, an unknown category, no rows.
            raise InvalidInput(f"The model refuses these inputs: {str(error).partition(chr(10))[0][:300]}") from error
        except Exception as error:
            _LOG.exception("scikit-learn failed")
            raise InferenceFailed(f"The model failed: {source.reason(error)}") from error

    def close(self) -> None:
        """Free the estimator, and forget the modules that lay beside it."""
        self._estimator = None
        source.forget(self._directory)
