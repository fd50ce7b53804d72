"""The fields that V2 has in JSON and in gRPC alike: checked values out, or InvalidInput."""

from collections.abc import Mapping
from typing import Any, Final

from everwarm_server.errors import InvalidInput
from everwarm_server.protocol.sentences import shown
from everwarm_server.protocol.tensors import BINARY_ONLY, DTYPES

MAX_ID_CHARACTERS: Final = 1024
MAX_PARAMETERS: Final = 256


def identity(value: Any) -> str | None:
    """The request's id; None if it has none."""
    if value is None:
        return None
    if type(value) is not str or len(value) > MAX_ID_CHARACTERS or not value.isprintable():
        raise InvalidInput(
            f"The id is {shown(value)}; it must be a string of at most {MAX_ID_CHARACTERS} printable characters."
        )
    return value


def datatype(value: Any, owner: str) -> str:
    """A datatype that the protocol has."""
    if type(value) is not str or value not in DTYPES:
        raise InvalidInput(f"The {owner} has the datatype {shown(value)}; it must be one of {', '.join(DTYPES)}.")
    return value


def check_count(parameters: Mapping[str, Any], owner: str) -> None:
    """See that there are not too many parameters."""
    if len(parameters) > MAX_PARAMETERS:
        raise InvalidInput(f"The {owner} has {len(parameters)} parameters; at most {MAX_PARAMETERS} are accepted.")


def check_offered(parameters: Mapping[str, Any], owner: str) -> None:
    """See that a tensor asks for no extension of Triton's that this server does not have."""
    if "classification" in parameters:
        raise InvalidInput(f"The {owner} asks for classification, which this server does not do; sort its values.")
    if "shared_memory_region" in parameters:
        raise InvalidInput(f"The {owner} lies in shared memory, which this server does not read; send the tensor.")


def flag(value: Any, name: str, owner: str) -> bool:
    """A parameter that is true or false."""
    if type(value) is not bool:
        raise InvalidInput(f"The parameter {name} of the {owner} is {shown(value)}; it must be true or false.")
    return value


def refuse_twice(name: str, kind: str) -> InvalidInput:
    """What to say of a second tensor of a name."""
    return InvalidInput(f"The {kind} {shown(name)} comes twice; each name may come once.")


def check_has_text_form(datatype: str, owner: str, way_out: str) -> None:
    """See that a datatype can be written otherwise than as bytes; FP16 and BF16 can't, in JSON as in gRPC."""
    if datatype in BINARY_ONLY:
        raise InvalidInput(f"The {owner} is {datatype}, which V2 carries only as binary: {way_out}.")
