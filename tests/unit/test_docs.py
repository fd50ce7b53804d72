"""What the documentation shows, works: its model.toml is read, its Python model answers, its links lead somewhere."""

import re
from pathlib import Path

import numpy as np
import pytest

from everwarm_server import InvalidInput, errors
from everwarm_server.runtime import model_toml
from everwarm_server.runtime.load import LoadOptions, load
from everwarm_server.transport.grpc.status import status

ROOT = Path(__file__).resolve().parents[2]
MODELS = (ROOT / "docs" / "reference" / "models.md").read_text()
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md"), *(ROOT / "tests").rglob("*.md")])


def block(language: str, section: str) -> str:
    """The first block of a language below a heading of the page on models."""
    text = re.split(rf"^#+ {re.escape(section)}$", MODELS, flags=re.MULTILINE)[1]
    return str(re.findall(rf"```{language}\n(.*?)```", text, re.DOTALL)[0])


@pytest.mark.parametrize("text", re.findall(r"```toml\n(.*?)```", MODELS, re.DOTALL))
def test_each_model_toml_of_the_reference_is_read(text: str) -> None:
    model_toml.parse(text)


def test_the_reference_has_the_codes_of_all_errors() -> None:
    text = (ROOT / "docs" / "reference" / "protocols.md").read_text()
    told = dict(re.findall(r"^\| (\w+) \| (\d+ \| [A-Z_]+) \|$", text, re.MULTILINE))
    kinds = {kind.__name__: kind for kind in vars(errors).values() if isinstance(kind, type)}
    ended = {name: status(kind("Text.")) for name, kind in kinds.items() if name != "ServingError"}
    assert told == {name: f"{each.http_code} | {each.code.name}" for name, each in ended.items()}


def test_the_model_toml_of_the_reference_is_read() -> None:
    toml = model_toml.parse(block("toml", "model.toml"))
    assert [(spec.name, spec.datatype, spec.shape) for spec in (*toml.inputs, *toml.outputs)] == [
        ("image", "FP32", (-1, 64)),
        ("label", "INT64", (-1,)),
    ]
    assert (toml.samples, toml.runs) == ("warm_up.npz", 3)


def test_the_python_model_of_the_reference_answers_and_refuses(tmp_path: Path) -> None:
    (tmp_path / "model.py").write_text(block("python", "A Python model"))
    runtime = load(tmp_path, LoadOptions("weighted"))
    try:
        answer = runtime.infer({"x": np.ones((2, 3), np.float32)}, {})
        assert answer["y"].tolist() == [6.0, 6.0]
        with pytest.raises(InvalidInput, match="must not have NaN"):
            runtime.infer({"x": np.full((1, 3), np.nan, np.float32)}, {})
    finally:
        runtime.close()


def test_the_stream_of_the_reference_streams(tmp_path: Path) -> None:
    (tmp_path / "model.py").write_text(block("python", "Streams"))
    runtime = load(tmp_path, LoadOptions("words"))
    try:
        inputs = {"text_input": np.array([b"one two three"], object)}
        answers = list(runtime.stream(inputs, {"max_words": 2}))
        assert [answer["text_output"].tolist() for answer in answers] == [[b"one"], [b"two"]]
    finally:
        runtime.close()


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_within_the_repository_lead_somewhere(page: Path) -> None:
    targets = re.findall(r"\]\((?!https?://|#)([^)#]+)", page.read_text())
    assert [target for target in targets if not (page.parent / target).exists()] == []
