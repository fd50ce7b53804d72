"""How to reach a Prometheus. Values only."""

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Access:
    """How to reach it.

    Attributes:
        url: up to, not including, /api/v1.
        headers: sent with each question: credentials, a tenant.
        ca_file: certificates to trust instead of the system's.
        client_certificate: files of a certificate and its key, for mutual TLS.
        user, password: for basic authentication.
    """

    url: str
    headers: tuple[tuple[str, str], ...] = ()
    ca_file: Path | None = None
    client_certificate: tuple[Path, Path] | None = None
    user: str | None = None
    password: str = ""
