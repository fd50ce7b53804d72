"""The last frame -> what the whole run was, as lines."""

from everwarm_cli.up import latency, words
from everwarm_cli.up.frame import Frame


def lines(frame: Frame) -> list[str]:
    """Requests, latencies, cold starts, what it cost and how often the floor moved."""
    totals, counts = frame.totals, frame.counts
    finished = sum(totals.latencies.values())
    quantiles = ", ".join(
        f"{name} {words.latency(latency.quantile(totals.latencies, part))}"
        for name, part in (("p50", 0.5), ("p95", 0.95), ("p99", 0.99))
    )
    cold = f"{counts.cold_starts / counts.requests * 100:.1f} %" if counts.requests else "-"
    result = [
        f"ran        {words.clock(frame.uptime_seconds)}",
        f"requests   {finished}, of which {words.count(totals.errors, 'error')}",
        f"latency    {quantiles}",
        f"cold       {words.count(counts.cold_starts, 'request')} met a cold start ({cold})",
        f"cost       {totals.alive_seconds:.0f} replica-seconds, "
        f"{totals.alive_seconds / max(frame.uptime_seconds, 1e-9):.2f} replicas on average",
        f"floor      moved {words.count(frame.history.floor_changes, 'time')}, {frame.decision.floor} at the end",
    ]
    if frame.load is not None:
        result.append(f"load       {words.load(frame.load)}")
        if frame.load.first_answer_seconds is not None:
            result.append(f"started    first answer after {frame.load.first_answer_seconds:.2f} s")
    return result
