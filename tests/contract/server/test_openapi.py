"""The server keeps to its own OpenAPI document on generated requests, right and wrong ones."""

from pathlib import Path
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from schemathesis import GenerationMode
from schemathesis.core.parameters import ParameterLocation
from schemathesis.specs.openapi import checks

from everwarm_server.transport import openapi

PATHS = openapi.document(["digits"], needs_token=False)["paths"]
OPERATIONS = [(method, path) for path, item in PATHS.items() for method in item if method != "parameters"]
KEPT = (
    checks.status_code_conformance,
    checks.content_type_conformance,
    checks.response_schema_conformance,
    checks.response_headers_conformance,
)
BOUNDED = settings(
    max_examples=5,
    deadline=None,
    derandomize=True,
    database=None,
    phases=(Phase.generate,),
    suppress_health_check=list(HealthCheck),
)


@pytest.fixture(scope="module")
def server(start_shared: Any, digits: Path) -> Any:
    return start_shared(digits)


@pytest.fixture(scope="module")
def api(server: Any) -> Any:
    return schemathesis.openapi.from_url(f"http://{server.address}/openapi.json")


@pytest.fixture(autouse=True)
def _loaded(server: Any) -> Any:
    """Whatever the requests of a test did."""
    yield
    assert server.ask("POST", "/v2/repository/models/digits/load").code == 200


def answer(case: Any, *more_checks: Any) -> None:
    """Send it, to a model that is there, and see that the answer is one that the document promises, and no failure."""
    if "name" in (case.path_parameters or {}) and not case.meta.is_negative_at(ParameterLocation.PATH):
        case.path_parameters["name"] = "digits"
    response = case.call(timeout=10)
    case.validate_response(response, checks=KEPT + more_checks)
    assert response.status_code != 500, response.text


@pytest.mark.parametrize(("method", "path"), OPERATIONS)
@BOUNDED
@given(data=st.data())
def test_requests_that_fit_the_document_get_answers_that_do(api: Any, method: str, path: str, data: Any) -> None:
    answer(data.draw(api[path][method].as_strategy(generation_mode=GenerationMode.POSITIVE)))


@pytest.mark.parametrize("path", [path for method, path in OPERATIONS if method == "post"])
@BOUNDED
@given(data=st.data())
def test_requests_that_do_not_fit_the_document_are_refused(api: Any, path: str, data: Any) -> None:
    case = data.draw(api[path]["post"].as_strategy(generation_mode=GenerationMode.NEGATIVE))
    answer(case, checks.negative_data_rejection)
