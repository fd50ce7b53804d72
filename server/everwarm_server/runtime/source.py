"""A file of Python that lies beside a model in, its module out; and what is left of it goes when the model does."""

import hashlib
import importlib.util
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType

from everwarm_server.errors import ModelError


@contextmanager
def importable(directory: Path) -> Iterator[None]:
    """Let the modules of a directory be imported by their names."""
    sys.path.insert(0, str(directory))
    try:
        yield
    finally:
        if str(directory) in sys.path:
            sys.path.remove(str(directory))


def import_file(path: Path) -> ModuleType:
    """Run a file as a module of a name of its own, so that models whose files have the same name don't meet.

    Raises:
        ModelError: it is no file that Python can import.
        BaseException: whatever its code raises.
    """
    name = f"everwarm_model_{hashlib.sha256(str(path.resolve()).encode()).hexdigest()[:16]}"
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise ModelError(f"{path} can't be imported.")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # dataclasses and typing look a class's module up there
    spec.loader.exec_module(module)
    return module


def forget(directory: Path) -> None:
    """Drop the modules of a model's directory, so that another model may have some of the same names."""
    root = directory.resolve()
    for name, module in list(sys.modules.items()):
        file = getattr(module, "__file__", None)
        if file is not None and Path(file).resolve().is_relative_to(root):
            del sys.modules[name]


def reason(error: BaseException) -> str:
    """What an exception of the user's code says, for a sentence."""
    return f"{type(error).__name__}: {error}"[:1000]
