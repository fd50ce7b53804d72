"""A .tar, .tar.gz, .tgz or .zip file in, its regular files in a directory out; nothing leaves that directory.

Only files and directories are accepted: links and devices are refused rather than interpreted, names with `..` or a
root too, and sizes are counted as they are written, not as the archive claims them.
"""

import stat
import tarfile
import zipfile
import zlib
from collections.abc import Iterator
from lzma import LZMAError
from pathlib import Path, PurePosixPath
from typing import IO, Final

from everwarm_server.errors import ModelError

SUFFIXES: Final = (".tar", ".tar.gz", ".tgz", ".zip")
MAX_FILES: Final = 100_000
_CHUNK_BYTES: Final = 2**20


def is_archive(name: str) -> bool:
    """Whether a file's name says that it is an archive of a kind that `unpack` takes."""
    return name.lower().endswith(SUFFIXES)


def unpack(archive: Path, into: Path, max_bytes: int) -> None:
    """Unpack an archive into a new directory `into`.

    Raises:
        ModelError: it is broken, holds anything but files and directories, or is larger than `max_bytes` unpacked.
    """
    into.mkdir()
    members = _zip_members if archive.name.lower().endswith(".zip") else _tar_members
    left_bytes = max_bytes
    try:
        for count, (name, source) in enumerate(members(archive)):
            if count >= MAX_FILES:
                raise ModelError(f"The archive {archive.name} holds more than {MAX_FILES} files.")
            target = into / safe_relative(name)
            target.parent.mkdir(parents=True, exist_ok=True)
            with source, target.open("xb") as out:
                left_bytes -= _copy(source, out, left_bytes, archive.name, max_bytes)
    except (tarfile.TarError, zipfile.BadZipFile, zlib.error, LZMAError, EOFError, ValueError, RuntimeError) as error:
        raise ModelError(f"The archive {archive.name} is broken: {error}.") from error
    except (FileExistsError, NotADirectoryError, IsADirectoryError) as error:
        raise ModelError(f"The archive {archive.name} holds the same name twice.") from error


def safe_relative(name: str) -> PurePosixPath:
    """A name from outside as a path that stays within the directory it is joined to.

    Raises:
        ModelError: it would not.
    """
    path = PurePosixPath(name)
    parts = path.parts
    if not parts or path.is_absolute() or ".." in parts or "\\" in name or "\0" in name:
        raise ModelError(f"The model holds a file named {name[:200]!r}, which would leave its directory.")
    return path


def _copy(source: IO[bytes], out: IO[bytes], left_bytes: int, name: str, max_bytes: int) -> int:
    written = 0
    while chunk := source.read(_CHUNK_BYTES):
        written += len(chunk)
        if written > left_bytes:
            raise ModelError(f"The archive {name} holds more than the limit of {max_bytes} bytes.")
        out.write(chunk)
    return written


def _tar_members(path: Path) -> Iterator[tuple[str, IO[bytes]]]:
    with tarfile.open(path, "r:*") as archive:
        for member in archive:
            if member.isdir():
                continue
            source = archive.extractfile(member) if member.isreg() else None
            if source is None:
                raise ModelError(f"The archive {path.name} holds {member.name[:200]!r}, which is a link or a device.")
            yield member.name, source


def _zip_members(path: Path) -> Iterator[tuple[str, IO[bytes]]]:
    with zipfile.ZipFile(path) as archive:
        for member in archive.infolist():
            if member.is_dir():
                continue
            kind = stat.S_IFMT(member.external_attr >> 16)
            if kind not in {0, stat.S_IFREG}:
                raise ModelError(
                    f"The archive {path.name} holds {member.filename[:200]!r}, which is a link or a device."
                )
            yield member.filename, archive.open(member)
