"""Which models a server may serve, and how: values that the settings and model lists give, and the loader takes."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Final, TypeAlias

from everwarm_server.errors import ModelError

VERSION: Final = "1"  # of a model that has no versions of its own
NAME_PATTERN: Final = r"^[A-Za-z0-9][A-Za-z0-9._-]{0,199}$"
DEVICE_PATTERN: Final = r"^(auto|cpu|cuda(:(\d{1,3}|\*))?(,cuda:\d{1,3})*)$"  # as runtime/devices.py has it
_LONGEST_VERSION: Final = 18  # digits: Triton's versions are 64-bit integers


@dataclass(frozen=True, slots=True)
class Source:
    """Where one version of one model lies, and how it is served.

    Attributes:
        name: as clients call the model.
        version: a whole number, as text.
        uri: a path, file://, s3://, gs://, az:// or https://.
        format: onnx, torch, sklearn, python or kserve; None: by the files that are there.
        device: auto, cpu, or GPUs as cuda, cuda:1, cuda:0,cuda:1 or cuda:*.
        concurrency: requests executed at once.
        cache_dir: where downloads are kept; None: a directory in the temporary one.
        pinned: never given up for another model.
    """

    name: str
    uri: str
    version: str = VERSION
    format: str | None = None
    device: str = "auto"
    concurrency: int = 1
    cache_dir: Path | None = None
    pinned: bool = False

    @property
    def directory(self) -> Path | None:
        """Its directory, if it lies on this machine."""
        return local(self.uri)


@dataclass(frozen=True, slots=True)
class Policy:
    """Which versions of a model are served.

    Attributes:
        latest: so many of the highest; None: all.
        specific: these, if there are any.
    """

    latest: int | None = 1
    specific: frozenset[str] = frozenset()

    def choose(self, name: str, versions: Iterable[str]) -> list[str]:
        """The versions to serve out of those that there are, lowest first.

        Raises:
            ModelError: a specific one is not there, or none is.
        """
        known = sorted(versions, key=int)
        missing = sorted(self.specific.difference(known), key=int)
        if missing or not known:
            raise ModelError(
                f"The model {name!r} has no version {missing[0] if missing else 'at all'}; "
                f"there are {', '.join(known) or 'none'}."
            )
        if self.specific:
            return sorted(self.specific, key=int)
        return known if self.latest is None else known[-self.latest :]


@dataclass(frozen=True, slots=True)
class ModelSpec:
    """A model that may be served.

    Attributes:
        base: what all its versions have in common; its URI is where they lie: a model, or numbered folders of models.
        uris: of versions that lie elsewhere, by version; if there are any, nothing lies at the base's URI.
        policy: which versions are served.
        default: the version that answers where none is asked for; None: the highest that is ready.
    """

    base: Source
    uris: Mapping[str, str] = field(default_factory=dict)
    policy: Policy = Policy()
    default: str | None = None

    @property
    def name(self) -> str:
        """As clients call it."""
        return self.base.name

    def sources(self, policy: Policy | None = None) -> list[Source]:
        """The versions to serve, lowest first, by what is there now. Looks at the file system.

        Raises:
            ModelError: there are none, or one that the policy names is not there.
        """
        uris = self.uris or _versions_at(self.base.uri)
        chosen = (policy or self.policy).choose(self.name, uris)
        if self.default is not None and self.default not in chosen:
            raise ModelError(
                f"The default version {self.default} of the model {self.name!r} is not among those that are served: "
                f"{', '.join(chosen)}."
            )
        return [replace(self.base, uri=uris[version], version=version) for version in chosen]


@dataclass(frozen=True, slots=True)
class StartPlan:
    """What a server begins with.

    Attributes:
        models: the default version, if one is named, and all versions, by name.
        now: what is loaded at the start; the rest at its first request.
        wrong: why a model has no versions, by name.
    """

    models: Mapping[str, tuple[str | None, Sequence[Source]]]
    now: Sequence[Source]
    wrong: Mapping[str, str] = field(default_factory=dict)


def start_plan(specs: Iterable[ModelSpec], memory_bytes: int | None = None) -> StartPlan:
    """What is loaded at the start: all; with a budget what is pinned, then what fits, by the sizes of the files.

    What lies elsewhere has no size before it is fetched: with a budget it waits for its first request.
    """
    models: dict[str, tuple[str | None, Sequence[Source]]] = {}
    wrong: dict[str, str] = {}
    for spec in specs:
        try:
            models[spec.name] = (spec.default, spec.sources())
        except ModelError as error:
            wrong[spec.name] = str(error)
    sources = [source for _, versions in models.values() for source in versions]
    return StartPlan(models, sources if memory_bytes is None else _fitting(sources, memory_bytes), wrong)


def _fitting(sources: Iterable[Source], memory_bytes: int) -> list[Source]:
    now, left_bytes = [], memory_bytes
    for source in sorted(sources, key=lambda each: not each.pinned):
        try:
            needed_bytes = size_bytes(source.directory)
        except ModelError:  # told by whoever tries to load it
            needed_bytes = 0
        if source.pinned or 0 < needed_bytes <= left_bytes:
            now.append(source)
            left_bytes -= needed_bytes
    return now


Catalogue: TypeAlias = Callable[[], dict[str, ModelSpec]]
"""Gives the models by name, as they are listed now; raises ModelError if the list can't be read."""


def local(uri: str) -> Path | None:
    """The path that a URI names on this machine, if it does."""
    path = uri.removeprefix("file://")
    return None if "://" in path else Path(path)


def is_version(text: str) -> bool:
    """Whether a folder of this name is a version: a whole number without leading zeros, as Triton has it."""
    return text.isascii() and text.isdigit() and not text.startswith("0") and len(text) <= _LONGEST_VERSION


@contextmanager
def _readable() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise ModelError(f"{error.filename} can't be read: {error.strerror}.") from error


def _versions_at(uri: str) -> dict[str, str]:
    """URIs by version: the numbered folders of a local directory that is no model itself; else one version.

    Raises:
        ModelError: it can't be read.
    """
    directory = local(uri)
    if directory is None or not directory.is_dir():
        return {VERSION: uri}
    with _readable():
        children = list(directory.iterdir())
    folders = {child.name: str(child) for child in children if is_version(child.name) and child.is_dir()}
    is_model = any(child.stem == "model" and child.suffix != ".toml" and child.is_file() for child in children)
    return folders if folders and not is_model else {VERSION: uri}


def size_bytes(directory: Path | None) -> int:
    """The size of all files below a directory, in bytes; 0 where there is none.

    Raises:
        ModelError: it can't be read.
    """
    if directory is None:
        return 0
    with _readable():
        return sum(path.stat().st_size for path in directory.rglob("*") if path.is_file())


def stamp(directory: Path | None) -> frozenset[tuple[str, int, int]] | None:
    """What tells whether the files below a directory have changed; None where nothing can tell.

    Raises:
        ModelError: it can't be read.
    """
    if directory is None:
        return None
    with _readable():
        paths = (path for path in directory.rglob("*") if path.is_file() and "__pycache__" not in path.parts)
        stats = ((str(path), path.stat()) for path in paths)
        return frozenset((name, stat.st_size, stat.st_mtime_ns) for name, stat in stats)
