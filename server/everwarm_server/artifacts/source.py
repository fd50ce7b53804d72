"""What can be fetched: a version, a size and a way to write it to a directory. One module beside this for each kind."""

from pathlib import Path
from typing import Protocol


class Source(Protocol):
    """A model at a remote place, looked at and not yet downloaded."""

    @property
    def identity(self) -> str | None:
        """What changes when the model does, such as its ETags; None: only its bytes tell."""

    @property
    def size_bytes(self) -> int | None:
        """Size as it is sent; None: not known before."""

    @property
    def single_file(self) -> str | None:
        """The file's name, if the model is one file and not a directory of files."""

    def download(self, into: Path, max_bytes: int) -> None:
        """Write the model's files into an empty directory.

        Raises:
            ModelError: it can't be read, changed meanwhile, or is larger than `max_bytes`.
        """

    def close(self) -> None:
        """Free a connection that may be open. Safe to call twice."""
