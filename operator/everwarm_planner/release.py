"""When a replica that nobody needs is given back. Pure.

One that is given back and needed again costs a start; one that is kept costs its idle time. Nobody knows which comes.
To keep it for as long as a start costs never costs more than twice the least possible, and no rule that does not look
ahead guarantees less (ski rental; for replicas: Lu, Chen and Andrew, "Simple and effective dynamic provisioning for
power-proportional data centers", 2013, there with the look-ahead that the forecast is here).
"""

Asked = tuple[tuple[float, int], ...]
"""(unix time, replicas) that were needed, oldest first, each less than all before it."""


def ask(asked: Asked, at_seconds: float, replicas: int, keep_seconds: float) -> Asked:
    """Remember what is needed now, and forget what was needed longer ago than a replica is kept.

    The first of the result is the most that was needed meanwhile.
    """
    since = at_seconds - keep_seconds
    kept = tuple(pair for pair in asked if pair[1] > replicas and since < pair[0] <= at_seconds)
    return (*kept, (at_seconds, replicas))


def keep_seconds(start_seconds: float, minimum_billing_seconds: float, least_seconds: float) -> float:
    """For how long a replica costs as much idle as a start: it is paid while it starts, and its minimum too."""
    return max(least_seconds, start_seconds + minimum_billing_seconds)
