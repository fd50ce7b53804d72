"""Numbers as people read them, and how the end of a decision's sentence is put. Values in, text out.

Three or four significant digits: enough that a value just over a limit never reads like the limit itself.
"""


def milliseconds(seconds: float) -> str:
    """A duration: `812 ms`, and from ten seconds on `12.5 s`."""
    if seconds >= 10:
        return f"{seconds:.4g} s" if seconds < 10_000 else f"{seconds:.0f} s"
    return f"{seconds * 1000:.4g} ms" if seconds < 1 else f"{seconds * 1000:.0f} ms"


def duration(seconds: float) -> str:
    """A stretch of time as a clock tells it: `45 s`, `12 min`, `3 h 20 min`, `2 d 4 h`."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    minutes = round(seconds / 60)
    if minutes < 60:
        return f"{minutes} min"
    hours, minutes = divmod(minutes, 60)
    if hours < 24:
        return f"{hours} h {minutes} min" if minutes else f"{hours} h"
    days, hours = divmod(hours, 24)
    return f"{days} d {hours} h" if hours else f"{days} d"


def percent(fraction: float) -> str:
    """A fraction of one: `18 %`, `4.96 %`."""
    return f"{fraction * 100:.3g} %"


def replicas(count: float) -> str:
    """A number of replicas, fractions included: `1 replica`, `2.4 replicas`, `under 0.1 replicas`."""
    if 0 < count < 0.1:
        return "under 0.1 replicas"
    text = f"{count:.1f}".removesuffix(".0")
    return "1 replica" if text == "1" else f"{text} replicas"


def rate(per_second: float) -> str:
    """Requests per second: `42.5/s`, `0.031/s`."""
    return f"{per_second:.3g}/s" if per_second < 1000 else f"{per_second:.0f}/s"


def requests(count: float) -> str:
    """A number of requests: `1 request`, `3 requests`."""
    return "1 request" if round(count) == 1 else f"{count:.0f} requests"


def movement(previous_floor: int, floor: int) -> str:
    """What the floor does: `the floor stays at 3`, `the floor goes from 1 to 4`."""
    if floor == previous_floor:
        return f"the floor stays at {floor}"
    return f"the floor goes from {previous_floor} to {floor}"


def sentence(cause: str, arguments: list[str], previous_floor: int, floor: int) -> str:
    """`cause: arguments, so movement.`; a cause alone is enough where nothing was computed."""
    end = movement(previous_floor, floor)
    if arguments:
        return f"{cause}: {', but '.join(arguments)}, so {end}."
    return f"{cause}: {end}."
