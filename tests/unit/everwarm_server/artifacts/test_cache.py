import os
import tempfile
from pathlib import Path

import pytest

from everwarm_server.artifacts import cache
from everwarm_server.errors import ModelError


def enter(cache_dir, needed_bytes):
    with cache.staging(cache_dir, needed_bytes):
        pytest.fail("it was let in")


def test_a_name_is_readable_safe_and_changes_with_the_identity():
    one, two = cache.entry_name("a b/../ä", "1"), cache.entry_name("a b/../ä", "2")
    assert one.startswith("a_b_..__-")
    assert one != two
    assert cache.entry_name("a b/../ä", "1") == one
    assert cache.entry_name("...", "1").startswith("model-")
    assert len(cache.entry_name("n" * 1000, "1")) <= 97


def test_without_a_directory_models_are_kept_in_the_temporary_one_if_there_is_any(monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", "/somewhere")
    assert cache.default_directory() == Path("/somewhere/everwarm-models")
    monkeypatch.setattr(tempfile, "tempdir", None)
    monkeypatch.setattr(tempfile, "_candidate_tempdir_list", lambda: ["/proc/none"])
    with pytest.raises(ModelError, match="name one by EVERWARM_CACHE_DIR"):
        cache.default_directory()


def test_what_was_filled_becomes_the_entry_at_once(tmp_path):
    with cache.staging(tmp_path / "new" / "cache", 0) as staging:
        (staging / "files" / "sub").mkdir(parents=True)
        (staging / "files" / "sub" / "a").write_text("1")
        entry = cache.publish(staging / "files", tmp_path / "new" / "cache" / "e")
    assert (entry / "sub" / "a").read_text() == "1"
    assert [path.name for path in (tmp_path / "new" / "cache").iterdir()] == ["e"]


def test_who_comes_second_keeps_what_the_first_published(tmp_path):
    for text in ("first", "second"):
        with cache.staging(tmp_path, 0) as staging:
            (staging / "files").mkdir()
            (staging / "files" / "a").write_text(text)
            cache.publish(staging / "files", tmp_path / "e")
    assert (tmp_path / "e" / "a").read_text() == "first"
    assert [path.name for path in tmp_path.iterdir()] == ["e"]


def test_a_failure_leaves_nothing(tmp_path):
    with pytest.raises(FileExistsError), cache.staging(tmp_path, 0) as staging:
        staging.mkdir()
    assert list(tmp_path.iterdir()) == []


def test_a_model_larger_than_the_free_space_is_refused_before_it_is_fetched(tmp_path):
    with pytest.raises(ModelError, match=r"needs \d+ bytes, but the cache .* has \d+ bytes free"):
        enter(tmp_path, 2**62)
    assert list(tmp_path.iterdir()) == []


def test_a_cache_that_is_no_directory_is_named(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(ModelError, match=r"The model cache .* can't be written: "):
        enter(tmp_path / "file", 0)


def test_only_what_dead_processes_left_is_swept(tmp_path):
    for name, age_seconds in ((".staging-old", 90_000), (".staging-new", 80_000), ("entry", 90_000)):
        (tmp_path / name).mkdir()
        (tmp_path / name / "a").touch()
        os.utime(tmp_path / name, (1_000_000 - age_seconds,) * 2)
    cache.sweep(tmp_path, 1_000_000)
    cache.sweep(tmp_path / "missing", 1_000_000)
    assert sorted(path.name for path in tmp_path.iterdir()) == [".staging-new", "entry"]
