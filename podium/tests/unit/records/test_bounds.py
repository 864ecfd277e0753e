"""What may stand in an instance's record: merge patches are RFC 7396, everything has a bound, no error tells a value."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from podium.protocol.errors import InvalidRequest, TooLarge
from podium.records import bounds

scalars = st.none() | st.booleans() | st.integers(-5, 5) | st.floats(-2, 2) | st.text(max_size=3)
values = st.recursive(
    scalars, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=2), inner, max_size=3)
)
documents = st.dictionaries(st.text(max_size=2), values, max_size=4)
clean = documents.map(bounds.checked_config)

RFC_7396: list[tuple[dict[str, Any], dict[str, Any], dict[str, Any]]] = [
    ({"a": "b"}, {"a": "c"}, {"a": "c"}),
    ({"a": "b"}, {"b": "c"}, {"a": "b", "b": "c"}),
    ({"a": "b"}, {"a": None}, {}),
    ({"a": "b", "b": "c"}, {"a": None}, {"b": "c"}),
    ({"a": ["b"]}, {"a": "c"}, {"a": "c"}),
    ({"a": "c"}, {"a": ["b"]}, {"a": ["b"]}),
    ({"a": {"b": "c"}}, {"a": {"b": "d", "c": None}}, {"a": {"b": "d"}}),
    ({"a": [{"b": "c"}]}, {"a": [1]}, {"a": [1]}),
    ({}, {"a": {"bb": {"ccc": None}}}, {"a": {"bb": {}}}),
    ({"e": None}, {"a": 1}, {"e": None, "a": 1}),
]


@pytest.mark.parametrize(("document", "patch", "result"), RFC_7396)
def test_a_merge_patch_does_what_the_rfc_says(document: dict[str, Any], patch: dict[str, Any], result: dict[str, Any]) -> None:
    before = repr(document)
    assert bounds.merge_patch(document, patch) == result
    assert repr(document) == before


@given(clean, clean)
def test_the_difference_leads_from_one_to_the_other(before: dict[str, Any], after: dict[str, Any]) -> None:
    patched = bounds.merge_patch(before, bounds.difference(before, after))
    assert repr(sorted(patched.items())) == repr(sorted(after.items())) or patched == after
    assert bounds.difference(patched, after) == {}
    assert bounds.difference(after, after) == {}


def test_numbers_and_truth_are_told_apart() -> None:
    assert bounds.difference({"a": 1, "b": True, "c": 1.0}, {"a": True, "b": 1, "c": 1}) == {"a": True, "b": 1, "c": 1}


def test_a_configuration_is_bounded_in_size_and_depth() -> None:
    deep: dict[str, Any] = {}
    for _ in range(bounds.MAX_CONFIG_DEPTH):
        deep = {"a": deep}
    assert bounds.checked_config(deep) == deep
    with pytest.raises(InvalidRequest, match="levels deep"):
        bounds.checked_config({"a": {"b": [deep]}})
    with pytest.raises(TooLarge) as refused:
        bounds.checked_config({"a": "x" * bounds.MAX_CONFIG_BYTES})
    assert refused.value.extra["limit"] == bounds.MAX_CONFIG_BYTES


@pytest.mark.parametrize("name", ["", "1a", "a b", "ä", "a" * 129, "a\n"])
def test_names_of_secrets_are_checked_and_values_never_told(name: str) -> None:
    with pytest.raises(InvalidRequest) as refused:
        bounds.checked_secrets({name: "hush-hush"})
    assert "hush" not in str(refused.value)


def test_secrets_are_bounded() -> None:
    assert bounds.checked_secrets({"API_KEY.x-1": ""}) == {"API_KEY.x-1": ""}
    with pytest.raises(TooLarge):
        bounds.checked_secrets({f"s{n}": "" for n in range(bounds.MAX_SECRETS + 1)})
    with pytest.raises(TooLarge):
        bounds.checked_secrets({"s": "ä" * (bounds.MAX_SECRETS_BYTES // 2)})


@pytest.mark.parametrize("name", ["PATH", "HOME", "AGENT_ID", "PODIUM_X", "LD_PRELOAD", "LD_", "A-B", "a=b", ""])
def test_variables_of_the_platform_and_bad_names_are_refused(name: str) -> None:
    with pytest.raises(InvalidRequest, match=r"reserved|has to match"):
        bounds.checked_environment({name: "x"})


def test_variables_are_bounded() -> None:
    assert bounds.checked_environment({"_x": "a=b", "TZ": "Europe/Berlin"})
    for bad in ({"a": "\0"}, {"a": "\ud800"}):
        with pytest.raises(InvalidRequest):
            bounds.checked_environment(bad)
    with pytest.raises(TooLarge):
        bounds.checked_environment({f"v{n}": "" for n in range(bounds.MAX_VARIABLES + 1)})
    with pytest.raises(TooLarge):
        bounds.checked_environment({"v": "x" * bounds.MAX_VARIABLES_BYTES})


def test_labels_are_bounded() -> None:
    with pytest.raises(TooLarge):
        bounds.checked_labels({f"l{n}": "" for n in range(bounds.MAX_LABELS + 1)})
