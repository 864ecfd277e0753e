"""The state of an agent: typed fields that are stored with every turn, changed by plain mutation."""

from collections.abc import Callable
from typing import Any, ClassVar

from podium.agent.models.containers import Journal, TrackedDict, adopt, plain

VERSION_KEY = "_version"


class _Field:
    """One field of a state: reads and writes the document below it."""

    def __init__(self, name: str, default: Any) -> None:
        self.name = name
        self.default = default

    def __get__(self, state: "DeltaState | None", owner: type) -> Any:
        return self.default if state is None else state._document[self.name]

    def __set__(self, state: "DeltaState", value: Any) -> None:
        state._document[self.name] = value


class DeltaState:
    """Base of an agent's `State`. Its annotated class attributes are the fields; each needs a default, which must be JSON.

    Assigning a field or changing a list or dict inside it is all there is to do: the change is stored when the turn commits, and
    is gone if the turn fails. What is assigned is copied, so change it through the state afterwards.

    Raise `_version` when the meaning of fields changes, and override `migrate`. Without it, stored fields that the class does not
    have are kept and fields that were not stored get their default.
    """

    _version: ClassVar[int] = 1
    _entity_type: ClassVar[str] = ""
    _fields: ClassVar[dict[str, Any]] = {}
    _document: TrackedDict

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        cls._fields = dict(cls._fields)
        for name, annotation in vars(cls).get("__annotations__", {}).items():
            if not name.startswith("_") and "ClassVar" not in str(annotation):
                cls._fields[name] = _default(cls, name)
                setattr(cls, name, _Field(name, cls._fields[name]))

    def __init__(self) -> None:
        object.__setattr__(self, "_document", _document(type(self), {}, Journal(whole=True)))

    def __setattr__(self, name: str, value: Any) -> None:
        if name not in self._fields:
            raise AttributeError(f"{type(self).__qualname__} has no field {name!r}; declare it as `{name}: … = default`")
        object.__setattr__(self, name, value)

    def __delattr__(self, name: str) -> None:
        raise AttributeError(f"the field {name!r} cannot be deleted; assign it another value")

    def __repr__(self) -> str:
        return f"{type(self).__qualname__}({', '.join(f'{name}={self._document[name]!r}' for name in self._fields)})"

    def to_dict(self) -> dict[str, Any]:
        """The fields as an ordinary dict, copied."""
        return {name: plain(self._document[name]) for name in self._fields}

    @classmethod
    def migrate(cls, document: dict[str, Any], from_version: int) -> dict[str, Any]:
        """Turn a document stored under another `_version` (0 if it had none) into one of this version."""
        return document


def load_state(cls: type[DeltaState], stored: dict[str, Any] | None, warn: Callable[[str], None]) -> DeltaState:
    """The state that `stored` holds, migrated if it is of another version; `warn` is told what did not fit."""
    state = cls()
    if stored is None:
        return state
    version = stored.get(VERSION_KEY, 0)
    document = {key: value for key, value in stored.items() if key != VERSION_KEY}
    if version != cls._version:
        warn(f"the stored state is of version {version}, {cls.__qualname__} of {cls._version}: migrating")
        document = _migrated(cls, document, version)
    missing = [name for name in cls._fields if name not in document]
    unknown = [name for name in document if name not in cls._fields]
    if missing:
        warn(f"the stored state lacks {', '.join(missing)}: {cls.__qualname__}'s defaults are used")
    if unknown:
        warn(f"the stored state has {', '.join(unknown)}, which {cls.__qualname__} does not: kept, not used")
    whole = version != cls._version or bool(missing)
    object.__setattr__(state, "_document", _document(cls, document, Journal(whole=whole)))
    return state


def take_deltas(state: DeltaState, *, lazily: bool = False) -> list[dict[str, Any]]:
    """The JSON Patch since the last call. `lazily` leaves a document that merely was never stored for the next call."""
    journal = _journal(state)
    return [] if lazily and not journal.changed else journal.take(state._document)


def _migrated(cls: type[DeltaState], document: dict[str, Any], version: int) -> dict[str, Any]:
    result = cls.migrate(document, version)
    if not isinstance(result, dict):
        raise TypeError(f"{cls.__qualname__}.migrate must return a dict, not {type(result).__name__}")
    result.pop(VERSION_KEY, None)
    return result


def _document(cls: type[DeltaState], values: dict[str, Any], journal: Journal) -> TrackedDict:
    document = TrackedDict()
    for name, value in {VERSION_KEY: cls._version, **cls._fields, **values}.items():
        dict.__setitem__(document, name, adopt(value, document, name))
    document.journal = journal
    return document


def _journal(state: DeltaState) -> Journal:
    journal = state._document.journal
    assert journal is not None, "a state's document is a root"
    return journal


def _default(cls: type[DeltaState], name: str) -> Any:
    if hasattr(DeltaState, name):
        raise TypeError(f"{cls.__qualname__}.{name} cannot be a field: DeltaState uses that name itself")
    if name not in cls.__dict__:
        raise TypeError(f"{cls.__qualname__}.{name} needs a default, such as `{name}: int = 0`")
    return plain(adopt(cls.__dict__[name], TrackedDict(), name))
