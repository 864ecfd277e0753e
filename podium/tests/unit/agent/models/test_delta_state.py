"""A state's deltas, applied to what was stored, always give the state; whatever an author does to it."""

import copy
import pickle
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from podium.agent.models.containers import TrackedDict, TrackedList, plain
from podium.agent.models.delta_state import DeltaState, load_state, take_deltas
from podium.protocol.delta import MAX_DEPTH, apply


class State(DeltaState):
    count: int = 0
    items: list[Any] = []
    by_name: dict[str, Any] = {}
    last: str | None = None


def stored(state: DeltaState) -> Any:
    """The document that the platform has after the first flush."""
    return apply(None, take_deltas(state))


def fresh() -> tuple[State, Any]:
    state = State()
    return state, stored(state)


def test_the_first_flush_is_the_whole_document() -> None:
    state = State()
    assert take_deltas(state, lazily=True) == []
    state.count = 3
    whole = {"_version": 1, "count": 3, "items": [], "by_name": {}, "last": None}
    assert take_deltas(state, lazily=True) == [{"op": "replace", "path": "", "value": whole}]
    assert take_deltas(state) == []


def test_plain_mutation_makes_the_deltas_one_would_write() -> None:
    state, _ = fresh()
    state.count += 1
    state.last = "x"
    state.items.append({"a": [1]})
    state.items.insert(0, 0)
    state.items[1]["a"].append(2)
    state.items[1]["a/b"] = None
    del state.items[0]
    state.by_name["x"] = {}
    state.by_name["x"]["y"] = 1
    state.by_name.pop("x")
    assert take_deltas(state) == [
        {"op": "replace", "path": "/count", "value": 1},
        {"op": "replace", "path": "/last", "value": "x"},
        {"op": "add", "path": "/items/-", "value": {"a": [1]}},
        {"op": "add", "path": "/items/0", "value": 0},
        {"op": "add", "path": "/items/1/a/-", "value": 2},
        {"op": "add", "path": "/items/1/a~1b", "value": None},
        {"op": "remove", "path": "/items/0"},
        {"op": "add", "path": "/by_name/x", "value": {}},
        {"op": "add", "path": "/by_name/x/y", "value": 1},
        {"op": "remove", "path": "/by_name/x"},
    ]


def test_only_the_last_of_several_assignments_in_a_row_is_sent() -> None:
    state, _ = fresh()
    for number in range(1000):
        state.count = number
    assert take_deltas(state) == [{"op": "replace", "path": "/count", "value": 999}]


def test_an_assignment_that_changes_nothing_sends_nothing() -> None:
    state, _ = fresh()
    state.count = 0
    state.items += []
    items = state.items
    state.items = items
    assert take_deltas(state) == []
    assert state.items is items
    state.count = False  # equal, and not the same
    assert take_deltas(state) == [{"op": "replace", "path": "/count", "value": False}]


def test_what_is_assigned_is_copied_and_what_is_taken_out_is_free() -> None:
    state, document = fresh()
    mine = {"n": 1}
    state.items = [mine, mine]
    mine["n"] = 2
    state.items[0]["n"] = 3
    taken = state.items.pop()
    taken["n"] = 4
    old = state.items
    state.items = []
    old.append(5)
    document = apply(document, take_deltas(state))
    assert document["items"] == []
    assert (taken, old) == ({"n": 4}, [{"n": 3}, 5])


def test_copies_know_nothing_of_the_state() -> None:
    state, _ = fresh()
    state.items = [{"a": [1]}]
    take_deltas(state)
    for copied in (
        copy.deepcopy(state.items),
        pickle.loads(pickle.dumps(state.items)),
        state.to_dict()["items"],
        plain(state.items),
    ):
        assert type(copied) is list
        assert type(copied[0]) is dict
        copied[0]["a"].append(2)
    assert take_deltas(state) == []


@pytest.mark.parametrize(
    ("value", "error", "place"),
    [
        (object(), TypeError, "state.items cannot be a object"),
        ({1: 2}, TypeError, "state.items has the key 1"),
        ([0, {"when": {3}}], TypeError, r"state.items\[1\].when cannot be a set"),
        (b"bytes", TypeError, "state.items cannot be a bytes"),
        ([float("nan")], ValueError, r"state.items\[0\] cannot be nan"),
        (float("-inf"), ValueError, "state.items cannot be -inf"),
        ("\ud800", ValueError, "half a surrogate"),
    ],
)
def test_what_is_no_json_is_refused_by_name_and_changes_nothing(value: Any, error: type[Exception], place: str) -> None:
    state, _ = fresh()
    with pytest.raises(error, match=place):
        state.items = value
    with pytest.raises(error):
        state.items.append(value)
    with pytest.raises(error):
        state.items[:] = [value]
    assert state.items == []
    assert take_deltas(state) == []


