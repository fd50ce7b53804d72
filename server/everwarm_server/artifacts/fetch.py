"""A model URI and a cache directory in; a local directory with the model's files out."""

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

MAX_BYTES: Final = 256 * 2**30
_MODEL_SUFFIXES: Final = (".onnx", ".pt2", ".pt", ".py")


def fetch(uri: str, cache_dir: Path, max_bytes: int = MAX_BYTES) -> Path:
    """The directory that holds the model. Blocks for as long as the download takes; run it in a thread.

    A path of this machine is used in place. Anything else is downloaded into an entry of `cache_dir` that carries its
    version (the ETags), so that a second start finds it there and a changed model is fetched anew. A single file
    becomes `model.onnx` (`.pt`, `.pt2`, `.py`) of a directory; an archive (.tar, .tar.gz, .tgz, .zip) is unpacked.

    Args:
        uri: a path, file://, s3://, gs://, az://, http:// or https://.
        cache_dir: made if it is missing; several processes may share it.
        max_bytes: limit of the model's size, both as it is sent and unpacked.

    Raises:
        ModelError: there is nothing there, it can't be read, is too large, or a package is missing.
    """
    parsed = model_uri.parse(uri)
    if parsed.scheme == "file":
        return _local(Path(parsed.path))
    with closing(_open(parsed)) as source:
        entry = _entry(cache_dir, parsed, source.identity)
        if entry is not None and entry.is_dir():
            return entry
        try:
            return _download(source, parsed, cache_dir, max_bytes)
        except OSError as error:
            raise ModelError(f"{parsed.shown} can't be written to {cache_dir}: {error.strerror or error}.") from error


def _local(path: Path) -> Path:
    if path.is_dir():
        return path
    if path.is_file():
        raise ModelError(f"The model URI names the file {path}; name the directory that holds it.")
    raise ModelError(f"There is no model directory {path}.")


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


def _entry(cache_dir: Path, uri: ModelUri, identity: str | None) -> Path | None:
    return None if identity is None else cache_dir / cache.entry_name(uri.name, f"{uri.shown}\n{identity}")


def _download(source: Source, uri: ModelUri, cache_dir: Path, max_bytes: int) -> Path:
    cache.sweep(cache_dir, time.time())
    with cache.staging(cache_dir, source.size_bytes or 0) as staging:
        download = staging / "download"
        download.mkdir()
        source.download(download, max_bytes)
        identity, files = source.identity, download
        if source.single_file is not None:
            if identity is None:
                with (download / source.single_file).open("rb") as file:
                    identity = hashlib.file_digest(file, "sha256").hexdigest()
            files = _single(download / source.single_file, staging, max_bytes)
        return cache.publish(files, cache_dir / cache.entry_name(uri.name, f"{uri.shown}\n{identity}"))


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
