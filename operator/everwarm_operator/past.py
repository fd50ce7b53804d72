"""What the planner forgot at a restart: a week of rates from Prometheus in, for each service once.

A few services with each pass, so that neither Prometheus nor a pass is held up by a thousand of them; until then their
floors are decided without.
"""

import logging
import math
from collections.abc import Iterable

from everwarm_operator import traits
from everwarm_operator.errors import PrometheusError
from everwarm_operator.facts import Key
from everwarm_operator.prometheus import Prometheus, RangeSeries
from everwarm_planner.history import Series

logger = logging.getLogger(__name__)

STEP_SECONDS = 300
# With 7 days of steps, about 5 MiB of an answer.
AT_ONCE = 100
LONGEST_WAIT_SECONDS = 900.0


class Past:
    """Asks about services that it has not asked about.

    Args:
        prometheus: who recorded.
        length_seconds: how far to look back; 0: not at all.
    """

    def __init__(self, prometheus: Prometheus, length_seconds: int) -> None:
        self._prometheus = prometheus
        self._length_seconds = length_seconds
        self._asked: set[Key] = set()
        self._retry_at = -math.inf
        self._wait_seconds = 0.0

    def forget(self) -> None:
        """Ask about all of them again."""
        self._asked.clear()

    async def more(self, services: Iterable[Key], now: float) -> dict[Key, Series]:
        """The past of some more of all services there are; nothing where nobody recorded, or while asking fails."""
        all_of_them = set(services)
        self._asked &= all_of_them  # one that comes back under an old name is new
        batch = sorted(all_of_them - self._asked)[:AT_ONCE]
        if not batch or not self._length_seconds or now < self._retry_at:
            return {}
        end = math.floor(now / STEP_SECONDS) * STEP_SECONDS
        begin = end - self._length_seconds // STEP_SECONDS * STEP_SECONDS
        names = "|".join(sorted({name for _, name in batch}))  # DNS labels: nothing to escape
        text = traits.rates_per_second(STEP_SECONDS, names)
        try:
            answer = await self._prometheus.query_range(text, begin + STEP_SECONDS, end, STEP_SECONDS)
        except PrometheusError as error:
            self._wait_seconds = min(max(30.0, 2 * self._wait_seconds), LONGEST_WAIT_SECONDS)
            self._retry_at = now + self._wait_seconds
            logger.warning("The past can't be read, policies decide without it: %s", error)
            return {}
        self._wait_seconds = 0.0
        self._asked.update(batch)
        return {key: found for key, found in _by_service(answer, begin, end).items() if key in batch}


def _by_service(answer: tuple[RangeSeries, ...], begin: float, end: float) -> dict[Key, Series]:
    found = {}
    for one in answer:
        key = (one.labels.get("namespace_name", ""), one.labels.get("service_name", ""))
        # The rate that is read at an instant is that of the step before it.
        steps = range(round((end - begin) / STEP_SECONDS))
        rates = tuple(one.values.get(begin + (step + 1) * STEP_SECONDS, math.nan) for step in steps)
        found[key] = Series(begin, STEP_SECONDS, rates)
    return found
