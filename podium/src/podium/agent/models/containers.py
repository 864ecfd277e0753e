"""Lists and dicts that tell a journal what happens to them, so that plain mutation becomes JSON Patch.

What is put in is copied, checked to be JSON and tracked; what is taken out is an ordinary container that records nothing more.
"""

from collections.abc import Callable, Iterable, Mapping
from typing import Any, Self, SupportsIndex

from podium.protocol.delta import MAX_DEPTH, pointer

_ABSENT: Any = object()
_INFINITY = float("inf")


class Journal:
    """The deltas since the last `take`. With `whole`, the document as such is still to be sent, which covers all of them."""

    def __init__(self, *, whole: bool) -> None:
        self.whole = whole
        self.changed = False
        self._deltas: list[dict[str, Any]] = []

    def record(self, op: str, path: str, value: Any = None) -> None:
        """Note one change; an assignment that follows another to the same place takes the place of it."""
        self.changed = True
        if self.whole:
            return
        delta = {"op": op, "path": path} if op == "remove" else {"op": op, "path": path, "value": plain(value)}
        if op == "replace" and self._deltas and self._deltas[-1]["path"] == path and self._deltas[-1]["op"] == "replace":
            self._deltas[-1] = delta
        else:
            self._deltas.append(delta)

    def take(self, document: "TrackedDict") -> list[dict[str, Any]]:
        """What to send to make the stored document equal to `document`; from now on it counts as sent."""
        deltas = [{"op": "replace", "path": "", "value": plain(document)}] if self.whole else self._deltas
        self.whole, self.changed, self._deltas = False, False, []
        return deltas


class _Tracked:
    """What list and dict share: where they hang. The root has a journal and no parent; what was taken out has neither."""

    __slots__ = ()
    _parent: "_Container | None"
    _key: Any
    journal: Journal | None

    def __reduce_ex__(self, protocol: SupportsIndex) -> tuple[Any, ...]:
        # copy.deepcopy and pickle get the value, without the state it hangs in
        return plain, (plain(self),)

    def _record(self, op: str, key: str | int, value: Any = None) -> None:
        root, tokens = _place(self)
        if root.journal is not None:
            root.journal.record(op, pointer(*tokens, key), value)

    def _record_all(self) -> None:
        root, tokens = _place(self)
        if root.journal is not None:
            root.journal.record("replace", pointer(*tokens), self)


class TrackedList(_Tracked, list[Any]):
    """A list inside a state."""

    __slots__ = ("_key", "_parent", "journal")

    def __init__(self, parent: "_Container | None", key: Any) -> None:
        super().__init__()
        self._parent, self._key, self.journal = parent, key, None

    def append(self, item: Any) -> None:
        list.append(self, adopt(item, self, len(self)))
        self._record("add", "-", self[-1])

    def extend(self, items: Iterable[Any]) -> None:
        for item in list(items):
            self.append(item)

    def insert(self, index: SupportsIndex, item: Any) -> None:
        at = index.__index__()
        at = min(at, len(self)) if at >= 0 else max(0, len(self) + at)
        list.insert(self, at, adopt(item, self, at))
        self._record("add", at, self[at])

    def pop(self, index: SupportsIndex = -1) -> Any:
        at = index.__index__()
        item = list.pop(self, at)
        self._record("remove", at if at >= 0 else len(self) + 1 + at)
        return _released(item)

    def remove(self, item: Any) -> None:
        self.pop(self.index(item))

    def clear(self) -> None:
        self._rewrite([])

    def sort(self, *, key: Callable[[Any], Any] | None = None, reverse: bool = False) -> None:
        try:
            list.sort(self, key=key, reverse=reverse)
        finally:  # a comparison that raises leaves some order behind
            self._record_all()

    def reverse(self) -> None:
        list.reverse(self)
        self._record_all()

    def __setitem__(self, index: SupportsIndex | slice, value: Any) -> None:
        if isinstance(index, slice):
            items = list(self)
            items[index] = value
            self._rewrite(items)
            return
        at = range(len(self))[index]
        if not _same(self[at], value):
            adopted = adopt(value, self, at)
            _released(self[at])
            list.__setitem__(self, at, adopted)
            self._record("replace", at, adopted)

    def __delitem__(self, index: SupportsIndex | slice) -> None:
        picked = range(len(self))[index]
        for at in sorted([picked] if isinstance(picked, int) else picked, reverse=True):
            self.pop(at)

    def __iadd__(self, items: Iterable[Any]) -> Self:  # type: ignore[misc]
        self.extend(items)
        return self

    def __imul__(self, times: SupportsIndex) -> Self:
        self._rewrite(list(self) * times)
        return self

    def _rewrite(self, items: list[Any]) -> None:
        adopted = [adopt(item, self, at) for at, item in enumerate(items)]
        for item in self:
            _released(item)
        list.__setitem__(self, slice(None), adopted)
        self._record_all()


