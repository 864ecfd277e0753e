"""The golden vectors of `spec/delta.json`, and what every application of deltas keeps."""

import contextlib
import copy
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from podium.protocol.delta import MAX_DEPTH, DeltaError, apply, depth, pointer

VECTORS = json.loads((Path(__file__).parents[4] / "spec" / "delta.json").read_text())
PATHS = st.lists(st.sampled_from(["a", "b", "0", "1", "-", "~0", ""]), max_size=4).map(
    lambda tokens: "".join(f"/{t}" for t in tokens)
)
LEAVES = st.none() | st.integers() | st.text(max_size=3)
VALUES = st.recursive(LEAVES, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["a", "b", ""]), inner))
DELTAS = st.lists(st.fixed_dictionaries({"op": st.sampled_from(["add", "replace", "remove"]), "path": PATHS, "value": VALUES}))


@pytest.mark.parametrize("vector", VECTORS, ids=[vector["name"] for vector in VECTORS])
def test_golden_vector(vector: dict[str, Any]) -> None:
    document = copy.deepcopy(vector["document"])
    if "error" in vector:
        with pytest.raises(DeltaError):
            apply(document, vector["deltas"])
    else:
        assert apply(document, vector["deltas"]) == vector["result"]
    assert document == vector["document"]


@given(VALUES, DELTAS)
def test_any_change_fits_or_is_refused_and_the_input_stays(document: Any, deltas: list[dict[str, Any]]) -> None:
    before = copy.deepcopy((document, deltas))
    with contextlib.suppress(DeltaError):
        apply(document, deltas)
    assert (document, deltas) == before


@given(VALUES, DELTAS)
def test_a_list_of_changes_is_its_changes_one_by_one(document: Any, deltas: list[dict[str, Any]]) -> None:
    one_by_one = document
    for delta in deltas:
        try:
            one_by_one = apply(one_by_one, [delta])
        except DeltaError:
            with pytest.raises(DeltaError):
                apply(document, deltas)
            return
    assert apply(document, deltas) == one_by_one


def test_what_no_path_leads_to_is_shared_with_the_input() -> None:
    document = {"a": {"big": [1, 2, 3]}, "b": {"c": [1]}}
    changed = apply(document, [{"op": "add", "path": "/b/c/-", "value": 2}])
    assert changed["a"] is document["a"]
    assert changed["b"] is not document["b"]


def test_depth_counts_containers_and_stops_at_the_limit() -> None:
    assert [depth(value) for value in (1, [], {"a": [1, {}]})] == [0, 1, 3]
    endless: list[Any] = []
    endless.append(endless)
    assert depth(endless) == MAX_DEPTH + 1


@given(st.lists(st.text(max_size=5), min_size=1, max_size=5))
def test_a_pointer_leads_where_it_says(tokens: list[str]) -> None:
    document: Any = 1
    for token in reversed(tokens):
        document = {token: document}
    changed = apply(document, [{"op": "replace", "path": pointer(*tokens), "value": 2}])
    for token in tokens:
        changed = changed[token]
    assert changed == 2
