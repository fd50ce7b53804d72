"""What a service was asked for, and what its requests and replicas are like, from Prometheus: our metrics or Knative's.

No value is a hole, not a zero: only where Knative's autoscaler says that there were no pods is nothing a zero.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from everwarm_cli.errors import CommandError
from everwarm_cli.prometheus.client import Client
from everwarm_cli.traces.series import Rates

_DAY = "1d"


@dataclass(frozen=True, slots=True)
class Measured:
    """What the metrics say of a service.

    Attributes:
        rates: requests per second over time.
        source: whose metrics they are, for a person.
        service_seconds: mean work of a request over the last day; `None` where nobody measures it.
        dispersion: of the arrivals of one second, over the last day.
        start_seconds: from the begin of a server's process until it was ready, the slower ones of the last day; what
            comes before, the pod's scheduling and image, is not in it.
    """

    rates: Rates
    source: str
    service_seconds: float | None = None
    dispersion: float | None = None
    start_seconds: float | None = None


@dataclass(frozen=True, slots=True)
class Span:
    """What is asked for: unix times, and the length of a step."""

    begin_seconds: float
    end_seconds: float
    step_seconds: int


def of_service(client: Client, service: str, span: Span) -> Measured:
    """The past of `NAMESPACE/NAME`, by the first metrics that know it.

    Raises:
        CommandError: none does, or the name is none.
    """
    namespace, slash, name = service.partition("/")
    if not slash or not namespace or not name or '"' in service or "\\" in service:
        raise CommandError(f"--service {service} is no service; write NAMESPACE/NAME.", exit_code=2)
    for source, text in _rate_texts(namespace, name, span.step_seconds):
        rates = client.rates(text, span.begin_seconds, span.end_seconds, span.step_seconds)
        if rates is not None and rates.mean_per_second > 0:
            at = span.end_seconds
            figures = [_first(client, texts, at) for texts in _figure_texts(namespace, name)]
            return Measured(rates, source, *figures)
    raise CommandError(
        f"Prometheus knows no requests of {service} in that time: neither everwarm_request_seconds_count nor Knative's "
        "metrics. Is it scraped with the labels of docs/reference/prometheus.md? Or give your own --query."
    )


def of_query(client: Client, text: str, span: Span) -> Measured:
    """The past by an expression of the user's that gives requests per second; `$step` in it is the step.

    Raises:
        CommandError: it gives nothing.
    """
    expression = text.replace("$step", f"{span.step_seconds}s")
    rates = client.rates(expression, span.begin_seconds, span.end_seconds, span.step_seconds)
    if rates is None:
        raise CommandError(f"--query gave no values in that time: {expression}")
    return Measured(rates, "your query")


def _first(client: Client, texts: tuple[str, ...], at_seconds: float) -> float | None:
    return next((value for text in texts if (value := client.value(text, at_seconds)) is not None), None)


def _rate_texts(namespace: str, name: str, step: int) -> Iterator[tuple[str, str]]:
    """Whose metrics, and the expression."""
    old = f'namespace_name="{namespace}",service_name="{name}"'
    new = f'k8s_namespace_name="{namespace}",kn_service_name="{name}"'
    pods = f"sum(autoscaler_actual_pods{{{old}}}) or sum(kn_revision_pods_count{{{new}}})"
    nothing = f"0 * (({pods}) == 0)"
    for source, counter in (
        ("everwarm's metrics", f"everwarm_request_seconds_count{{{old}}}"),
        ("Knative's queue-proxy", f"http_server_request_duration_seconds_count{{{old}}}"),
        ("Knative's queue-proxy", f"revision_request_count{{{old}}}"),
        ("Knative's activator alone", f"http_server_request_duration_seconds_count{{{new}}}"),
        ("Knative's activator alone", f"activator_request_count{{{old}}}"),
    ):
        yield source, f"(sum(rate({counter}[{step}s])) or {nothing})"


def _figure_texts(namespace: str, name: str) -> Iterator[tuple[str, ...]]:
    """For each further figure of `Measured` the expressions that may give it, the best first."""
    only = f'{{namespace_name="{namespace}",service_name="{name}"}}'

    def mean(metric: str) -> str:
        return f"sum(increase({metric}_sum{only}[{_DAY}])) / (sum(increase({metric}_count{only}[{_DAY}])) > 0)"

    yield (
        mean("everwarm_inference_seconds"),
        mean("kn_serving_invocation_duration_seconds"),
        f"({mean('revision_app_request_latencies')}) / 1000",
    )
    # Each replica counts its own arrivals: what they see above 1 adds up to what the service sees above 1.
    yield (f"clamp_min(1 + sum(avg_over_time((everwarm_arrival_dispersion{only} >= 0)[{_DAY}:60s]) - 1), 1)",)
    born = f"last_over_time(everwarm_start_time_seconds{only}[{_DAY}])"
    yield (f"quantile(0.9, (last_over_time(everwarm_ready_time_seconds{only}[{_DAY}]) > 0) - {born})",)
