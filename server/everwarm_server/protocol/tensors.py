"""What the inside of the server speaks: tensors, requests, responses. Each protocol is translated to and from these.

Datatypes are those of the Open Inference Protocol (kserve/open-inference-protocol, inference_rest.md, "Tensor Data
Types"), and BF16 of Triton's. What is made for each request is a named tuple: a frozen dataclass takes twice as long
to make.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Final, NamedTuple, TypeAlias

import ml_dtypes
import numpy as np

Array: TypeAlias = np.ndarray[Any, np.dtype[Any]]
Parameters: TypeAlias = Mapping[str, str | int | float | bool]

DTYPES: Final[dict[str, np.dtype[Any]]] = {
    "BOOL": np.dtype(np.bool_),
    "UINT8": np.dtype("<u1"),
    "UINT16": np.dtype("<u2"),
    "UINT32": np.dtype("<u4"),
    "UINT64": np.dtype("<u8"),
    "INT8": np.dtype("<i1"),
    "INT16": np.dtype("<i2"),
    "INT32": np.dtype("<i4"),
    "INT64": np.dtype("<i8"),
    "FP16": np.dtype("<f2"),
    "BF16": np.dtype(ml_dtypes.bfloat16),  # numpy has none of its own
    "FP32": np.dtype("<f4"),
    "FP64": np.dtype("<f8"),
    "BYTES": np.dtype(object),  # each element is a Python `bytes`
}
FLOATS: Final = frozenset({"FP16", "BF16", "FP32", "FP64"})
BINARY_ONLY: Final = frozenset({"FP16", "BF16"})  # neither V2's JSON nor gRPC's typed contents can carry them
DATATYPES: Final[dict[np.dtype[Any], str]] = {dtype: name for name, dtype in DTYPES.items()}


@dataclass(frozen=True, slots=True)
class TensorSpec:
    """Name, datatype and shape of a model's input or output; -1 is a dimension of any size."""

    name: str
    datatype: str
    shape: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class ModelMetadata:
    """What a model takes and gives. Empty `inputs`: the model accepts whatever comes (a Python model may).

    `takes_documents`: it looks at requests itself, at V1 bodies as they came (see documents.py); then `inputs` and
    `outputs` tell clients something, and hold nobody to it.
    """

    name: str
    version: str
    platform: str
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    takes_documents: bool = False


class Tensor(NamedTuple):
    """A named array. `data` may be a read-only view of the request's body: copy before writing to it."""

    name: str
    datatype: str
    data: Array


@dataclass(frozen=True, slots=True)
class RequestedOutput:
    """An output that the client asks for, and whether it wants it as binary."""

    name: str
    binary: bool = False


class InferRequest(NamedTuple):
    """One inference request, whatever protocol it came by. No `outputs`: all of them, as the protocol says."""

    inputs: tuple[Tensor, ...]
    id: str | None = None
    outputs: tuple[RequestedOutput, ...] = ()
    binary_outputs: bool = False
    parameters: Parameters = MappingProxyType({})


class InferResponse(NamedTuple):
    """The answer to one request: the requested outputs, in the order asked for."""

    model_name: str
    model_version: str
    outputs: tuple[Tensor, ...]
    id: str | None = None
