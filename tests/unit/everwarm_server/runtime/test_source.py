"""Modules that lie beside a model: importable while it loads, forgotten afterwards, and no other import is harmed."""

import sys
from pathlib import Path

import pytest

from everwarm_server.runtime import source


def test_modules_of_a_directory_are_importable_in_the_block_alone(tmp_path: Path) -> None:
    (tmp_path / "beside_the_model.py").write_text("NUMBER = 3\n")
    with source.importable(tmp_path):
        import beside_the_model  # type: ignore[import-not-found]
    assert beside_the_model.NUMBER == 3
    assert "beside_the_model" not in sys.modules
    with pytest.raises(ModuleNotFoundError):
        import beside_the_model


def test_a_thread_that_goes_through_the_path_meanwhile_misses_no_folder(tmp_path: Path) -> None:
    with source.importable(tmp_path):
        met, folders = [], iter(sys.path)  # as the import system goes through it
        met.append(next(folders))
        expected = list(sys.path)
    met.extend(folders)
    assert met == expected


def test_what_a_model_does_to_the_path_itself_stays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "path", list(sys.path))
    with source.importable(tmp_path):
        sys.path.append("/of/the/model")
    assert sys.path[-1] == "/of/the/model"
    assert str(tmp_path) not in sys.path
