"""The past of a service from a real Prometheus: counters that reset, a hole, an hour without pods, and the answer."""

import json
import math
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from everwarm_cli.backtest import history
from everwarm_cli.backtest.history import Span
from everwarm_cli.prometheus.access import Access
from everwarm_cli.prometheus.client import Client

PROMETHEUS, PROMTOOL = shutil.which("prometheus"), shutil.which("promtool")
pytestmark = pytest.mark.skipif(PROMETHEUS is None or PROMTOOL is None, reason="Debian's package prometheus is missing")

BEGIN = 1_790_000_000 - 1_790_000_000 % 3600
HOURS, SCRAPE_SECONDS = 6, 30
SERVER = 'namespace_name="models",service_name="digits",pod_name="p1",model_name="digits"'
AUTOSCALER = 'namespace_name="models",service_name="digits"'


def rate(hour: float) -> float | None:
    """Requests per second; `None`: nobody scraped. From hour 2 to 3 there is no pod, from 3.5 to 4 a hole."""
    if 2 <= hour < 3:
        return 0.0
    return None if 3.5 <= hour < 4 else 2.0 if hour < 4 else 5.0


def openmetrics() -> str:
    """Counters of one pod that restarts at hour 1 (it counts from 0 again) and is gone in hour 2."""
    counts: list[str] = []
    sums: list[str] = []
    answered: list[str] = []
    pods: list[str] = []
    count = 0.0
    for scrape in range(HOURS * 3600 // SCRAPE_SECONDS):
        hour, at = scrape * SCRAPE_SECONDS / 3600, BEGIN + scrape * SCRAPE_SECONDS
        now = rate(hour)
        if now is None:
            count += 2.0 * SCRAPE_SECONDS
            continue
        pods.append(f"autoscaler_actual_pods{{{AUTOSCALER}}} {int(now > 0)} {at}")
        if hour in {1.0, 3.0}:
            count = 0.0
        count += now * SCRAPE_SECONDS
        if now > 0:
            answered.append(f"everwarm_request_seconds_count{{{SERVER}}} {count:g} {at}")
            counts.append(f"everwarm_inference_seconds_count{{{SERVER}}} {count:g} {at}")
            sums.append(f"everwarm_inference_seconds_sum{{{SERVER}}} {0.08 * count:g} {at}")
    parts = []
    for lines in (answered, sums, counts, pods):
        name = lines[0].partition("{")[0]
        parts.append("\n".join([f"# TYPE {name} gauge", *lines]))
    return "\n".join([*parts, "# EOF\n"])


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A Prometheus with that past, on loopback."""
    folder = tmp_path_factory.mktemp("prometheus")
    (folder / "past.om").write_text(openmetrics())
    (folder / "prometheus.yml").write_text("scrape_configs: []\n")
    blocks = [str(PROMTOOL), "tsdb", "create-blocks-from", "openmetrics", str(folder / "past.om"), str(folder / "data")]
    subprocess.run(blocks, check=True, capture_output=True, timeout=30)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    flags = (
        f"--config.file={folder}/prometheus.yml --storage.tsdb.path={folder}/data "
        f"--storage.tsdb.retention.time=100y --web.listen-address=127.0.0.1:{port}"
    )
    with (folder / "log").open("w") as log:
        process = subprocess.Popen([str(PROMETHEUS), *flags.split()], stdout=log, stderr=log)
    try:
        yield _ready(f"http://127.0.0.1:{port}", process, folder / "log")
    finally:
        process.terminate()
        process.wait(10)


def _ready(url: str, process: subprocess.Popen[bytes], log: Path) -> str:
    for _ in range(150):
        if process.poll() is not None:
            break
        try:
            if httpx.get(f"{url}/-/ready").status_code == 200:
                return url
        except httpx.HTTPError:
            pass
        time.sleep(0.1)
    raise AssertionError(log.read_text()[-2000:])


def test_resets_count_on_no_pods_are_zero_and_a_hole_stays_one(url: str) -> None:
    with Client(Access(url)) as client:
        found = history.of_service(client, "models/digits", Span(BEGIN, BEGIN + HOURS * 3600, 60))
    assert found.source == "everwarm's metrics"
    assert found.service_seconds == pytest.approx(0.08, rel=0.01)
    rates = found.rates.per_second
    # Steps at which a rate begins or ends have a part of it: what counts are those in between.
    hours = {
        hour: rates[round(hour * 60) + 3 : round((hour + 0.5) * 60) - 3] for hour in (0, 1.5, 2, 2.5, 3.5, 4.5, 5.5)
    }
    assert hours[0] == pytest.approx([2.0] * 24, rel=0.05)
    assert hours[1.5] == pytest.approx([2.0] * 24, rel=0.05)
    assert hours[2] + hours[2.5] == [0.0] * 48
    assert all(map(math.isnan, hours[3.5][3:]))
    assert hours[4.5] + hours[5.5] == pytest.approx([5.0] * 48, rel=0.05)


def test_the_command_answers_by_it(url: str) -> None:
    until = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(BEGIN + HOURS * 3600))
    options = (
        f"backtest --prometheus {url} --service models/digits --since 6h --until {until} --test 1h "
        "--policy kpa,fixed --seeds 1 -o json"
    )
    done = subprocess.run(
        [sys.executable, "-m", "everwarm_cli", *options.split()],
        capture_output=True,
        text=True,
        timeout=50,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    document = json.loads(done.stdout)
    assert document["load"]["service_seconds"] == pytest.approx(0.08, rel=0.01)
    assert document["policies"][0]["requests"]["mean"] == pytest.approx(5.0 * 3240, rel=0.05)
    assert document["recommendation"]["policy"] in {policy["policy"] for policy in document["policies"]}
