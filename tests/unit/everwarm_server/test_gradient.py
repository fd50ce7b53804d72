from everwarm_server.gradient import INITIAL, WINDOW_SAMPLES, WINDOW_SECONDS, Gradient


def windows(gradient: Gradient, latency_seconds: float, inside: int, count: int, now: float) -> float:
    """So many windows in which each request took that long; the time after them."""
    for _ in range(count):
        now += WINDOW_SECONDS + 0.01
        for _ in range(WINDOW_SAMPLES):
            gradient.ended(latency_seconds, inside, now)
    return now


def test_it_begins_within_its_bounds() -> None:
    assert [Gradient(1, 1000).limit, Gradient(1, 8).limit, Gradient(50, 1000).limit] == [INITIAL, 8, 50]


def test_while_latency_stays_as_it_was_the_limit_grows_to_its_maximum() -> None:
    gradient = Gradient(1, 100)
    now = windows(gradient, 0.010, 100, 20, 0.0)
    assert INITIAL < gradient.limit < 100
    windows(gradient, 0.010, 100, 200, now)
    assert gradient.limit == 100


def test_when_latency_rises_the_limit_falls_to_the_queue_that_is_always_allowed() -> None:
    gradient = Gradient(1, 1000)
    now = windows(gradient, 0.010, 1000, 100, 0.0)
    before = gradient.limit
    windows(gradient, 0.100, 1000, 20, now)
    # limit / 2 + 4 smoothed by 0.2: nine tenths each time, down to 8
    assert 8 <= gradient.limit < before / 4


def test_what_is_not_the_limits_doing_does_not_raise_it() -> None:
    gradient = Gradient(1, 1000)
    windows(gradient, 0.010, INITIAL // 2 - 1, 100, 0.0)
    assert gradient.limit == INITIAL


def test_a_few_slow_requests_are_no_window() -> None:
    gradient = Gradient(1, 1000)
    windows(gradient, 0.010, INITIAL, 20, 0.0)
    before = gradient.limit
    for _ in range(WINDOW_SAMPLES - 1):
        gradient.ended(10.0, before, 1000.0)
    assert gradient.limit == before


def test_after_the_load_the_limit_comes_back() -> None:
    gradient = Gradient(1, 200)
    now = windows(gradient, 0.010, 200, 100, 0.0)
    now = windows(gradient, 0.200, 200, 50, now)
    low = gradient.limit
    windows(gradient, 0.010, 200, 300, now)
    assert low < 50 < gradient.limit
