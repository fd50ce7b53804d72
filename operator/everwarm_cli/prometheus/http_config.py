"""Options -> how to reach Prometheus. The file is promtool's (`--http.config.file`), so that one may serve both.

Of it are read: basic_auth (username, password or password_file), authorization (type, credentials or credentials_file),
tls_config (ca_file, cert_file, key_file) and http_headers (values or files by name). What else it says is refused, for
who writes `insecure_skip_verify` shall not believe that it was heard.
"""

from pathlib import Path
from typing import Self

import yaml
from pydantic import BaseModel, ConfigDict, ValidationError, model_validator

from everwarm_cli.errors import CommandError
from everwarm_cli.prometheus.access import Access


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid")


class _Basic(_Part):
    username: str
    password: str | None = None
    password_file: Path | None = None


class _Authorization(_Part):
    type: str = "Bearer"
    credentials: str | None = None
    credentials_file: Path | None = None


class _Tls(_Part):
    ca_file: Path | None = None
    cert_file: Path | None = None
    key_file: Path | None = None

    @model_validator(mode="after")
    def _both(self) -> Self:
        if (self.cert_file is None) != (self.key_file is None):
            raise ValueError("cert_file and key_file come together")
        return self


class _Header(_Part):
    values: list[str] = []
    files: list[Path] = []


class _HttpConfig(_Part):
    """What promtool's http_config may say, as far as it is understood here."""

    basic_auth: _Basic | None = None
    authorization: _Authorization | None = None
    tls_config: _Tls = _Tls()
    http_headers: dict[str, _Header] = {}


def access(url: str, headers: list[str], config_file: Path | None) -> Access:
    """How to reach the Prometheus at `url`.

    Raises:
        CommandError: a header is none, or the file can't be read or says what is not understood.
    """
    config = _HttpConfig() if config_file is None else _read(config_file)
    pairs = [_header(text) for text in headers]
    try:
        for name, header in config.http_headers.items():
            pairs += [(name, value) for value in (*header.values, *map(_secret, header.files))]
        if config.authorization is not None:
            known = _either(config.authorization.credentials, config.authorization.credentials_file)
            pairs.append(("Authorization", f"{config.authorization.type} {known}"))
        basic, tls = config.basic_auth, config.tls_config
        password = "" if basic is None else _either(basic.password, basic.password_file)
    except OSError as error:
        raise CommandError(f"{error.filename} can't be read: {error.strerror}.", exit_code=2) from error
    pair = (tls.cert_file, tls.key_file) if tls.cert_file is not None and tls.key_file is not None else None
    return Access(url, tuple(pairs), tls.ca_file, pair, None if basic is None else basic.username, password)


def _header(text: str) -> tuple[str, str]:
    name, colon, value = text.partition(":")
    if not colon or not name.strip() or not text.isprintable():
        raise CommandError(f"--header {text!r} is no header; write 'X-Scope-OrgID: team'.", exit_code=2)
    return name.strip(), value.strip()


def _read(path: Path) -> _HttpConfig:
    try:
        return _HttpConfig.model_validate(yaml.safe_load(path.read_text(encoding="utf-8")) or {})
    except OSError as error:
        raise CommandError(f"--http-config {path} can't be read: {error.strerror}.", exit_code=2) from error
    except (ValidationError, yaml.YAMLError, UnicodeDecodeError) as error:
        raise CommandError(f"--http-config {path} can't be used: {_reason(error)}.", exit_code=2) from error


def _reason(error: ValidationError | yaml.YAMLError | UnicodeDecodeError) -> str:
    """The first thing that is wrong, without the values, which may be secrets."""
    if isinstance(error, ValidationError):
        first = error.errors(include_input=False, include_url=False)[0]
        return f"{'.'.join(map(str, first['loc'])) or 'it'}: {first['msg']}"
    return "it is no YAML"


def _either(value: str | None, path: Path | None) -> str:
    return value if value is not None else "" if path is None else _secret(path)


def _secret(path: Path) -> str:
    return path.read_text(encoding="utf-8").strip()