def test_a_value_that_contains_itself_is_refused() -> None:
    state, _ = fresh()
    endless: list[Any] = []
    endless.append(endless)
    with pytest.raises(ValueError, match=f"nests deeper than {MAX_DEPTH}"):
        state.items = endless


def test_what_fits_the_depth_fits_for_the_platform_too() -> None:
    state, document = fresh()
    value: Any = []
    for _ in range(MAX_DEPTH - 2):
        value = [value]
    state.items = value
    assert apply(document, take_deltas(state))["items"] == value
    inner = state.items
    while inner:
        inner = inner[0]
    with pytest.raises(ValueError, match="nests deeper"):
        inner.append([])


def test_fields_are_those_of_the_class() -> None:
    state, _ = fresh()
    with pytest.raises(AttributeError, match="State has no field 'cuont'; declare it"):
        state.cuont = 1  # type: ignore[attr-defined]
    with pytest.raises(AttributeError, match="cannot be deleted"):
        del state.count
    assert repr(state) == "State(count=0, items=[], by_name={}, last=None)"
    assert State.count == 0


def test_defaults_are_not_shared_between_states() -> None:
    one, _ = fresh()
    one.items.append(1)
    assert State().items == []
    assert State.items == []


def test_a_subclass_has_the_fields_of_its_base_too() -> None:
    class More(State):
        more: int = 1

    assert take_deltas(More())[0]["value"] == {"_version": 1, "count": 0, "items": [], "by_name": {}, "last": None, "more": 1}


@pytest.mark.parametrize(
    ("name", "value", "reason"),
    [("a", ..., "State.a needs a default"), ("migrate", 1, "uses that name itself"), ("a", {1}, "state.a cannot be a set")],
)
def test_a_class_that_cannot_work_is_refused_when_it_is_made(name: str, value: Any, reason: str) -> None:
    body = {"__annotations__": {name: int}} | ({} if value is ... else {name: value})
    with pytest.raises(TypeError, match=reason):
        type("State", (DeltaState,), body)


def test_a_stored_state_of_this_version_is_taken_as_it_is() -> None:
    said: list[str] = []
    _, document = fresh()
    state = load_state(State, document | {"count": 5}, said.append)
    assert (state.to_dict()["count"], take_deltas(state), said) == (5, [], [])


def test_missing_fields_get_defaults_and_unknown_ones_are_kept() -> None:
    said: list[str] = []
    state = load_state(State, {"_version": 1, "count": 5, "items": [1], "by_name": {}, "gone": {"a": 1}}, said.append)
    assert said == [
        "the stored state lacks last: State's defaults are used",
        "the stored state has gone, which State does not: kept, not used",
    ]
    assert take_deltas(state, lazily=True) == []
    whole = {"_version": 1, "count": 5, "items": [1], "by_name": {}, "last": None, "gone": {"a": 1}}
    assert apply(None, take_deltas(state)) == whole


def test_another_version_is_migrated_and_stored_with_the_next_change() -> None:
    class Newer(DeltaState):
        _version = 3
        total: int = 0

        @classmethod
        def migrate(cls, document: dict[str, Any], from_version: int) -> dict[str, Any]:
            return {"total": document["count"] * from_version}

    said: list[str] = []
    state = load_state(Newer, {"_version": 2, "count": 5}, said.append)
    assert "of version 2" in said[0]
    assert take_deltas(state, lazily=True) == []
    assert stored(state) == {"_version": 3, "total": 10}
    assert stored(load_state(Newer, {"count": 5}, said.append))["total"] == 0, "a document without a version is of version 0"


def test_a_migration_that_returns_nothing_is_an_error() -> None:
    class Newer(DeltaState):
        _version = 2

        @classmethod
        def migrate(cls, document: dict[str, Any], from_version: int) -> dict[str, Any]:
            return None  # type: ignore[return-value]

    with pytest.raises(TypeError, match=r"migrate must return a dict"):
        load_state(Newer, {"_version": 1}, print)


NAMES = st.sampled_from(["a", "b", "", "x/y", "~"])
LEAVES = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=3)
VALUES = st.recursive(LEAVES, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner, max_size=3), max_leaves=6)
INDICES = st.integers(-6, 6)
SLICES = st.builds(slice, INDICES | st.none(), INDICES | st.none(), st.sampled_from([None, 1, 2, -1]))


