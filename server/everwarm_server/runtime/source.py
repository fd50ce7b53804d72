"""A file of Python that lies beside a model in, its module out; and what is left of it goes when the model does."""

import importlib.util
import itertools
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Final

from everwarm_server.errors import ModelError

_PREFIX: Final = "everwarm_model_"
_NUMBERS: Final = itertools.count()
_ONE_AT_A_TIME: Final = threading.RLock()  # whoever loads models in two threads: sys.path and sys.modules are of both


@contextmanager
def importable(directory: Path) -> Iterator[None]:
    """Let the modules of a directory be imported by their names, in this block alone.

    Then they are forgotten, so that another model, or another version of this one, may have some of the same names;
    whoever has imported them keeps them.
    """
    with _ONE_AT_A_TIME:
        # A new list each time: another thread may import meanwhile, and skips a folder if the one that it goes through
        # gets shorter.
        sys.path = [str(directory), *sys.path]
        importlib.invalidate_caches()
        try:
            yield
        finally:
            sys.path = [folder for folder in sys.path if folder != str(directory)]
            for name in _modules_of(directory):
                if not name.startswith(_PREFIX):
                    del sys.modules[name]


def import_file(path: Path) -> ModuleType:
    """Run a file as a module of a name of its own, so that models whose files have the same name don't meet.

    Each time the name is another one: a model that is loaded again lives beside the one before for a while.

    Raises:
        ModelError: it is no file that Python can import.
        BaseException: whatever its code raises.
    """
    name = f"{_PREFIX}{next(_NUMBERS)}"
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise ModelError(f"{path} can't be imported.")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # dataclasses and typing look a class's module up there
    spec.loader.exec_module(module)
    return module


def forget(directory: Path) -> None:
    """Drop the modules of a model's directory; if it was loaded again meanwhile, those of the last load stay."""
    ours = [name for name in _modules_of(directory) if name.startswith(_PREFIX)]
    for name in ours[: max(1, len(ours) - 1)]:
        del sys.modules[name]


def _modules_of(directory: Path) -> list[str]:
    """The names of what was imported from a directory, the first first."""
    root = directory.resolve()
    files = [(name, getattr(module, "__file__", None)) for name, module in list(sys.modules.items())]
    return [name for name, file in files if file is not None and Path(file).resolve().is_relative_to(root)]


def reason(error: BaseException) -> str:
    """What an exception of the user's code says, for a sentence."""
    return f"{type(error).__name__}: {error}"[:1000]
