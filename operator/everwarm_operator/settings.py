"""Everything that can be configured of the operator, from EVERWARM_OPERATOR_* in the environment, read once."""

from pathlib import Path

from pydantic import Field, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from everwarm_operator.access import Access


class Settings(BaseSettings):
    """The operator's settings. Times are in seconds."""

    model_config = SettingsConfigDict(env_prefix="EVERWARM_OPERATOR_", frozen=True)

    prometheus_url: str = "http://prometheus.monitoring.svc.cluster.local:9090"
    """Where Prometheus' HTTP API is, or several servers of the same content, separated by commas."""

    prometheus_headers: dict[str, str] = Field(default_factory=dict)
    """Sent with each query, as JSON: the tenant of Mimir or Thanos, for example {"X-Scope-OrgID": "models"}."""

    prometheus_credentials: Path | None = None
    """Folder with any of token, username and password, ca.crt, tls.crt and tls.key: a mounted Secret."""

    prometheus_token_file: Path | None = None
    """A bearer token elsewhere, for example the service account's own."""

    interval_seconds: float = Field(default=15.0, gt=0)
    """Time from the start of one pass to the start of the next."""

    window_seconds: int = Field(default=60, ge=10)
    """Over which requests are counted and latencies ranked; several scrape intervals."""

    stale_seconds: float = Field(default=60.0, gt=0)
    """Samples older than this are no data. At least two scrape intervals."""

    pod_start_seconds: float = Field(default=5.0, ge=0)
    """From asking for a pod until its process begins, where no kube-state-metrics is scraped that would say."""

    history_seconds: int = Field(default=7 * 86_400, ge=0)
    """How far back to look for the daily and weekly course of the traffic after a start; 0: not at all."""

    server_image: str = "everwarm-server:0.1.0"
    """Image of services that name none."""

    namespaces: str = ""
    """Comma-separated; empty: all. The service account needs its rights in each."""

    lease: str = ""
    """namespace/name of the Lease by which several operators agree on who acts; empty: this is the only one."""

    health_port: int = Field(default=8080, ge=1, le=65535)
    """/healthz, for the liveness probe."""

    metrics_port: int = Field(default=9464, ge=1, le=65535)
    """/metrics of the operator itself."""

    @field_validator("lease")
    @classmethod
    def _has_a_namespace(cls, value: str) -> str:
        if value and not all(value.partition("/")):
            raise ValueError("lease must be namespace/name")
        return value

    @field_validator("prometheus_credentials", "prometheus_token_file", mode="before")
    @classmethod
    def _none_if_empty(cls, value: object) -> object:
        return value or None

    @property
    def prometheus(self) -> Access:
        """How Prometheus is reached."""
        urls = tuple(url for url in (part.strip() for part in self.prometheus_url.split(",")) if url)
        return Access(urls, self.prometheus_headers, self.prometheus_credentials, self.prometheus_token_file)

    @property
    def lease_key(self) -> tuple[str, str] | None:
        """`lease`, split; `None` without."""
        namespace, _, name = self.lease.partition("/")
        return (namespace, name) if self.lease else None

    @property
    def namespace_names(self) -> tuple[str, ...]:
        """`namespaces`, split; empty for all."""
        return tuple(name for name in (part.strip() for part in self.namespaces.split(",")) if name)
