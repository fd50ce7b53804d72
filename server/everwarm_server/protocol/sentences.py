"""Untrusted values in, short safe text out, for the sentences that tell a client what is wrong with its request."""

from typing import Any, Final

_NAMES: Final = {list: "a list", dict: "an object", type(None): "null", str: "a string", bytes: "bytes"}
_SHOWN_CHARACTERS: Final = 64  # a name of 20 MB must not come back in an error, nor stand in a log


def shown(value: Any) -> str:
    """The value as text of at most about 70 characters: scalars as themselves, containers by their kind."""
    if isinstance(value, str):
        return repr(value) if len(value) <= _SHOWN_CHARACTERS else f"{value[:_SHOWN_CHARACTERS]!r}..."
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | float):
        return str(value)[:_SHOWN_CHARACTERS]
    return _NAMES.get(type(value), type(value).__name__)


def listed(names: list[str]) -> str:
    """At most eight names, quoted, in their order."""
    text = ", ".join(shown(name) for name in names[:8])
    return f"{text} and {len(names) - 8} more" if len(names) > 8 else text
