"""Taking the tables of `podium.toml` apart, strictly: values are read by name, and what nobody asked for is refused by name."""

import re
from collections.abc import Callable, Mapping
from typing import Any, NoReturn, TypeVar

from podium.protocol.errors import InvalidBundle

NAME = "podium.toml"
MAX_CONFIG_DEPTH = 32
_INTEGERS = range(-(2**63), 2**63)

T = TypeVar("T")


class Table:
    """One table. `path` is its name, such as `agent`."""

    def __init__(self, path: str, values: object) -> None:
        if not isinstance(values, dict):
            raise InvalidBundle(
                f"{NAME}: {path} is {_described(values)}; it must be a table: write [{path}] on a line of its own"
            )
        self._path = path
        self._values: dict[str, Any] = dict(values)

    def take(self, key: str, read: Callable[[Any], T], expected: str, example: str, default: T | None = None) -> T:
        """The value under `key` as `read` understands it (ValueError where it does not); required where there is no default."""
        if key not in self._values:
            if default is None:
                raise InvalidBundle(
                    f"{NAME}: {self._path}.{key} is missing: write for example {key} = {example} in [{self._path}]"
                )
            return default
        value = self._values.pop(key)
        try:
            return read(value)
        except (ValueError, TypeError):
            self._refuse(key, value, expected, example)

    def finish(self, known: tuple[str, ...]) -> None:
        """Refuse what was not taken."""
        for key in self._values:
            raise InvalidBundle(
                f"{NAME}: {self._path} has no key {key[:80]!r}; it knows {', '.join(known)}. "
                "Remove it; values of your own go into [config]"
            )

    def _refuse(self, key: str, value: object, expected: str, example: str) -> NoReturn:
        raise InvalidBundle(
            f"{NAME}: {self._path}.{key} is {_described(value)}; it must be {expected}: write for example {key} = {example}"
        ) from None


def text(pattern: re.Pattern[str]) -> Callable[[Any], str]:
    """A reader of text that matches the whole of `pattern`."""

    def read(value: Any) -> str:
        if not isinstance(value, str) or not pattern.fullmatch(value):
            raise ValueError
        return value

    return read


def whole(low: int, high: int) -> Callable[[Any], int]:
    """A reader of whole numbers from `low` to `high`."""

    def read(value: Any) -> int:
        if type(value) is not int or not low <= value <= high:
            raise ValueError
        return value

    return read


def number(above: float, high: float) -> Callable[[Any], float]:
    """A reader of numbers above `above`, up to `high`."""

    def read(value: Any) -> float:
        if type(value) not in (int, float) or not above < value <= high:
            raise ValueError
        return float(value)

    return read


def checked_config(config: Mapping[str, Any], path: str = "config", depth: int = 1) -> None:
    """InvalidBundle naming the first value that JSON cannot hold: dates, infinities, huge numbers; or too many levels."""
    if depth > MAX_CONFIG_DEPTH:
        raise InvalidBundle(f"{NAME}: {path[:80]} lies more than {MAX_CONFIG_DEPTH} levels deep: flatten it")
    for key, value in config.items():
        _check_value(value, f"{path}.{key}", depth)


def _check_value(value: object, path: str, depth: int) -> None:
    match value:
        case dict():
            checked_config(value, path, depth + 1)
        case list():
            checked_config({str(index): item for index, item in enumerate(value)}, path, depth + 1)
        case bool() | str():
            pass
        case int() if value in _INTEGERS:
            pass
        case float() if value - value == 0:
            pass
        case _:
            raise InvalidBundle(
                f"{NAME}: {path[:160]} is {_described(value)}; config holds text, numbers of up to 64 bits, true, false, "
                "lists and tables: write for example a date as text"
            )


def _described(value: object) -> str:
    if isinstance(value, str | bool | float):
        return repr(value)[:80]
    if isinstance(value, int):
        return str(value) if value in _INTEGERS else "a number of more than 64 bits"
    if isinstance(value, dict | list):
        return "a table" if isinstance(value, dict) else "a list"
    return f"a {type(value).__name__}"
