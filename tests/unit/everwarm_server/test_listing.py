from pathlib import Path

import pytest

from everwarm_server.catalogue import ModelSpec, Policy, Source
from everwarm_server.errors import ModelError
from everwarm_server.listing import read

DEFAULTS = Source("", "", concurrency=2, device="cpu")


def listed(directory: Path, text: str) -> dict[str, ModelSpec]:
    path = directory / "list.toml"
    path.write_text(text)
    return read(path, DEFAULTS)


def test_each_folder_is_a_model(tmp_path: Path) -> None:
    for name in ("digits", "fraud-v2", ".hidden", "__pycache__", "lost+found"):
        (tmp_path / name).mkdir()
    (tmp_path / "README.md").write_text("")
    found = read(tmp_path, DEFAULTS)
    assert found == {
        name: ModelSpec(Source(name, str(tmp_path / name), concurrency=2, device="cpu"))
        for name in ("digits", "fraud-v2")
    }


def test_a_list_in_the_directory_says_more(tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
    (tmp_path / "models.toml").write_text(
        """
        [[models]]
        name = "b"
        pinned = true
        versions = [1, 3]
        default = 1
        concurrency = 4
        [[models]]
        name = "c"
        uri = "s3://bucket/c"
        format = "onnx"
        """
    )
    found = read(tmp_path, DEFAULTS)
    assert list(found) == ["a", "b", "c"]
    assert found["b"] == ModelSpec(
        Source("b", str(tmp_path / "b"), concurrency=4, device="cpu", pinned=True),
        policy=Policy(specific=frozenset({"1", "3"})),
        default="1",
    )
    assert found["c"].base == Source("c", "s3://bucket/c", format="onnx", concurrency=2, device="cpu")


@pytest.mark.parametrize(
    ("versions", "policy"),
    [
        ('"latest"', Policy(1)),
        ('"all"', Policy(None)),
        ("{latest = 2}", Policy(2)),
        ("[5]", Policy(specific=frozenset({"5"}))),
    ],
)
def test_policies(tmp_path: Path, versions: str, policy: Policy) -> None:
    assert listed(tmp_path, f'[[models]]\nname = "m"\nversions = {versions}')["m"].policy == policy


def test_versions_may_lie_in_different_places(tmp_path: Path) -> None:
    found = listed(
        tmp_path,
        """
        [[models]]
        name = "m"
        version = 1
        uri = "s3://bucket/old"
        [[models]]
        name = "m"
        version = 2
        uri = "new"
        default = 1
        """,
    )
    assert [(source.version, source.uri) for source in found["m"].sources()] == [
        ("1", "s3://bucket/old"),
        ("2", str(tmp_path / "new")),
    ]
    assert found["m"].default == "1"


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("[[models", "is not valid TOML"),
        ("", "must have tables [[models]] and nothing else"),
        ("models = 3", "must have tables [[models]] and nothing else"),
        ('[server]\n[[models]]\nname = "m"', "must have tables [[models]] and nothing else"),
        ("models = [3]", "Entry 1 of [[models]] in"),
        ("[[models]]", "is wrong: name: Field required"),
        ('[[models]]\nname = "a/b"', "is wrong: name: "),
        ('[[models]]\nname = "m"\ncolour = 1', "is wrong: colour: "),
        ('[[models]]\nname = "m"\nversion = "1"', "is wrong: version: "),
        ('[[models]]\nname = "m"\nversions = "some"', "is wrong: versions: "),
        ('[[models]]\nname = "m"\nversions = []', "is wrong: versions: "),
        ('[[models]]\nname = "m"\nconcurrency = 0', "is wrong: concurrency: "),
        ('[[models]]\nname = "m"\n[[models]]\nname = "m"', "the model 'm' twice"),
        ('[[models]]\nname = "m"\nversion = 1\n[[models]]\nname = "m"\nversion = 1', "the model 'm' twice"),
        (
            '[[models]]\nname = "m"\nversion = 1\n[[models]]\nname = "m"\nversion = 2\npinned = true',
            "differ in more than uri and version",
        ),
        (
            '[[models]]\nname = "m"\nversion = 1\ndefault = 1\n[[models]]\nname = "m"\nversion = 2\ndefault = 2',
            "name two default versions",
        ),
    ],
)
def test_a_wrong_list_is_refused_in_a_sentence(tmp_path: Path, text: str, sentence: str) -> None:
    with pytest.raises(ModelError) as error:
        listed(tmp_path, text)
    assert sentence in str(error.value)
    assert "list.toml" in str(error.value)


def test_there_must_be_something(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="no directory of models and no list of them at"):
        read(tmp_path / "nowhere", DEFAULTS)


def test_a_folder_that_can_be_no_name_is_told(tmp_path: Path) -> None:
    (tmp_path / "a b").mkdir()
    with pytest.raises(ModelError, match="can't be a model: its name would need other letters"):
        read(tmp_path, DEFAULTS)
