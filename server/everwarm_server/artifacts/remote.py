"""A model that lies elsewhere: looked at, downloaded, made a directory that runtimes can load, and published."""

import hashlib
import time
from contextlib import closing
from pathlib import Path
from typing import Final

from everwarm_server.artifacts import archives, cache
from everwarm_server.artifacts import uri as model_uri
from everwarm_server.artifacts.source import Source
from everwarm_server.artifacts.uri import ModelUri
from everwarm_server.errors import ModelError

_MODEL_SUFFIXES: Final = (".onnx", ".pt2", ".pt", ".skops", ".py")


def fetch(uri: ModelUri, cache_dir: Path, max_bytes: int) -> Path:
    """The entry of `cache_dir` that holds the model at its present version; see fetch.fetch.

    Raises:
        ModelError: there is nothing there, it can't be read, is too large, or a package is missing.
    """
    with closing(_open(uri)) as source:
        entry = None if source.identity is None else _entry(cache_dir, uri, source.identity)
        if entry is not None and entry.is_dir():
            return entry
        try:
            return _download(source, uri, cache_dir, max_bytes)
        except OSError as error:
            raise ModelError(f"{uri.shown} can't be written to {cache_dir}: {error.strerror or error}.") from error


def _open(uri: ModelUri) -> Source:
    if uri.scheme in model_uri.HTTP:
        from everwarm_server.artifacts import web

        return web.open_source(uri)
    try:
        from everwarm_server.artifacts import stores
    except ModuleNotFoundError as error:
        if error.name is None or error.name.split(".")[0] != "obstore":
            raise
        raise ModelError(
            f"{uri.shown} needs the package obstore, which is not installed: pip install 'everwarm[store]'."
        ) from error
    return stores.open_source(uri)


def _entry(cache_dir: Path, uri: ModelUri, identity: str) -> Path:
    return cache_dir / cache.entry_name(uri.name, f"{uri.shown}\n{identity}")


def _download(source: Source, uri: ModelUri, cache_dir: Path, max_bytes: int) -> Path:
    cache.sweep(cache_dir, time.time())
    with cache.staging(cache_dir, source.size_bytes or 0) as staging:
        download = staging / "download"
        download.mkdir()
        source.download(download, max_bytes)
        identity = source.identity or _digest(download)
        single = source.single_file
        files = download if single is None else _single(download / single, staging, max_bytes)
        return cache.publish(files, _entry(cache_dir, uri, identity))


def _digest(directory: Path) -> str:
    digest = hashlib.sha256()
    for path in sorted(directory.iterdir()):
        with path.open("rb") as file:
            digest.update(hashlib.file_digest(file, "sha256").digest())
    return digest.hexdigest()


def _single(file: Path, staging: Path, max_bytes: int) -> Path:
    files = staging / "files"
    if archives.is_archive(file.name):
        archives.unpack(file, files, max_bytes)
        # Archives often hold one folder that holds the files.
        while len(inside := list(files.iterdir())) == 1 and inside[0].is_dir():
            files = inside[0]
        if not inside:
            raise ModelError(f"The archive {file.name} is empty.")
        return files
    if file.suffix not in _MODEL_SUFFIXES:
        known = ", ".join((*_MODEL_SUFFIXES, *archives.SUFFIXES))
        raise ModelError(f"The model URI ends in {file.name!r}; a single file must end in one of {known}.")
    files.mkdir()
    file.rename(files / f"model{file.suffix}")
    return files
