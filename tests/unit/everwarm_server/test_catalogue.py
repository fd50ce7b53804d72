import re
from dataclasses import replace
from pathlib import Path

import pytest

from everwarm_server import listing
from everwarm_server.catalogue import ModelSpec, Policy, Source, is_version, size_bytes, stamp, start_plan
from everwarm_server.errors import ModelError


def folder(path: Path, size: int = 10, name: str = "model.onnx") -> Path:
    path.mkdir(parents=True, exist_ok=True)
    (path / name).write_bytes(bytes(size))
    return path


@pytest.mark.parametrize(
    ("policy", "chosen"),
    [
        (Policy(), ["10"]),
        (Policy(2), ["9", "10"]),
        (Policy(7), ["1", "9", "10"]),
        (Policy(None), ["1", "9", "10"]),
        (Policy(specific=frozenset({"9", "1"})), ["1", "9"]),
    ],
)
def test_a_policy_chooses_by_number(policy: Policy, chosen: list[str]) -> None:
    assert policy.choose("m", {"10", "9", "1"}) == chosen


@pytest.mark.parametrize(
    ("policy", "versions", "sentence"),
    [
        (Policy(), [], "The model 'm' has no version at all; there are none."),
        (Policy(specific=frozenset({"3"})), ["1", "2"], "The model 'm' has no version 3; there are 1, 2."),
    ],
)
def test_what_is_not_there_can_not_be_chosen(policy: Policy, versions: list[str], sentence: str) -> None:
    with pytest.raises(ModelError) as error:
        policy.choose("m", versions)
    assert str(error.value) == sentence


@pytest.mark.parametrize(
    ("text", "is_one"),
    [("1", True), ("20", True), ("0", False), ("01", False), ("1a", False), ("", False), ("²", False)],
)
def test_versions_are_whole_numbers(text: str, is_one: bool) -> None:
    assert is_version(text) is is_one


def test_numbered_folders_are_versions_where_the_directory_is_no_model(tmp_path: Path) -> None:
    for number in ("1", "02", "7"):
        folder(tmp_path / number)
    (tmp_path / "config.pbtxt").write_text("of Triton")
    (tmp_path / "model.toml").write_text("")
    spec = ModelSpec(Source("m", f"file://{tmp_path}"), policy=Policy(None))
    assert [(source.version, source.uri) for source in spec.sources()] == [
        ("1", str(tmp_path / "1")),
        ("7", str(tmp_path / "7")),
    ]
    folder(tmp_path)
    assert [(source.version, source.directory) for source in spec.sources()] == [("1", tmp_path)]


@pytest.mark.parametrize("uri", ["s3://bucket/m", "/nowhere"])
def test_what_can_not_be_looked_into_is_one_version(uri: str) -> None:
    assert ModelSpec(Source("m", uri, concurrency=3)).sources() == [Source("m", uri, concurrency=3)]


def test_a_directory_that_can_not_be_read_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(self: Path, *_: object) -> None:
        raise PermissionError(13, "Permission denied", str(self))

    for name in ("iterdir", "rglob"):
        monkeypatch.setattr(Path, name, refuse)
    sentence = re.escape(f"{tmp_path} can't be read: Permission denied.")
    spec = ModelSpec(Source("m", str(tmp_path)))
    for question in (spec.sources, lambda: size_bytes(tmp_path), lambda: stamp(tmp_path)):
        with pytest.raises(ModelError, match=sentence):
            question()
    assert start_plan([spec]).wrong == {"m": f"{tmp_path} can't be read: Permission denied."}
    with pytest.raises(ModelError, match=sentence):
        listing.read(tmp_path, Source("", ""))


def test_a_default_must_be_served() -> None:
    spec = ModelSpec(Source("m", ""), {"1": "s3://a", "2": "s3://b"}, default="1")
    with pytest.raises(ModelError, match="default version 1 of the model 'm' is not among those that are served: 2"):
        spec.sources()
    assert [source.uri for source in spec.sources(Policy(None))] == ["s3://a", "s3://b"]


def test_a_stamp_changes_with_the_files(tmp_path: Path) -> None:
    folder(tmp_path)
    before = stamp(tmp_path)
    folder(tmp_path / "__pycache__", name="x.pyc")
    assert stamp(tmp_path) == before
    folder(tmp_path, size=11)
    assert stamp(tmp_path) != before
    assert (stamp(None), size_bytes(None)) == (None, 0)


def specs(tmp_path: Path, *sizes: int, pinned: str = "") -> list[ModelSpec]:
    made = []
    for name, size in zip("abcd", sizes, strict=False):
        uri = str(folder(tmp_path / name, size)) if size else f"s3://bucket/{name}"
        made.append(ModelSpec(Source(name, uri, pinned=name in pinned)))
    return made


@pytest.mark.parametrize(
    ("sizes", "pinned", "memory_bytes", "now"),
    [
        ((10, 0, 30), "", None, "abc"),
        ((10, 20, 30), "", 100, "abc"),
        ((10, 20, 30), "", 29, "a"),
        ((10, 20, 5), "", 29, "ac"),
        ((10, 20, 30), "c", 45, "ca"),
        ((10, 0, 10), "", 100, "ac"),  # what is not here has no size yet
        ((10, 0), "b", 100, "ba"),
    ],
)
def test_what_fits_the_memory_is_loaded_at_the_start(
    tmp_path: Path, sizes: tuple[int, ...], pinned: str, memory_bytes: int | None, now: str
) -> None:
    plan = start_plan(specs(tmp_path, *sizes, pinned=pinned), memory_bytes)
    assert "".join(source.name for source in plan.now) == now
    assert list(plan.models) == list("abc"[: len(sizes)])


def test_a_model_without_a_version_spoils_no_other(tmp_path: Path) -> None:
    one, other = specs(tmp_path, 10, 10)
    plan = start_plan([replace(one, policy=Policy(specific=frozenset({"4"}))), other])
    assert ([source.name for source in plan.now], plan.wrong) == (
        ["b"],
        {"a": "The model 'a' has no version 4; there are 1."},
    )
