"""A directory of models, or a list of them in TOML, in; the models that may be served out.

A directory has a folder for each model: the model itself, or a folder for each version, named by its number. Its file
`models.toml`, if there is one, says more; such a list can also stand alone:

[[models]]
name = "digits"
uri = "digits/3"       # from the list's directory, absolute, or s3:// and the like; default: the folder of that name
version = 3            # what lies there is this version; other versions have entries of their own
versions = "latest"    # which are served: "latest", "all", or numbers: [1, 3]; {latest = 2}: the two highest
default = 3            # which one answers where none is asked for; default: the highest that is ready
pinned = true          # never given up for another model
format = "onnx"        # these three as in the server's settings
device = "cpu"
concurrency = 2
"""

import re
import tomllib
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any, Final, Literal

from pydantic import BaseModel, ConfigDict, Field, PositiveInt, ValidationError

from everwarm_server.catalogue import DEVICE_PATTERN, NAME_PATTERN, ModelSpec, Policy, Source
from everwarm_server.errors import ModelError

FILE: Final = "models.toml"
_LOST: Final = "lost+found"


class _Latest(BaseModel):
    model_config = ConfigDict(extra="forbid")

    latest: PositiveInt


class Entry(BaseModel):
    """One entry of the list."""

    model_config = ConfigDict(extra="forbid", strict=True)

    name: Annotated[str, Field(pattern=NAME_PATTERN)]
    uri: Annotated[str, Field(min_length=1)] | None = None
    version: PositiveInt | None = None
    versions: Literal["latest", "all"] | _Latest | Annotated[list[PositiveInt], Field(min_length=1)] = "latest"
    default: PositiveInt | None = None
    pinned: bool = False
    format: str | None = None
    device: Annotated[str, Field(pattern=DEVICE_PATTERN)] | None = None
    concurrency: Annotated[int, Field(ge=1, le=1024)] | None = None

    @property
    def policy(self) -> Policy:
        """Which versions are served."""
        if isinstance(self.versions, list):
            return Policy(specific=frozenset(map(str, self.versions)))
        if isinstance(self.versions, _Latest):
            return Policy(self.versions.latest)
        return Policy(None if self.versions == "all" or self.version is not None else 1)


def read(path: Path, defaults: Source) -> dict[str, ModelSpec]:
    """The models by name.

    Args:
        path: a directory of models, or a list.
        defaults: how a model is served whose entry does not say it; its name and URI don't count.

    Raises:
        ModelError: there is nothing there, or the list is wrong.
    """
    try:
        return _read(path, defaults)
    except OSError as error:
        raise ModelError(f"{error.filename} can't be read: {error.strerror}.") from error


def _read(path: Path, defaults: Source) -> dict[str, ModelSpec]:
    if path.is_dir():
        found = {folder.name: ModelSpec(_named(folder, defaults)) for folder in _folders(path)}
        return found | _listed(path / FILE, defaults) if (path / FILE).is_file() else found
    if not path.is_file():
        raise ModelError(f"There is no directory of models and no list of them at {path}.")
    return _listed(path, defaults)


def _folders(directory: Path) -> Iterable[Path]:
    return sorted(
        child for child in directory.iterdir() if child.is_dir() and child.name[0] not in "._" and child.name != _LOST
    )


def _named(folder: Path, defaults: Source) -> Source:
    if not re.fullmatch(NAME_PATTERN, folder.name):
        raise ModelError(f"The folder {folder} can't be a model: its name would need other letters in URLs.")
    return replace(defaults, name=folder.name, uri=str(folder))


def _listed(path: Path, defaults: Source) -> dict[str, ModelSpec]:
    found: dict[str, ModelSpec] = {}
    for entry in _entries(path):
        known = found.get(entry.name)
        spec = _spec(entry, path.parent, defaults)
        if known is None:
            found[entry.name] = spec
        elif not known.uris or not spec.uris or known.uris.keys() & spec.uris.keys():
            raise ModelError(f"{path} has the model {entry.name!r} twice; each entry needs a version of its own.")
        else:
            same = _same(known, spec, path)
            found[entry.name] = replace(same, uris={**known.uris, **spec.uris})
    return found


def _same(known: ModelSpec, spec: ModelSpec, path: Path) -> ModelSpec:
    """What the entries of one model say of all of it."""
    if replace(known.base, uri="") != replace(spec.base, uri="") or known.policy != spec.policy:
        raise ModelError(f"The entries of the model {spec.name!r} in {path} differ in more than uri and version.")
    if known.default is not None and spec.default is not None and known.default != spec.default:
        raise ModelError(f"The entries of the model {spec.name!r} in {path} name two default versions.")
    return replace(known, default=known.default or spec.default)


def _entries(path: Path) -> list[Entry]:
    try:
        document = tomllib.loads(path.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ModelError(f"{path} is not valid TOML: {error}.") from error
    tables: Any = document.get("models")
    if set(document) != {"models"} or not isinstance(tables, list):
        raise ModelError(f"{path} must have tables [[models]] and nothing else.")
    return [_entry(table, index, path) for index, table in enumerate(tables, 1)]


def _entry(table: Any, index: int, path: Path) -> Entry:
    try:
        return Entry.model_validate(table)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        where = ".".join(str(part) for part in first["loc"][:1]) or "it"
        raise ModelError(f"Entry {index} of [[models]] in {path} is wrong: {where}: {first['msg']}.") from error


def _spec(entry: Entry, directory: Path, defaults: Source) -> ModelSpec:
    uri = entry.uri or entry.name
    base = replace(
        defaults,
        name=entry.name,
        uri=uri if "://" in uri else str(directory / uri),
        format=entry.format or defaults.format,
        device=entry.device or defaults.device,
        concurrency=entry.concurrency or defaults.concurrency,
        pinned=entry.pinned,
    )
    uris = {} if entry.version is None else {str(entry.version): base.uri}
    return ModelSpec(base, uris, entry.policy, None if entry.default is None else str(entry.default))
