"""The environment (EVERWARM_*) and the flags of `python -m everwarm_server` in, checked settings out. Flags win."""

import argparse
import ipaddress
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Annotated, Any, Final, Literal

from pydantic import AliasChoices, Field, SecretStr, ValidationError, model_validator
from pydantic_settings import SettingsConfigDict

from everwarm_server.admission_settings import AdmissionSettings
from everwarm_server.catalogue import DEVICE_PATTERN, NAME_PATTERN, Catalogue, ModelSpec, Source

PREFIX: Final = "EVERWARM_"


class SettingsError(Exception):
    """The settings are wrong; the text says which, and what to do."""


class Settings(AdmissionSettings):
    """How one replica serves one model, or several."""

    model_config = SettingsConfigDict(env_prefix=PREFIX, env_ignore_empty=True, extra="ignore", populate_by_name=True)

    model_uri: str = Field(
        default="", description="where the model lies: a path, file://, s3://, gs://, az:// or https://"
    )
    models: Path | None = Field(
        default=None, description="instead of one model: a directory of models, or a list of them in TOML"
    )
    model_memory_bytes: int | None = Field(
        default=None,
        ge=1,
        description="what all models may take in memory; the rest is loaded when it is asked for (default: no limit)",
    )
    model_wait_seconds: float = Field(
        default=60.0, gt=0, description="seconds that a request waits for a model that is loaded for it"
    )
    management: bool | None = Field(
        default=None,
        description="load and unload models by request (default: on loopback, and where there is a management token)",
    )
    management_token: SecretStr | None = Field(
        default=None, min_length=1, description="bearer token that those requests need instead of the other one"
    )
    model_name: Annotated[str, Field(pattern=f"{NAME_PATTERN}|^$")] = Field(
        default="", description="the model's name in URLs (default: the last part of the URI)"
    )
    model_format: Literal["onnx", "torch", "sklearn", "python", "kserve"] | None = Field(
        default=None, description="onnx, torch, sklearn, python or kserve (default: by the files found)"
    )
    host: str = Field(default="127.0.0.1", description="address to listen on")
    # Knative tells a container its port by the plain PORT.
    port: int = Field(
        default=8080,
        ge=0,
        le=65535,
        validation_alias=AliasChoices(f"{PREFIX}PORT", "PORT"),
        description="port to listen on; without it, PORT of the environment; 0: any free one",
    )
    metrics_port: int | None = Field(
        default=None, ge=0, le=65535, description="port of /metrics alone, without a token (default: on the main port)"
    )
    grpc_port: int | None = Field(
        default=None, ge=0, le=65535, description="port of the V2 protocol over gRPC (default: none)"
    )
    grpc_connection_seconds: float = Field(
        default=10.0,
        gt=0,
        le=3600,
        description="seconds after which gRPC clients are asked to connect anew; a drain with such takes as long",
    )
    server_name: Annotated[str, Field(pattern=NAME_PATTERN)] = Field(
        default="everwarm", description="the server's name in its metadata"
    )
    concurrency: int = Field(default=1, ge=1, le=1024, description="requests executed at once")
    queue_size: int = Field(
        default=1000, ge=0, description="requests that may wait for their turn; beyond it, 503 with Retry-After"
    )
    inline_seconds: float = Field(
        default=0.0003,
        ge=0,
        le=0.01,
        description="a model that computes for less seconds runs on the event loop, without a thread; 0: never",
    )
    drain_seconds: float = Field(
        default=5.0, ge=0, description="seconds after SIGTERM with readiness at 503 and requests still accepted"
    )
    shutdown_seconds: float = Field(
        default=60.0, ge=0, description="seconds that requests in flight may take to finish after that"
    )
    max_body_bytes: int = Field(
        default=64 * 2**20, ge=1, description="largest request body in bytes, before and after it is inflated"
    )
    compress_bytes: int = Field(
        default=16384,
        ge=0,
        description="size in bytes from which answers are zstd or gzip for clients that accept it; 0: none",
    )
    head_seconds: float = Field(
        default=10.0, gt=0, description="seconds from a request's first byte to the end of its headers"
    )
    body_seconds: float = Field(
        default=10.0, gt=0, description="seconds that a request's body may take, and one more for each 4096 bytes of it"
    )
    unread_seconds: float = Field(
        default=30.0, gt=0, description="seconds that a client may take nothing of its answer"
    )
    idle_seconds: float = Field(
        default=120.0,
        gt=0,
        description="seconds after which a connection without a request is closed; longer than the proxies in front do",
    )
    max_connections: int = Field(
        default=10_000, ge=1, description="connections at once; never more than the files that the process may open"
    )
    max_header_bytes: int = Field(default=65536, ge=1024, description="largest head of a request, in bytes")
    access_log: float = Field(
        default=0.0, ge=0, le=1, description="share of requests that get a line of log each; 0: none, 1: all"
    )
    api_token: SecretStr | None = Field(
        default=None, min_length=1, description="bearer token that requests need; better given by the environment"
    )
    allow_unauthenticated: bool = Field(
        default=False, description="serve without a token on an address that others reach (true or false)"
    )
    device: Annotated[str, Field(pattern=DEVICE_PATTERN)] = Field(
        default="auto", description="auto, cpu, cuda, cuda:1, a list such as cuda:0,cuda:1, or cuda:* for all GPUs"
    )
    # No default path: a replica whose model lies in its image needs no directory that can be written.
    cache_dir: Path | None = Field(
        default=None, description="directory for downloaded models (default: everwarm-models in the temporary one)"
    )

    @model_validator(mode="before")
    @classmethod
    def _name_by_uri(cls, values: dict[str, Any]) -> dict[str, Any]:
        if not values.get("model_name") and isinstance(values.get("model_uri"), str) and values["model_uri"]:
            values["model_name"] = default_name(values["model_uri"])
        return values

    @model_validator(mode="after")
    def _one_way_to_name_models(self) -> "Settings":
        if bool(self.model_uri) == (self.models is not None):
            given = "both are set" if self.model_uri else "neither is set"
            raise ValueError(f"set {PREFIX}MODEL_URI for one model, or {PREFIX}MODELS for several; {given}")
        return self

    @model_validator(mode="after")
    def _secure_by_default(self) -> "Settings":
        if not is_loopback(self.host) and self.api_token is None and not self.allow_unauthenticated:
            raise ValueError(
                f"the host {self.host} can be reached by others, so requests need a token: set {PREFIX}API_TOKEN, or "
                f"{PREFIX}ALLOW_UNAUTHENTICATED=true where the network keeps strangers out"
            )
        if self.management and not is_loopback(self.host) and self.api_token is None and self.management_token is None:
            raise ValueError(
                f"whoever reaches {self.host} could load and unload models: set {PREFIX}MANAGEMENT_TOKEN, or "
                f"{PREFIX}MANAGEMENT=false"
            )
        return self

    @property
    def manages(self) -> bool:
        """Whether models may be loaded and unloaded by request."""
        if self.management is None:
            return is_loopback(self.host) or self.management_token is not None
        return self.management

    def catalogue(self) -> Catalogue:
        """The models."""
        if self.models is None:
            spec = ModelSpec(self.source())
            return lambda: {spec.name: spec}
        from everwarm_server import listing

        return partial(listing.read, self.models, self.source())

    def source(self) -> Source:
        """The one model, or what several have in common."""
        return Source(
            name=self.model_name,
            uri=self.model_uri,
            format=self.model_format,
            device=self.device,
            concurrency=self.concurrency,
            cache_dir=self.cache_dir,
        )


