"""http:// and https://: one file or one archive, by the standard library alone."""

import http.client
import urllib.error
import urllib.request
from pathlib import Path
from typing import IO, Any, Final

from everwarm_server.artifacts.archives import safe_relative
from everwarm_server.artifacts.uri import ModelUri
from everwarm_server.errors import ModelError

TIMEOUT_SECONDS: Final = 30.0  # without a byte
_CHUNK_BYTES: Final = 2**20


class _Redirects(urllib.request.HTTPRedirectHandler):
    """Follows redirects, but never from https to http: whoever sits in between could then name the model."""

    def redirect_request(
        self, req: urllib.request.Request, fp: IO[bytes], code: int, msg: str, headers: Any, newurl: str
    ) -> urllib.request.Request | None:
        if req.full_url.startswith("https:") and not newurl.startswith("https:"):
            raise ModelError(f"https://{req.host} redirects to an address that is not https://, which is not followed.")
        return super().redirect_request(req, fp, code, msg, headers, newurl)


def _opener() -> urllib.request.OpenerDirector:
    # Not build_opener: that one also opens file:// and ftp://.
    opener = urllib.request.OpenerDirector()
    for handler in (
        urllib.request.ProxyHandler(),
        urllib.request.HTTPHandler(),
        urllib.request.HTTPSHandler(),
        urllib.request.HTTPDefaultErrorHandler(),
        urllib.request.HTTPErrorProcessor(),
        _Redirects(),
    ):
        opener.add_handler(handler)
    return opener


def open_source(uri: ModelUri) -> "WebSource":
    """Ask for the file of a URI; its bytes are not read yet.

    Raises:
        ModelError: the host is not there, or answers anything but 200.
    """
    try:
        response = _opener().open(uri.text, timeout=TIMEOUT_SECONDS)
    except urllib.error.HTTPError as error:
        error.close()
        raise ModelError(f"{uri.shown} can't be read: the host answered {error.code} {error.reason}.") from error
    except (OSError, http.client.HTTPException, ValueError) as error:
        raise ModelError(f"{uri.shown} can't be read: {getattr(error, 'reason', error)}.") from error
    return WebSource(response, uri)


class WebSource:
    """An answer whose body is the model."""

    def __init__(self, response: Any, uri: ModelUri) -> None:
        self._response = response
        self._uri = uri
        headers = response.headers
        length = headers.get("Content-Length", "")
        self.size_bytes = int(length) if length.isascii() and length.isdecimal() else None
        version = headers.get("ETag") or headers.get("Last-Modified")
        self.identity = f"{version} {length}" if version else None
        self.single_file: str | None = uri.name

    def download(self, into: Path, max_bytes: int) -> None:
        """Write the body to a file of the URI's last name; see Source.download."""
        written = 0
        try:
            with (into / safe_relative(self._uri.name)).open("xb") as out:
                while chunk := self._response.read(_CHUNK_BYTES):
                    written += len(chunk)
                    if written > max_bytes:
                        raise ModelError(f"{self._uri.shown} is larger than the limit of {max_bytes} bytes.")
                    out.write(chunk)
        except (OSError, http.client.HTTPException) as error:
            raise ModelError(f"{self._uri.shown} broke off after {written} bytes: {error}.") from error
        # read(n) of the standard library ends without an error when the connection does.
        if self.size_bytes is not None and written != self.size_bytes:
            raise ModelError(f"{self._uri.shown} broke off after {written} of {self.size_bytes} bytes.")

    def close(self) -> None:
        """Close the connection."""
        self._response.close()
