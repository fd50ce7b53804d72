"""A frame -> one line, for logs and pipes; and the line of a decision that moved the floor."""

from everwarm_cli.up import words
from everwarm_cli.up.frame import Frame
from everwarm_planner.observation import Observation


def lines(frame: Frame) -> list[str]:
    """The tick's line, and a second one if the floor moved."""
    at = f"{words.clock(frame.uptime_seconds):>6}"
    seen = frame.observation
    figures = [f"no data ({frame.decision.reason})"]
    if isinstance(seen, Observation):
        figures = [
            f"rate {words.rate(seen)}",
            f"p95 {words.latency(seen.p95_seconds)}",
            f"cold {words.part(seen.cold_start_fraction)}",
            f"busy {words.part(seen.utilization)}",
        ]
    figures += [
        f"in flight {frame.totals.in_flight}",
        f"replicas {words.replicas(frame.ready, frame.starting, frame.stopping)}",
        f"floor {frame.decision.floor}",
        frame.decision.reason.value,
    ]
    result = [f"{at}  {'  '.join(figures)}"]
    if frame.decision.changed:
        result.append(f"{at}  {frame.decision.sentence}")
    return result
