"""Object stores (s3://, gs://, az://) by obstore: the objects under a prefix, fetched in parallel ranges.

Credentials, region and endpoint come from the environment, as each cloud's own tools read it (AWS_*, GOOGLE_*, AZURE_*;
on Kubernetes a service account's web identity). AWS_ENDPOINT_URL names another S3.
"""

import os
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import obstore
from obstore.exceptions import BaseError
from obstore.store import from_url

from everwarm_server.artifacts.archives import safe_relative
from everwarm_server.artifacts.uri import ModelUri
from everwarm_server.errors import ModelError

if TYPE_CHECKING:
    from obstore import GetOptions

# One stream of S3 gives about 0.3 GB/s, 32 give 3 GB/s; 16 ranges of 16 MiB in flight need 256 MiB of memory.
PART_BYTES: Final = 16 * 2**20
PARALLEL: Final = 16
_ENDPOINTS: Final = ("AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL", "AWS_ENDPOINT")


@dataclass(frozen=True, slots=True)
class StoredFile:
    """One object: its key, the path it gets in the model's directory, and the version that was listed."""

    key: str
    path: str
    size_bytes: int
    etag: str | None


def open_source(uri: ModelUri, environment: Mapping[str, str] = os.environ) -> "StoreSource":
    """Look at the objects of a URI: those under it as a prefix, or the one object of that key.

    Raises:
        ModelError: there are none, or the store can't be read.
    """
    store = _store(uri, environment)
    prefix = uri.path.strip("/")
    try:
        listed = [meta for batch in obstore.list(store, prefix=prefix or None) for meta in batch]
        if not listed and prefix:
            meta = obstore.head(store, prefix)
            single = uri.name
            return StoreSource(store, uri.shown, (_file(meta, single),), single)
    except FileNotFoundError:
        listed = []
    except (BaseError, OSError, ValueError) as error:
        raise ModelError(f"{uri.shown} can't be read: {first_line(error)}") from error
    start = len(prefix) + 1 if prefix else 0
    files = tuple(
        _file(meta, str(safe_relative(meta["path"][start:]))) for meta in listed if not meta["path"].endswith("/")
    )
    if not files:
        raise ModelError(f"There is nothing at {uri.shown}.")
    return StoreSource(store, uri.shown, files, None)


def _store(uri: ModelUri, environment: Mapping[str, str]) -> Any:
    options: dict[str, Any] = {}
    if uri.scheme == "s3":
        endpoint = next((environment[name] for name in _ENDPOINTS if environment.get(name)), None)
        if endpoint is not None:
            options = {"endpoint": endpoint, "client_options": {"allow_http": endpoint.startswith("http://")}}
    try:
        return from_url(f"{uri.scheme}://{uri.place}", **options)
    except (BaseError, ValueError) as error:
        raise ModelError(f"{uri.shown} can't be read: {first_line(error)}") from error


def _file(meta: Mapping[str, Any], path: str) -> StoredFile:
    return StoredFile(meta["path"], path, meta["size"], meta["e_tag"])


def first_line(error: Exception) -> str:
    """What obstore says without the dump of its structures."""
    return str(error).strip().partition("\n")[0][:300]


class StoreSource:
    """Objects of a store, by the version that was listed."""

    def __init__(self, store: Any, text: str, files: tuple[StoredFile, ...], single_file: str | None) -> None:
        self._store = store
        self._text = text
        self._files = files
        self.single_file = single_file
        self.size_bytes = sum(file.size_bytes for file in files)
        self.identity = "\n".join(f"{f.path} {f.size_bytes} {f.etag}" for f in sorted(files, key=lambda f: f.path))

    def download(self, into: Path, max_bytes: int) -> None:
        """Fetch all objects in parallel ranges; see Source.download."""
        if self.size_bytes > max_bytes:
            raise ModelError(f"{self._text} has {self.size_bytes} bytes, more than the limit of {max_bytes}.")
        ranges = []
        for file in self._files:
            target = into / file.path
            target.parent.mkdir(parents=True, exist_ok=True)
            with target.open("xb") as out:
                out.truncate(file.size_bytes)
            ranges += [(file, target, start) for start in range(0, file.size_bytes, PART_BYTES)]
        with ThreadPoolExecutor(PARALLEL, thread_name_prefix="everwarm-fetch") as pool:
            try:
                for _ in pool.map(lambda part: self._fetch(*part), ranges):
                    pass
            except (BaseError, OSError) as error:
                pool.shutdown(cancel_futures=True)
                raise ModelError(f"{self._text} can't be read: {first_line(error)}") from error

    def _fetch(self, file: StoredFile, target: Path, start: int) -> None:
        end = min(start + PART_BYTES, file.size_bytes)
        # If the object was replaced since it was listed, the ranges would be of two versions.
        options: GetOptions = {"range": (start, end)}
        if file.etag:
            options["if_match"] = file.etag
        content = obstore.get(self._store, file.key, options=options).bytes()
        if len(content) != end - start:
            raise OSError(f"{file.key} ended {end - start - len(content)} bytes early")
        with target.open("r+b") as out:
            out.seek(start)
            out.write(content)

    def close(self) -> None:
        """Nothing is open."""
