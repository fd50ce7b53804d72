"""A table of a TOML file in, its checked values out; ModelError says which key is wrong, and what it must be."""

import math
from collections.abc import Collection
from typing import Any

from everwarm_server.errors import ModelError


class Table:
    """A table whose keys are known.

    Args:
        value: what the file has.
        known: the keys that it may have.
        where: what it is called in a sentence; empty: the file itself.

    Raises:
        ModelError: it is no table, or has an unknown key.
    """

    def __init__(self, value: Any, known: Collection[str], where: str = "") -> None:
        if not isinstance(value, dict):
            raise ModelError(f"{where.strip('[]')} must be a table: {where}.")
        self._value: dict[str, Any] = value
        self._where = where
        unknown = sorted(set(value) - set(known))
        if unknown:
            raise ModelError(
                f"{unknown[0]!r} in {where or 'the file'} is unknown; known are {', '.join(sorted(known))}."
            )

    def _wrong(self, key: str, wanted: str) -> ModelError:
        where = f" in {self._where}" if self._where else ""
        return ModelError(f"{key}{where} is {self._value[key]!r}; it must be {wanted}.")

    def get(self, key: str, default: Any = None) -> Any:
        """Whatever is there."""
        return self._value.get(key, default)

    def table(self, key: str, known: Collection[str]) -> "Table":
        """A table within; an empty one where there is none."""
        return Table(self._value.get(key, {}), known, f"[{key}]")

    def text(self, key: str) -> str | None:
        """A string, and not an empty one."""
        value = self._value.get(key)
        if value is not None and (type(value) is not str or not value):
            raise self._wrong(key, "a string")
        return value

    def texts(self, key: str) -> tuple[str, ...]:
        """A list of strings; an empty one where there is none."""
        value = self._value.get(key, [])
        if type(value) is not list or not all(type(each) is str and each for each in value):
            raise self._wrong(key, "a list of strings")
        return tuple(value)

    def choice(self, key: str, choices: Collection[str], default: str) -> str:
        """One of some strings."""
        value = self._value.get(key, default)
        if value not in choices:
            raise self._wrong(key, f"one of {', '.join(choices)}")
        return str(value)

    def whole(self, key: str, low: int, high: int, default: int) -> int:
        """A whole number from `low` to `high`."""
        value = self._value.get(key, default)
        if type(value) is not int or not low <= value <= high:
            raise self._wrong(key, f"a whole number from {low} to {high}")
        return value

    def number(self, key: str, low: float, high: float = math.inf) -> float | None:
        """A finite number from `low` to `high`."""
        value = self._value.get(key)
        if value is None:
            return None
        if type(value) not in {int, float} or not math.isfinite(value) or not low <= value <= high:
            raise self._wrong(key, f"a number from {low:g}" + (f" to {high:g}" if high < math.inf else " on"))
        return float(value)

    def flag(self, key: str, *, default: bool) -> bool:
        """True or false."""
        value = self._value.get(key, default)
        if type(value) is not bool:
            raise self._wrong(key, "true or false")
        return value
