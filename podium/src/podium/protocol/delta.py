"""Changes of the state document as JSON Patch (RFC 6902): `add`, `replace` and `remove`, applied without touching the input.

A path is a JSON Pointer (RFC 6901); appending to an array is an `add` whose path ends in `/-`. The golden vectors are in
`spec/delta.json`.
"""

import re
from collections.abc import Iterable, Mapping
from typing import Any

MAX_DEPTH = 64
"""How many containers may lie inside each other in a document, its root counted."""
_INDEX = re.compile(r"0|[1-9][0-9]{0,15}", re.ASCII)
_BAD_ESCAPE = re.compile(r"~(?![01])")


class DeltaError(ValueError):
    """A change that does not fit the document; the text names the path."""


def apply(document: Any, deltas: Iterable[Mapping[str, Any]]) -> Any:
    """Return `document` with `deltas` applied in order; DeltaError where one does not fit, and then nothing has changed.

    Neither `document` nor the values in `deltas` are mutated: containers along a path are copied, once each, the rest is shared.
    """
    owned: dict[int, Any] = {}
    for delta in deltas:
        document = _apply_one(document, delta, owned)
    return document


def depth(value: Any, most: int = MAX_DEPTH) -> int:
    """How many containers lie inside each other in `value`, itself counted; counting stops beyond `most`."""
    level, reached = [value], 0
    while reached <= most:
        level = [container for container in level if isinstance(container, dict | list)]
        if not level:
            break
        reached += 1
        level = [item for container in level for item in (container.values() if isinstance(container, dict) else container)]
    return reached


def pointer(*tokens: str | int) -> str:
    """The JSON Pointer that leads along `tokens`."""
    return "".join(f"/{str(token).replace('~', '~0').replace('/', '~1')}" for token in tokens)


def _apply_one(document: Any, delta: Mapping[str, Any], owned: dict[int, Any]) -> Any:
    op, tokens = delta.get("op"), _tokens(delta.get("path"))
    if op not in ("add", "replace", "remove"):
        raise DeltaError(f"operation {str(op)[:40]!r} is not one of add, replace, remove")
    value = None if op == "remove" else _value(delta, len(tokens))
    if not tokens:
        if op == "remove":
            raise DeltaError("the whole document cannot be removed")
        return value
    root = parent = _own(document, owned)
    for token in tokens[:-1]:
        key = _key(parent, token, delta)
        child = _own(parent[key], owned)
        parent[key] = child
        parent = child
    _change(parent, tokens[-1], op, value, delta)
    return root


def _change(parent: Any, last: str, op: str, value: Any, delta: Mapping[str, Any]) -> None:
    if op == "add" and isinstance(parent, dict):
        parent[last] = value
    elif op == "add" and isinstance(parent, list):
        parent.insert(len(parent) if last == "-" else _index(last, len(parent), delta), value)
    elif op == "replace":
        parent[_key(parent, last, delta)] = value
    else:
        del parent[_key(parent, last, delta)]


def _tokens(path: Any) -> list[str]:
    if not isinstance(path, str) or (path and path[0] != "/"):
        raise DeltaError(f"path {str(path)[:200]!r} is not a JSON Pointer")
    if _BAD_ESCAPE.search(path):
        raise DeltaError(f"path {path[:200]!r} has a ~ that is neither ~0 nor ~1")
    tokens = path.split("/")[1:]
    if len(tokens) > MAX_DEPTH:
        raise DeltaError(f"path {path[:200]!r} is deeper than {MAX_DEPTH} levels")
    return [token.replace("~1", "/").replace("~0", "~") for token in tokens]


def _value(delta: Mapping[str, Any], level: int) -> Any:
    if "value" not in delta:
        raise DeltaError(f"{delta['op']} at {delta['path'][:200]!r} has no value")
    if level + depth(delta["value"]) > MAX_DEPTH:
        raise DeltaError(f"the value at {delta['path'][:200]!r} would nest deeper than {MAX_DEPTH} levels")
    return delta["value"]


def _own(container: Any, owned: dict[int, Any]) -> Any:
    """The container itself where it was copied before, else a copy; what is no container is left to `_key`."""
    if id(container) in owned or not isinstance(container, dict | list):
        return container
    copy = container.copy()
    owned[id(copy)] = copy
    return copy


def _key(parent: Any, token: str, delta: Mapping[str, Any]) -> Any:
    """The key or index of an existing item."""
    if isinstance(parent, list):
        return _index(token, len(parent) - 1, delta)
    if not isinstance(parent, dict) or token not in parent:
        raise DeltaError(f"{delta['op']} at {delta['path'][:200]!r}: there is nothing at {token[:80]!r}")
    return token


def _index(token: str, last: int, delta: Mapping[str, Any]) -> int:
    if not _INDEX.fullmatch(token) or int(token) > last:
        raise DeltaError(f"{delta['op']} at {delta['path'][:200]!r}: {token[:80]!r} is not an index up to {last}")
    return int(token)
