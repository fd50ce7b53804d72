"""The PromQL texts as text; what they give, tests/contract shows on a real Prometheus."""

import promql_parser
import pytest

from everwarm_operator import queries

TEXTS = queries.all_texts(60, 60.0)


@pytest.mark.parametrize("name", TEXTS)
def test_every_text_parses(name: str) -> None:
    promql_parser.parse(TEXTS[name])


@pytest.mark.parametrize("name", sorted(set(TEXTS) - {"activator_age_seconds"}))
def test_every_text_answers_for_all_services_at_once(name: str) -> None:
    assert "by (namespace_name, service_name)" in TEXTS[name]
    assert "digits" not in TEXTS[name]


def test_the_window_is_the_one_asked_for() -> None:
    assert "[300s]" in queries.request_rate(300)
    assert "[60s]" not in queries.request_rate(300)
