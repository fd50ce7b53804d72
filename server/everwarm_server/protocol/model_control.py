"""The requests of Triton's model repository extension: bodies or messages in, what is wanted out.

Source: triton-inference-server/server, docs/protocol/extension_model_repository.md. Of the `config` that a load may
carry only the `version_policy` is taken: the rest of a model's configuration lies beside its files. Files in a request
(`file:...`) are refused: models come from where the server's owner has listed them.
"""

from collections.abc import Mapping
from typing import Any, Final

import orjson

from everwarm_server.catalogue import Policy, is_version
from everwarm_server.errors import InvalidInput
from everwarm_server.protocol.sentences import shown

_FILE: Final = "file:"


def only_ready(document: Mapping[str, Any]) -> bool:
    """Whether an index shall leave out what is not ready.

    Raises:
        InvalidInput: the document says it wrongly.
    """
    ready = document.get("ready", False)
    if type(ready) is not bool:
        raise InvalidInput(f"ready is {shown(ready)}; it must be true or false.")
    return ready


def parameters(document: Mapping[str, Any]) -> Mapping[str, Any]:
    """The parameters of a load or an unload.

    Raises:
        InvalidInput: they are no object.
    """
    given = document.get("parameters", {})
    if type(given) is not dict:
        raise InvalidInput(f"The parameters are {shown(given)}; they must be an object.")
    return given


def load_policy(given: Mapping[str, Any]) -> Policy | None:
    """Which versions a load wants; None: those that the list of models says.

    Raises:
        InvalidInput: a parameter is unknown, wrong or not offered.
    """
    for name in given:
        if name.startswith(_FILE):
            raise InvalidInput("A load carries no files here: put them where the model lies, and load it then.")
        if name != "config":
            raise InvalidInput(f"{shown(name)} is no parameter of a load; known is 'config'.")
    if not given:
        return None
    text = given["config"]
    try:
        config = orjson.loads(text) if type(text) is str else None
    except orjson.JSONDecodeError:
        config = None
    if type(config) is not dict:
        raise InvalidInput(f"config is {shown(text)}; it must be a string that holds a JSON object.")
    for name in config:
        if name != "version_policy":
            raise InvalidInput(
                f"config has {shown(name)}, which can't be changed by a load: it is said by the model's files, its "
                "model.toml and the settings of the server. Known is 'version_policy'."
            )
    return _policy(config["version_policy"]) if "version_policy" in config else None


def _policy(given: Any) -> Policy:
    """Triton's ModelVersionPolicy (model_config.proto)."""
    match given:
        case {"all": {}, **others} if not others:
            return Policy(None)
        case {"latest": {**options}, **others} if not others and options.keys() <= {"num_versions"}:
            count = options.get("num_versions", 1)
            if type(count) is int and count > 0:
                return Policy(count)
        case {"specific": {"versions": [*versions]}, **others} if versions and not others:
            numbers = frozenset(map(str, versions))
            if all(type(each) in {int, str} for each in versions) and all(map(is_version, numbers)):
                return Policy(specific=numbers)
    raise InvalidInput(
        f"version_policy is {shown(given)}; it must be "
        '{"latest": {"num_versions": 2}}, {"all": {}} or {"specific": {"versions": [1, 3]}}.'
    )


def check_unload(given: Mapping[str, Any]) -> None:
    """See that an unload is one. No model here has dependents, so `unload_dependents` may be either.

    Raises:
        InvalidInput: a parameter is unknown or wrong.
    """
    for name, value in given.items():
        if name != "unload_dependents":
            raise InvalidInput(f"{shown(name)} is no parameter of an unload; known is 'unload_dependents'.")
        if type(value) is not bool:
            raise InvalidInput(f"unload_dependents is {shown(value)}; it must be true or false.")
