"""A model URI and a cache directory in; a local directory with the model's files out."""

from pathlib import Path
from typing import Final

from everwarm_server.artifacts import uri as model_uri
from everwarm_server.errors import ModelError

MAX_BYTES: Final = 256 * 2**30


def fetch(uri: str, cache_dir: Path | None, max_bytes: int = MAX_BYTES) -> Path:
    """The directory that holds the model. Blocks for as long as the download takes; run it in a thread.

    A path of this machine is used in place. Anything else is downloaded into an entry of `cache_dir` that carries its
    version (the ETags), so that a second start finds it there and a changed model is fetched anew. A single file
    becomes `model.onnx` (`.pt`, `.pt2`, `.py`) of a directory; an archive (.tar, .tar.gz, .tgz, .zip) is unpacked.

    Args:
        uri: a path, file://, s3://, gs://, az://, http:// or https://.
        cache_dir: made if it is missing; several processes may share it. None: one in the temporary directory.
        max_bytes: limit of the model's size, both as it is sent and unpacked.

    Raises:
        ModelError: there is nothing there, it can't be read, is too large, or a package is missing.
    """
    parsed = model_uri.parse(uri)
    if parsed.scheme == "file":
        return _local(Path(parsed.path))
    # A model baked into the image starts without the imports of archives and networks.
    from everwarm_server.artifacts import cache, remote

    return remote.fetch(parsed, cache_dir or cache.default_directory(), max_bytes)


def _local(path: Path) -> Path:
    if path.is_dir():
        return path
    if path.is_file():
        raise ModelError(f"The model URI names the file {path}; name the directory that holds it.")
    raise ModelError(f"There is no model directory {path}.")
