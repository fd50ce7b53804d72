"""A real Prometheus for one expression: promtool evaluates it over series that a test writes down."""

import shutil
import subprocess
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
import yaml

Evaluate = Callable[[str, Sequence[dict[str, str]], int, list[dict]], str]
EVERY = "5s"  # of the values of the series


@pytest.fixture
def evaluate(tmp_path: Path) -> Evaluate:
    """Text, series, seconds after their beginning, samples: what promtool complains of, nothing where it gives them."""
    promtool = shutil.which("promtool")
    if promtool is None:
        pytest.skip("promtool (Debian's package prometheus) is not installed")

    def ask(text: str, series: Sequence[dict[str, str]], at_seconds: int, samples: list[dict]) -> str:
        expression = {"expr": text, "eval_time": f"{at_seconds}s", "exp_samples": samples}
        test = {"interval": EVERY, "input_series": list(series), "promql_expr_test": [expression]}
        file = tmp_path / "test.yaml"
        file.write_text(yaml.safe_dump({"evaluation_interval": EVERY, "tests": [test]}))
        done = subprocess.run([promtool, "test", "rules", str(file)], capture_output=True, text=True, timeout=30)
        return "" if done.returncode == 0 else done.stdout + done.stderr

    return ask