class AnyMutation(RuleBasedStateMachine):
    """An author mutates containers anywhere in the state; a plain copy mutated the same way and the stored document agree."""

    @initialize(items=st.lists(VALUES, max_size=4), by_name=st.dictionaries(NAMES, VALUES, max_size=3))
    def begin(self, items: Any, by_name: Any) -> None:
        self.state = State()
        self.document = stored(self.state)
        self.state.items, self.state.by_name = items, by_name
        self.model = self.state.to_dict()

    def _pick(self, data: st.DataObject, kind: type) -> tuple[Any, Any]:
        """A container somewhere in the state and the same one in the model."""
        found = [pair for name in ("items", "by_name") for pair in _walk(getattr(self.state, name), self.model[name])]
        found = [pair for pair in found if isinstance(pair[0], kind)]
        return data.draw(st.sampled_from(found)) if found else (kind(None, 0), plain(kind(None, 0)))

    @rule(
        data=st.data(), value=VALUES, values=st.lists(VALUES, max_size=3), index=INDICES, part=SLICES,
        how=st.sampled_from([
            "append", "extend", "insert", "pop", "remove", "clear", "reverse", "sort", "set", "set slice", "del", "del slice",
            "+=", "*=",
        ]),
    )  # fmt: skip
    def change_list(self, data: st.DataObject, value: Any, values: list[Any], index: int, part: slice, how: str) -> None:
        for target in self._pick(data, TrackedList):
            _change_list(target, value, values, index, part, how)

    @rule(
        data=st.data(), name=NAMES, value=VALUES, values=st.dictionaries(NAMES, VALUES, max_size=3),
        how=st.sampled_from(["set", "del", "pop", "popitem", "clear", "update", "setdefault", "|="]),
    )  # fmt: skip
    def change_dict(self, data: st.DataObject, name: str, value: Any, values: dict[str, Any], how: str) -> None:
        for target in self._pick(data, TrackedDict):
            _change_dict(target, name, value, values, how)

    @rule(data=st.data())
    def assign_a_part_elsewhere(self, data: st.DataObject) -> None:
        part, model = self._pick(data, TrackedList)
        self.state.last, self.model["last"] = part, copy.deepcopy(model)  # type: ignore[assignment]

    @invariant()
    def the_stored_document_agrees(self) -> None:
        if hasattr(self, "state"):
            self.document = apply(self.document, take_deltas(self.state))
            assert self.state.to_dict() == self.model
            assert self.document == {"_version": 1} | self.model


TestAnyMutation = AnyMutation.TestCase
TestAnyMutation.settings = settings(max_examples=60, stateful_step_count=20, deadline=None)


def _walk(tracked: Any, model: Any) -> Any:
    if not isinstance(tracked, list | dict):
        return
    yield tracked, model
    keys = range(len(tracked)) if isinstance(tracked, list) else list(tracked)
    for key in keys:
        yield from _walk(tracked[key], model[key])


def _change_list(target: Any, value: Any, values: list[Any], index: int, part: slice, how: str) -> None:
    value, values = copy.deepcopy((value, values))
    try:
        match how:
            case "append":
                target.append(value)
            case "extend":
                target.extend(values)
            case "insert":
                target.insert(index, value)
            case "pop":
                target.pop(index)
            case "remove":
                target.remove(value)
            case "clear":
                target.clear()
            case "reverse":
                target.reverse()
            case "sort":
                target.sort(key=repr)
            case "set":
                target[index] = value
            case "set slice":
                target[part] = values
            case "del":
                del target[index]
            case "del slice":
                del target[part]
            case "+=":
                target += values
            case "*=":
                target *= index % 3
                target[:] = plain(target)  # a state holds no item twice, a list would
    except (IndexError, ValueError):
        pass  # the other one raises it too, or they no longer agree


def _change_dict(target: Any, name: str, value: Any, values: dict[str, Any], how: str) -> None:
    value, values = copy.deepcopy((value, values))
    try:
        match how:
            case "set":
                target[name] = value
            case "del":
                del target[name]
            case "pop":
                target.pop(name)
            case "popitem":
                target.popitem()
            case "clear":
                target.clear()
            case "update":
                target.update(values, b=1)
            case "setdefault":
                target.setdefault(name, value)
            case "|=":
                target |= values
    except KeyError:
        pass


@given(st.lists(st.integers(0, 50), min_size=1, max_size=20))
def test_children_know_their_place_after_others_moved(order: list[int]) -> None:
    state, document = fresh()
    state.items = [{"n": number} for number in range(51)]
    children = list(state.items)
    state.items.sort(key=lambda item: -item["n"])
    for number in order:
        children[number]["seen"] = True
        if len(state.items) > 1:
            gone = state.items.pop(0)
            children[gone["n"]]["n"] = gone["n"]
    document = apply(document, take_deltas(state))
    assert document["items"] == state.items
