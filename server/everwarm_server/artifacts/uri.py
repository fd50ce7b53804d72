"""Where a model lies, as text, to its parts; errors are sentences for who wrote the URI."""

from dataclasses import dataclass
from pathlib import Path
from typing import Final
from urllib.parse import unquote, urlsplit

from everwarm_server.errors import ModelError

STORES: Final = frozenset({"s3", "gs", "az"})
HTTP: Final = frozenset({"http", "https"})
_SCHEMES: Final = "a path, file://, s3://, gs://, az://, http:// or https://"


@dataclass(frozen=True, slots=True)
class ModelUri:
    """A parsed URI.

    Attributes:
        text: as it was given; a query may hold a signature, so this is for opening and not for logs.
        shown: the text without its query, for logs, errors and cache entries.
        scheme: file, s3, gs, az, http or https.
        place: bucket, container or host; empty for file.
        path: a path of this machine for file; else the key or path without a leading slash.
    """

    text: str
    shown: str
    scheme: str
    place: str
    path: str

    @property
    def name(self) -> str:
        """The last part of the path, or of the place where there is no path: a name for the model."""
        return self.path.rstrip("/").rpartition("/")[2] or self.place


def parse(text: str) -> ModelUri:
    """The parts of a model's URI.

    Raises:
        ModelError: it is empty, of an unknown scheme, or lacks its bucket or host.
    """
    text = text.strip()
    if not text:
        raise ModelError(f"The model URI is empty; it must be {_SCHEMES}.")
    if not text.isprintable():
        raise ModelError(f"The model URI {text!r} holds a character that can't be printed.")
    if "://" not in text:
        return ModelUri(text, text, "file", "", str(Path(text).absolute()))
    shown = text.partition("?")[0]
    try:
        parts = urlsplit(text)
    except ValueError as error:
        raise ModelError(f"The model URI {shown!r} is not a URI: {error}.") from error
    if parts.scheme == "file":
        if parts.netloc not in {"", "localhost"} or not parts.path.startswith("/"):
            raise ModelError(f"The model URI {shown!r} must have three slashes and an absolute path: file:///models/m.")
        return ModelUri(text, text, "file", "", unquote(parts.path))
    if parts.scheme not in STORES | HTTP:
        raise ModelError(f"The model URI {shown!r} has the scheme {parts.scheme!r}; it must be {_SCHEMES}.")
    if "@" in parts.netloc:
        raise ModelError("The model URI holds a user or password; give credentials by the environment instead.")
    if not parts.netloc:
        raise ModelError(f"The model URI {shown!r} names no {'host' if parts.scheme in HTTP else 'bucket'}.")
    return ModelUri(text, shown, parts.scheme, parts.netloc, parts.path.lstrip("/"))
