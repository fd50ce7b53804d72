"""Prices of a replica as people say them."""

import pytest
import typer

from everwarm_cli.prices import price


@pytest.mark.parametrize(
    ("text", "usd", "shown"),
    [
        ("0.05", 0.05, "$0.05 an hour (as given)"),
        (0, 0.0, "$0 an hour (as given)"),
        ("fargate:1x2", 0.04937, "$0.04937 an hour (Fargate, 1 vCPU and 2 GB, list price of 2026-11, us-east-1)"),
        ("g5.xlarge", 1.006, "$1.006 an hour (a node g5.xlarge, list price of 2026-11, us-east-1)"),
        ("m5.xlarge/4", 0.048, "$0.048 an hour (1/4 of a node m5.xlarge, list price of 2026-11, us-east-1)"),
    ],
)
def test_a_price_is_a_number_or_a_name_of_the_list(text: str | float, usd: float, shown: str) -> None:
    found = price(text)
    assert found.usd_per_hour == pytest.approx(usd)
    assert str(found) == shown


@pytest.mark.parametrize("text", ["", "free", "-1", "inf", "x9.tiny", "m5.xlarge/0", "fargate:0x2"])
def test_what_is_no_price_is_refused_with_examples(text: str) -> None:
    with pytest.raises(typer.BadParameter, match=r"is no price of a replica .* write USD per hour"):
        price(text)
