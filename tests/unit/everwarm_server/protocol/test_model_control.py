import json
from typing import Any

import pytest

from everwarm_server.catalogue import Policy
from everwarm_server.errors import InvalidInput
from everwarm_server.protocol import model_control


def config(**document: Any) -> dict[str, str]:
    return {"config": json.dumps(document)}


@pytest.mark.parametrize(
    ("given", "policy"),
    [
        ({}, None),
        ({"config": "{}"}, None),
        (config(version_policy={"all": {}}), Policy(None)),
        (config(version_policy={"latest": {}}), Policy(1)),
        (config(version_policy={"latest": {"num_versions": 3}}), Policy(3)),
        (config(version_policy={"specific": {"versions": [1, "12"]}}), Policy(specific=frozenset({"1", "12"}))),
    ],
)
def test_a_load_may_say_which_versions(given: dict[str, str], policy: Policy | None) -> None:
    assert model_control.load_policy(given) == policy


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        ({"file:1/model.onnx": "AA=="}, "carries no files"),
        ({"colour": "red"}, "'colour' is no parameter of a load"),
        ({"config": {}}, "must be a string that holds a JSON object"),
        ({"config": None}, "must be a string that holds a JSON object"),
        ({"config": "{"}, "must be a string that holds a JSON object"),
        ({"config": "[]"}, "must be a string that holds a JSON object"),
        (config(max_batch_size=8), "config has 'max_batch_size', which can't be changed by a load"),
        (config(version_policy=None), "version_policy is null"),
        (config(version_policy={}), "version_policy is"),
        (config(version_policy={"all": {}, "latest": {}}), "version_policy is"),
        (config(version_policy={"latest": {"num_versions": 0}}), "version_policy is"),
        (config(version_policy={"latest": {"num_versions": True}}), "version_policy is"),
        (config(version_policy={"latest": {"count": 1}}), "version_policy is"),
        (config(version_policy={"specific": {"versions": []}}), "version_policy is"),
        (config(version_policy={"specific": {"versions": [0]}}), "version_policy is"),
        (config(version_policy={"specific": {"versions": [1.5]}}), "version_policy is"),
    ],
)
def test_what_a_load_can_not_do_is_refused(given: dict[str, Any], sentence: str) -> None:
    with pytest.raises(InvalidInput, match=sentence):
        model_control.load_policy(given)


@pytest.mark.parametrize("given", [{}, {"unload_dependents": True}, {"unload_dependents": False}])
def test_an_unload_may_speak_of_dependents_that_there_are_none_of(given: dict[str, Any]) -> None:
    model_control.check_unload(given)


@pytest.mark.parametrize("given", [{"unload_dependents": 1}, {"unload_dependents": None}, {"force": True}])
def test_an_unload_knows_no_other_parameter(given: dict[str, Any]) -> None:
    with pytest.raises(InvalidInput):
        model_control.check_unload(given)


@pytest.mark.parametrize(("document", "ready"), [({}, False), ({"ready": False}, False), ({"ready": True}, True)])
def test_an_index_may_be_of_what_is_ready(document: dict[str, Any], ready: bool) -> None:
    assert model_control.only_ready(document) is ready


@pytest.mark.parametrize("ready", [None, 1, "true"])
def test_ready_is_true_or_false(ready: Any) -> None:
    with pytest.raises(InvalidInput, match="must be true or false"):
        model_control.only_ready({"ready": ready})


@pytest.mark.parametrize("given", [None, [], "x"])
def test_parameters_are_an_object(given: Any) -> None:
    with pytest.raises(InvalidInput, match="must be an object"):
        model_control.parameters({"parameters": given})
    assert model_control.parameters({}) == {}
