import pytest

from everwarm_server.telemetry.cold import found_no_warm_replica, request_start

READY = 1_000_000.0


@pytest.mark.parametrize(
    ("header", "arrival", "cold"),
    [
        (b"t=999998.5", READY + 0.2, True),  # waited 1.5 s for the replica
        (b"t=999998.5", READY + 30.0, True),  # and however late the proxy sends it
        (b"t=1000000.1", READY + 0.2, False),  # started after readiness: the replica was warm
        (b"999999.0", READY + 0.1, True),  # without t=, as some proxies write it
        (b" t=999999.0 ", READY + 0.1, True),
        # Not sound, so the arrival decides.
        (b"t=999999000", READY + 0.1, True),  # milliseconds
        (b"t=999999000", READY + 5.0, False),
        (b"t=nan", READY + 5.0, False),
        (b"t=-inf", READY + 5.0, False),
        (b"t=", READY + 5.0, False),
        (b"t=yesterday", READY + 5.0, False),
        (b"t=999000.0", READY + 5.0, False),  # 1005 s earlier
        (b"t=1,t=2", READY + 5.0, False),
        (b"t=1000008.0", READY + 5.0, False),  # 3 s in the future
        # Without the header.
        (None, READY, True),
        (None, READY + 0.5, True),
        (None, READY + 0.51, False),
        (None, READY - 30.0, True),  # waited here
        (None, READY - 700.0, False),
    ],
)
def test_a_request_is_cold_if_it_waited_for_readiness(header: bytes | None, arrival: float, cold: bool) -> None:
    assert found_no_warm_replica(header, arrival, READY) is cold


def test_a_proxys_clock_may_be_a_little_ahead() -> None:
    assert request_start(b"t=1000.9", 1000.0) == 1000.9
    assert request_start(b"t=1001.1", 1000.0) is None
