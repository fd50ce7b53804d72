"""A Prometheus (or Thanos, Mimir, VictoriaMetrics) behind an URL -> values over time and at one time, for a person.

Unlike the operator's client, whose reading of answers it shares, this one asks for long ranges in parts, and fails with
a sentence: it runs once, while somebody waits.
"""

import math
from types import TracebackType
from typing import Any, Self

import httpx

from everwarm_cli.errors import CommandError
from everwarm_cli.prometheus.access import Access
from everwarm_cli.traces.series import Rates
from everwarm_operator import prometheus as answers
from everwarm_operator.errors import BadAnswer

_TIMEOUT_SECONDS = 60.0
_STEPS = 10_000  # of one question; Prometheus refuses more than 11,000


class Client:
    """Asks; use as a context manager.

    Raises:
        CommandError: the access can't be used: a file is missing or no certificate, the URL is none.
    """

    def __init__(self, access: Access) -> None:
        self._url = access.url.rstrip("/")
        if not self._url.startswith(("http://", "https://")):
            raise CommandError(f"{access.url} is no URL; write for example http://localhost:9090.", exit_code=2)
        auth = None if access.user is None else httpx.BasicAuth(access.user, access.password)
        verify = _tls(access)
        self._client = httpx.Client(
            headers=access.headers, auth=auth, verify=verify, timeout=_TIMEOUT_SECONDS, follow_redirects=False
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._client.close()

    def rates(self, text: str, begin_seconds: float, end_seconds: float, step_seconds: int) -> Rates | None:
        """Requests per second by step, all series summed; nan where there is no value. `None` without any.

        The value of an instant is that of the step before it. Raises as `steps`.
        """
        per_second = self.steps(text, begin_seconds, end_seconds, step_seconds)
        known = any(not math.isnan(rate) for rate in per_second)
        return Rates(float(step_seconds), per_second, begin_seconds) if known else None

    def steps(self, text: str, begin_seconds: float, end_seconds: float, step_seconds: int) -> list[float]:
        """The values at the end of each step, all series summed; nan where there is none.

        Raises:
            CommandError: no answer, or one that can't be believed.
        """
        count = max(1, math.floor((end_seconds - begin_seconds) / step_seconds))
        values: dict[int, float] = {}
        for first in range(0, count, _STEPS):
            last = min(count, first + _STEPS)
            start, end = (begin_seconds + (number + 1) * step_seconds for number in (first, last - 1))
            times = {"start": f"{start:.3f}", "end": f"{end:.3f}", "step": str(step_seconds)}
            for one in self._series({"query": text, **times}):
                for at, value in one.values.items():
                    position = round((at - begin_seconds) / step_seconds) - 1
                    values[position] = values.get(position, 0.0) + value
        return [values.get(position, math.nan) for position in range(count)]

    def value(self, text: str, at_seconds: float) -> float | None:
        """One figure at a time; `None` where there is none.

        Raises:
            CommandError: no answer, or one that can't be believed.
        """
        body = self._ask("query", {"query": text, "time": f"{at_seconds:.3f}"})
        try:
            found = [sample.value for sample in answers.samples(body)]
        except BadAnswer as error:
            raise CommandError(f"{self._url} gave an answer that can't be used: {error}") from error
        return found[0] if found else None

    def _series(self, data: dict[str, str]) -> tuple[answers.RangeSeries, ...]:
        try:
            return answers.series(self._ask("query_range", data))
        except BadAnswer as error:
            raise CommandError(f"{self._url} gave an answer that can't be used: {error}") from error

    def _ask(self, what: str, data: dict[str, str]) -> bytes:
        try:
            response = self._client.post(f"{self._url}/api/v1/{what}", data=data)
        except httpx.TimeoutException as error:
            raise CommandError(f"{self._url} did not answer within {_TIMEOUT_SECONDS:g} s.") from error
        except httpx.HTTPError as error:
            raise CommandError(f"{self._url} can't be reached: {str(error) or type(error).__name__}.") from error
        if response.status_code != httpx.codes.OK:
            raise CommandError(f"{self._url} answered HTTP {response.status_code}{_reason(response)}.")
        return response.content


def _tls(access: Access) -> Any:
    import ssl

    try:
        context = ssl.create_default_context(cafile=None if access.ca_file is None else str(access.ca_file))
        if access.client_certificate is not None:
            context.load_cert_chain(*map(str, access.client_certificate))
    except (OSError, ssl.SSLError) as error:
        files = ", ".join(map(str, (access.ca_file, *(access.client_certificate or ()))))
        raise CommandError(f"The TLS files can't be used ({files}): {error}", exit_code=2) from error
    return context


def _reason(response: httpx.Response) -> str:
    """What to do about it, or Prometheus' own words."""
    if response.status_code in {401, 403}:
        return ": it wants other credentials (--token-file, --user, --header)"
    try:
        message = response.json().get("error")
    except (ValueError, AttributeError):
        return ""
    return f": {str(message)[:200]}" if message else ""
