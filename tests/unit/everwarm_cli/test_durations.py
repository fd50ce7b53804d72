import pytest

from everwarm_cli.durations import seconds


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("300ms", 0.3),
        ("2s", 2.0),
        ("5m", 300.0),
        ("1h", 3600.0),
        ("14d", 1209600.0),
        ("1.5 s", 1.5),
        ("7", 7.0),
        (0.3, 0.3),
        (" 2s ", 2.0),
    ],
)
def test_a_duration_is_read_with_its_unit(text: str | float, value: float) -> None:
    assert seconds(text) == pytest.approx(value)


@pytest.mark.parametrize("text", ["", "0", "0s", "-1s", "s", "2 weeks", "1e3", "nan", "inf", "2s3", "٣s"])
def test_what_is_no_duration_is_refused_with_an_example(text: str) -> None:
    with pytest.raises(ValueError, match="write for example 300ms, 2s or 5m"):
        seconds(text)
