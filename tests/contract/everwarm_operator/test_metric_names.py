"""The operator asks for what the server gives: names, and the labels that the queries match on."""

import re

import pytest
from prometheus_client.parser import text_string_to_metric_families

from everwarm_operator import queries
from everwarm_server.telemetry.metrics import Metrics

ASKED = sorted({name for text in queries.all_texts(60, 60.0).values() for name in re.findall(r"everwarm_\w+", text)})


@pytest.fixture(scope="module")
def given() -> dict[str, set[str]]:
    """Label names by sample name, of a server that has not answered anything yet."""
    metrics = Metrics(start_seconds=1_800_000_000.0)
    metrics.declare("digits", concurrency=1)
    text = metrics.exposition("")[0].decode()
    samples = (sample for family in text_string_to_metric_families(text) for sample in family.samples)
    return {sample.name: set(sample.labels) for sample in samples}


@pytest.mark.parametrize("name", ASKED)
def test_the_server_gives_what_is_asked_for_from_its_start(given: dict[str, set[str]], name: str) -> None:
    assert name in given


@pytest.mark.parametrize("name", ["everwarm_concurrency", "everwarm_model_ready"])
def test_what_is_matched_by_model_has_a_model(given: dict[str, set[str]], name: str) -> None:
    assert given[name] == {"model_name"}
