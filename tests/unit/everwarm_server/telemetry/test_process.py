import time

import pytest

from everwarm_server.telemetry import process


@pytest.mark.parametrize("name", ["python", "a name) with (brackets"])
def test_the_age_is_read_behind_the_commands_name(name: str) -> None:
    stat = f"42 ({name}) S " + " ".join(["0"] * 18) + " 12345 0 0"
    assert process.age_seconds(stat, boot_seconds=130.0, ticks_per_second=100) == pytest.approx(130.0 - 123.45)


def test_this_process_started_before_now() -> None:
    assert process.start_seconds() <= time.time()
