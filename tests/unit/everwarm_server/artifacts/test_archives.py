import gzip
import io
import stat
import tarfile
import zipfile

import pytest
from hypothesis import given
from hypothesis import strategies as st

from everwarm_server.artifacts import archives
from everwarm_server.errors import ModelError

FILES = {"model.onnx": b"weights", "sub/data.bin": b"", "sub/deep/x": b"1" * 5000}
LIMIT = 10**6


def tar_bytes(files, mode="w", members=()):
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode=mode) as archive:
        folder = tarfile.TarInfo("sub")
        folder.type = tarfile.DIRTYPE
        for info, content in [(folder, b""), *members, *((tarfile.TarInfo(name), files[name]) for name in files)]:
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    return buffer.getvalue()


def zip_bytes(files, members=()):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.mkdir("sub")
        for info, content in [*members, *files.items()]:
            archive.writestr(info, content)
    return buffer.getvalue()


def unpack(tmp_path, name, content, limit=LIMIT):
    (tmp_path / name).write_bytes(content)
    archives.unpack(tmp_path / name, tmp_path / "out", limit)
    return {
        str(path.relative_to(tmp_path / "out")): path.read_bytes()
        for path in (tmp_path / "out").rglob("*")
        if path.is_file()
    }


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("m.tar", tar_bytes(FILES)),
        ("m.tar.gz", tar_bytes(FILES, "w:gz")),
        ("M.TGZ", tar_bytes(FILES, "w:gz")),
        ("m.zip", zip_bytes(FILES)),
    ],
)
def test_the_files_of_an_archive_come_out(tmp_path, name, content):
    assert archives.is_archive(name)
    assert unpack(tmp_path, name, content) == FILES
    assert all(not path.stat().st_mode & stat.S_IXUSR for path in (tmp_path / "out").rglob("*") if path.is_file())


@pytest.mark.parametrize("name", ["model.onnx", "tar", "m.tar.xz", "zip.pt"])
def test_other_names_are_no_archives(name):
    assert not archives.is_archive(name)


def tar_member(name, kind=tarfile.REGTYPE, target=""):
    info = tarfile.TarInfo(name)
    info.type, info.linkname = kind, target
    return [(info, b"")]


def zip_member(name, mode=0):
    info = zipfile.ZipInfo(name)
    info.external_attr = mode << 16
    return [(info, b"../../etc")]


OUTSIDE = ["../x", "/x", "a/../../x", "..", "a\\..\\x"]
HOSTILE = [
    *[("m.tar", tar_bytes({}, members=tar_member(name)), "would leave its directory") for name in OUTSIDE],
    *[("m.zip", zip_bytes({}, members=zip_member(name)), "would leave its directory") for name in OUTSIDE],
    ("m.tar", tar_bytes({}, members=tar_member("l", tarfile.SYMTYPE, "/etc/passwd")), "'l', which is a link or a"),
    ("m.tar", tar_bytes({}, members=tar_member("l", tarfile.LNKTYPE, "../../x")), "'l', which is a link or a"),
    ("m.tar", tar_bytes({}, members=tar_member("d", tarfile.CHRTYPE)), "'d', which is a link or a device"),
    ("m.tar", tar_bytes({}, members=tar_member("p", tarfile.FIFOTYPE)), "'p', which is a link or a device"),
    ("m.zip", zip_bytes({}, members=zip_member("l", stat.S_IFLNK | 0o777)), "'l', which is a link or a device"),
    ("m.tar", tar_bytes({"a": b"1"}, members=tar_member("a")), "holds the same name twice"),
    ("m.tar", tar_bytes({"a/b": b"1"}, members=tar_member("a")), "holds the same name twice"),
    ("m.tar.gz", gzip.compress(b"")[:-4], "is broken"),
    ("m.tar", b"no archive", "is broken"),
    ("m.zip", b"no archive", "is broken"),
    ("m.zip", zip_bytes(FILES)[:-30], "is broken"),
    ("m.tar.gz", tar_bytes(FILES, "w:gz")[:-40], "is broken"),
]


@pytest.mark.parametrize(("name", "content", "sentence"), HOSTILE)
def test_a_hostile_or_broken_archive_is_refused_and_nothing_leaves_the_directory(tmp_path, name, content, sentence):
    before = set(tmp_path.parent.rglob("*"))
    with pytest.raises(ModelError, match=sentence):
        unpack(tmp_path, name, content)
    new = set(tmp_path.parent.rglob("*")) - before
    assert all(path.is_relative_to(tmp_path / "out") or path == tmp_path / name for path in new)


@pytest.mark.parametrize(("name", "make"), [("m.tar.gz", lambda f: tar_bytes(f, "w:gz")), ("m.zip", zip_bytes)])
def test_a_bomb_is_stopped_at_the_limit(tmp_path, name, make):
    content = make({"a": bytes(600_000), "b": bytes(600_000)})
    assert len(content) < 10_000
    with pytest.raises(ModelError, match="holds more than the limit of 1000000 bytes"):
        unpack(tmp_path, name, content)
    assert sum(path.stat().st_size for path in (tmp_path / "out").iterdir()) <= LIMIT


def test_too_many_files_are_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(archives, "MAX_FILES", 2)
    with pytest.raises(ModelError, match="holds more than 2 files"):
        unpack(tmp_path, "m.tar", tar_bytes(FILES))


def test_an_encrypted_zip_is_refused(tmp_path):
    content = bytearray(zip_bytes({"a": b"1"}))
    for signature, flags in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        content[content.rindex(signature) + flags] |= 1
    with pytest.raises(ModelError, match=r"is broken: .*encrypted"):
        unpack(tmp_path, "m.zip", bytes(content))


@given(st.text(min_size=1, max_size=12) | st.lists(st.sampled_from(["..", ".", "a", "", "\\"])).map("/".join))
def test_a_relative_name_stays_within_its_directory_or_is_refused(name):
    try:
        path = archives.safe_relative(name)
    except ModelError:
        return
    assert not path.is_absolute()
    assert ".." not in path.parts
