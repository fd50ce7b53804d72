"""How Prometheus is reached: a folder of credentials and some headers in, what an HTTP client takes out.

The folder is a mounted Secret, with any of the files that Kubernetes and Prometheus name so: `token` (bearer),
`username` and `password` (basic), `ca.crt` (who signed its certificate), `tls.crt` and `tls.key` (our own one).
"""

import base64
import ssl
from collections.abc import Generator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import httpx


@dataclass(frozen=True, slots=True)
class Access:
    """Where, and as whom.

    Attributes:
        urls: of servers that hold the same; tried in order from the one that answered last.
        headers: sent with each query, for example the tenant's X-Scope-OrgID of Mimir and Thanos.
        credentials: the folder; `None`: none are needed.
        token_file: a bearer token elsewhere, for example the service account's own; it wins over the folder's.
    """

    urls: tuple[str, ...]
    headers: Mapping[str, str] = field(default_factory=dict)
    credentials: Path | None = None
    token_file: Path | None = None

    def __post_init__(self) -> None:
        if not self.urls:
            raise ValueError("there is no URL of Prometheus")

    def auth(self) -> httpx.Auth | None:
        """Who asks; read anew with each query, for tokens are replaced while we run."""
        folder = self.credentials
        token = self.token_file or (folder / "token" if folder and (folder / "token").exists() else None)
        if token is not None:
            return _Bearer(token)
        if folder is not None and (folder / "username").exists():
            return _Basic(folder / "username", folder / "password")
        return None

    def tls(self) -> ssl.SSLContext:
        """Whom to trust and what to show.

        Raises:
            OSError: a file can't be read, or holds no certificate (ssl.SSLError is one).
        """
        folder = self.credentials
        authority = folder / "ca.crt" if folder else None
        context = ssl.create_default_context(cafile=authority if authority and authority.exists() else None)
        if folder is not None and (folder / "tls.crt").exists():
            context.load_cert_chain(folder / "tls.crt", folder / "tls.key")
        return context


class _Bearer(httpx.Auth):
    """A token in a file."""

    def __init__(self, file: Path) -> None:
        self._file = file

    def auth_flow(self, request: httpx.Request) -> Generator[httpx.Request, httpx.Response, None]:
        request.headers["Authorization"] = f"Bearer {_read(self._file)}"
        yield request


class _Basic(httpx.Auth):
    """A name and a password, each in a file."""

    def __init__(self, username: Path, password: Path) -> None:
        self._username = username
        self._password = password

    def auth_flow(self, request: httpx.Request) -> Generator[httpx.Request, httpx.Response, None]:
        pair = f"{_read(self._username)}:{_read(self._password)}"
        request.headers["Authorization"] = f"Basic {base64.b64encode(pair.encode()).decode()}"
        yield request


def _read(file: Path) -> str:
    try:
        return file.read_text().strip()
    except (OSError, UnicodeDecodeError) as error:
        raise httpx.RequestError(f"the credentials in {file.name} can't be read: {error}") from error
