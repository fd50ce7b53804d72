"""Unix time -> calendars: where a month begins, when a cron expression fires in a time zone. Pure: no clock is read.

The one module here that knows dates. Cron expressions are read by cronsim, which keeps Debian cron's rules where clocks
change: a job of a fixed time fires once in the hour that comes twice, and at once after the hour that is left out.
"""

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

from cronsim import CronSim, CronSimError

_FIELDS = 5


def check_cron(expression: str, time_zone: str) -> None:
    """Refuse what can't be followed.

    Args:
        expression: minute, hour, day of month, month, day of week.
        time_zone: IANA name, for example Europe/Berlin.

    Raises:
        ValueError: and what is wrong.
    """
    try:
        zone = ZoneInfo(time_zone)
    except (KeyError, ValueError, OSError) as error:  # OSError: a name that is a folder of the database
        raise ValueError(f"{time_zone!r} is no time zone; IANA names look like Europe/Berlin or UTC") from error
    if len(expression.split()) != _FIELDS:
        raise ValueError(f"{expression!r} is no cron expression: minute, hour, day of month, month, day of week")
    try:
        next(CronSim(expression, datetime(2000, 1, 1, tzinfo=zone)))
    except (CronSimError, StopIteration) as error:
        raise ValueError(f"{expression!r} is no cron expression that ever fires: {error or 'no such day'}") from error


def first_firing(expression: str, time_zone: str, after_seconds: float) -> float:
    """When the expression fires next after this time; both as unix time.

    Raises:
        ValueError: never within 50 years.
    """
    after = datetime.fromtimestamp(after_seconds, ZoneInfo(time_zone))
    for firing in CronSim(expression, after):
        at = firing.timestamp()
        if at > after_seconds:  # in the hour that comes twice cronsim counts by the clock on the wall
            return at
    raise ValueError(f"{expression!r} never fires")


def month(at_seconds: float) -> tuple[float, float]:
    """Begin and end (unix time) of the UTC month that holds this time: months as clouds bill them."""
    begin = datetime.fromtimestamp(at_seconds, UTC).replace(day=1, hour=0, minute=0, second=0, microsecond=0)
    end = (begin + timedelta(days=32)).replace(day=1)
    return begin.timestamp(), end.timestamp()