class TrackedDict(_Tracked, dict[str, Any]):
    """A dict inside a state, or the whole document."""

    __slots__ = ("_key", "_parent", "journal")

    def __init__(self, parent: "_Container | None" = None, key: Any = None) -> None:
        super().__init__()
        self._parent, self._key, self.journal = parent, key, None

    def __setitem__(self, key: str, value: Any) -> None:
        old = self.get(key, _ABSENT)
        if old is not _ABSENT and _same(old, value):
            return
        adopted = adopt(value, self, key)
        _released(old)
        dict.__setitem__(self, key, adopted)
        self._record("add" if old is _ABSENT else "replace", key, adopted)

    def __delitem__(self, key: str) -> None:
        _released(self[key])
        dict.__delitem__(self, key)
        self._record("remove", key)

    def pop(self, key: str, default: Any = _ABSENT) -> Any:
        if key not in self and default is not _ABSENT:
            return default
        value = self[key]
        del self[key]
        return value

    def popitem(self) -> tuple[str, Any]:
        key = next(reversed(self), _ABSENT)
        if key is _ABSENT:
            raise KeyError("popitem(): the dictionary is empty")
        return key, self.pop(key)

    def clear(self) -> None:
        for value in self.values():
            _released(value)
        dict.clear(self)
        self._record_all()

    def setdefault(self, key: str, default: Any = None) -> Any:
        if key not in self:
            self[key] = default
        return self[key]

    def update(self, *others: Any, **items: Any) -> None:
        for key, value in dict(*others, **items).items():
            self[key] = value

    def __ior__(self, other: Any) -> Self:  # type: ignore[override,misc]
        self.update(other)
        return self


_Container = TrackedList | TrackedDict


def adopt(value: Any, parent: _Container, key: Any) -> Any:
    """A tracked copy of `value` that hangs at `key` of `parent`; TypeError or ValueError naming the place if it is not JSON."""
    if isinstance(parent, TrackedDict) and type(key) is not str:
        raise TypeError(f"{_name(parent)} has the key {key!r}; keys must be str")
    problem = _problem(value)
    if problem:
        raise problem[0](f"{_name(parent, key)} cannot be {problem[1]}")
    if isinstance(value, dict):
        return _adopt_dict(value, parent, key)
    return _adopt_list(value, parent, key) if isinstance(value, list | tuple) else value


def plain(value: Any) -> Any:
    """An ordinary deep copy of tracked containers."""
    if isinstance(value, dict):
        return {key: plain(item) for key, item in value.items()}
    return [plain(item) for item in value] if isinstance(value, list) else value


def _adopt_dict(value: Mapping[Any, Any], parent: _Container, key: Any) -> TrackedDict:
    node = TrackedDict(parent, key)
    _check_level(node)
    for name, item in value.items():
        dict.__setitem__(node, name, adopt(item, node, name))
    return node


def _adopt_list(value: Iterable[Any], parent: _Container, key: Any) -> TrackedList:
    node = TrackedList(parent, key)
    _check_level(node)
    for at, item in enumerate(value):
        list.append(node, adopt(item, node, at))
    return node


def _problem(value: Any) -> tuple[type[Exception], str] | None:
    kind = type(value)
    if value is None or kind is bool or kind is int or isinstance(value, dict | list | tuple):
        return None
    if kind is str:
        return None if value.isascii() or _encodable(value) else (ValueError, "text with half a surrogate pair")
    if kind is float:
        return None if -_INFINITY < value < _INFINITY else (ValueError, f"{value}: JSON has no such number")
    return TypeError, f"a {kind.__name__}: a state holds str, int, float, bool, None, and lists and dicts of them"


def _encodable(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _check_level(node: _Container) -> None:
    level, above = 1, node._parent
    while above is not None:
        level, above = level + 1, above._parent
    if level > MAX_DEPTH:
        raise ValueError(f"{_name(node)[:200]} nests deeper than {MAX_DEPTH} levels")


def _place(node: Any) -> tuple[Any, list[str | int]]:
    """The root that `node` hangs in and the keys that lead there."""
    tokens: list[str | int] = []
    while node._parent is not None:
        if isinstance(node._parent, TrackedList):
            node._key = _index_of(node, node._parent)
        tokens.append(node._key)
        node = node._parent
    return node, tokens[::-1]


def _index_of(node: _Container, parent: TrackedList) -> int:
    # the remembered index is right unless something before it came or went
    if node._key < len(parent) and parent[node._key] is node:
        return int(node._key)
    return next(at for at, item in enumerate(parent) if item is node)


def _name(node: _Container, *keys: Any) -> str:
    """The place as an author writes it: `state.items[3].when`; keys that hang nowhere yet are the remembered ones."""
    tokens, above = list(keys), node
    while above._parent is not None:
        tokens.insert(0, above._key)
        above = above._parent
    return "state" + "".join(f"[{token}]" if isinstance(token, int) else f".{token}" for token in tokens)


def _released(item: Any) -> Any:
    if isinstance(item, _Container):
        item._parent = None
    return item


def _same(old: Any, new: Any) -> bool:
    """Whether an assignment changes nothing: the very same container (as after `+=`) or an equal scalar."""
    return old is new or (type(old) is type(new) and not isinstance(old, _Container) and bool(old == new))
