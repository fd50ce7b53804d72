"""docs/reference/server.md is in step with the settings, the lists of models and the paths."""

import re
import tomllib
from pathlib import Path

from everwarm_server import listing
from everwarm_server.catalogue import Policy, Source
from everwarm_server.settings import PREFIX, Settings
from everwarm_server.transport import openapi

PAGE = (Path(__file__).resolve().parents[3] / "docs" / "reference" / "server.md").read_text()


def test_it_has_all_settings_with_their_defaults_and_descriptions() -> None:
    expected = {}
    for name, field in Settings.model_fields.items():
        default = "" if field.default in {None, ""} else f"`{field.default}`"
        expected[f"{PREFIX}{name.upper()}"] = f"| `{PREFIX}{name.upper()}` | {default} | {field.description} |"
    found = {line.split("`")[1]: line for line in PAGE.splitlines() if line.startswith(f"| `{PREFIX}")}
    assert found == expected


def test_its_list_of_models_is_read(tmp_path: Path) -> None:
    (text,) = re.findall(r"```toml\n(.*?)```", PAGE, re.DOTALL)
    (tmp_path / "models.toml").write_text(text)
    found = listing.read(tmp_path / "models.toml", Source("", ""))
    assert (found["fraud"].policy, found["fraud"].default) == (Policy(specific=frozenset({"3", "4"})), "3")
    assert found["ranker"].uris == {"1": "s3://bucket/ranker"}
    assert {key for entry in tomllib.loads(text)["models"] for key in entry} == set(listing.Entry.model_fields)


def test_its_paths_exist() -> None:
    named = set()
    for method, path in re.findall(r"\b(GET|POST) (/[^`]*)", PAGE):
        for versioned in ("", "/versions/{version}"):
            for one in ("", "/{name}") if "[/{model}[" in path else ("/{name}",):
                filled = re.sub(r"\[/\{model\}\[/versions/\{n\}\]\]", f"{one}{versioned if one else ''}", path)
                filled = filled.replace("[/versions/{n}]", versioned).replace("{model}", "{name}")
                named.add((method.lower(), filled))
    described = {
        (method, path) for path, item in openapi.document([], needs_token=False)["paths"].items() for method in item
    }
    assert named - described == set()
    assert len(named) > 15