def default_name(uri: str) -> str:
    """A model's name by its URI: the last part of it, without the ending of a file or an archive."""
    path = uri.partition("://")[2].partition("?")[0].rstrip("/") if "://" in uri else str(Path(uri).absolute())
    name = path.rpartition("/")[2]
    for ending in (".tar.gz", ".tgz", ".tar", ".zip", ".onnx", ".pt2", ".pt", ".skops", ".py"):
        name = name.removesuffix(ending)
    return name


def is_loopback(host: str) -> bool:
    """Whether an address is reached from this machine alone. Names other than localhost are not looked up."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def parser() -> argparse.ArgumentParser:
    """The flags, one for each setting."""
    made = argparse.ArgumentParser(
        prog="python -m everwarm_server",
        description="Serve models by the V1 and V2 inference protocols.",
        epilog="Each flag can be given by the environment instead; flags win.",
        allow_abbrev=False,
    )
    for name, field in Settings.model_fields.items():
        default = "" if field.default in {None, ""} or field.is_required() else f" (default: {field.default})"
        made.add_argument(
            f"--{name.replace('_', '-')}",
            dest=name,
            metavar=name.rpartition("_")[2].upper(),
            default=argparse.SUPPRESS,
            help=f"{field.description}{default} [{PREFIX}{name.upper()}]".replace("%", "%%"),
        )
    return made


def read(arguments: Sequence[str]) -> Settings:
    """The settings by flags and environment.

    Raises:
        SettingsError: a value is missing or wrong.
        SystemExit: --help, or an unknown flag.
    """
    flags = vars(parser().parse_args(arguments))
    try:
        return Settings(**flags)
    except ValidationError as error:
        raise SettingsError(explain(error)) from error


def explain(error: ValidationError) -> str:
    """What is wrong, by the names of the environment. The values are left out: one is a secret."""
    sentences = []
    for item in error.errors(include_url=False, include_input=False, include_context=False):
        name = str(item["loc"][0]).upper() if item["loc"] else ""
        name = name if name.startswith(PREFIX) or not name else f"{PREFIX}{name}"
        message = item["msg"].removeprefix("Value error, ")
        sentences.append(f"{name}: {message}" if name else message)
    return "; ".join(sentences) + "."
