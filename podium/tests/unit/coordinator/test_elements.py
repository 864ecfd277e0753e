"""Elements of an agent become events, or are refused: nothing else."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from podium.coordinator.elements import MAX_CUSTOM_NAME_CHARS, to_event

EVENTS = [
    ("text_delta", None, "update"),
    ("text_final", None, "update"),
    ("code_block", None, "code_block"),
    ("file_change", None, "file_change"),
    ("usage", None, "usage"),
    ("thinking", None, "thinking_progress"),
    ("thinking", "start", "thinking_start"),
    ("thinking", "progress", "thinking_progress"),
    ("thinking", "complete", "thinking_complete"),
    ("tool_call", None, "tool_call"),
    ("tool_call", "start", "tool_call_start"),
    ("tool_call", "delta", "tool_call_delta"),
    ("tool_call", "complete", "tool_call"),
    ("tool_result", None, "tool_result"),
    ("tool_result", "result", "tool_result"),
    ("tool_result", "error", "tool_error"),
    ("terminal_output", None, "terminal_stream"),
    ("terminal_output", "stream", "terminal_stream"),
    ("terminal_output", "complete", "terminal_complete"),
    ("plan", None, "plan_created"),
    ("plan", "created", "plan_created"),
    ("plan", "step_started", "plan_step_started"),
    ("plan", "step_completed", "plan_step_completed"),
    ("plan", "revised", "plan_revised"),
]
JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**63) | st.floats(allow_nan=False) | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=10), inner, max_size=3),
    max_leaves=8,
)
TYPES = st.sampled_from(sorted({kind for kind, _, _ in EVENTS} | {"custom"})) | JSON
PHASES = st.sampled_from(sorted({phase for _, phase, _ in EVENTS if phase})) | JSON


@pytest.mark.parametrize(("kind", "phase", "event_type"), EVENTS)
def test_an_element_becomes_its_event(kind: str, phase: str | None, event_type: str) -> None:
    element = {"type": kind, "text": "hello", "k": [1]} | ({} if phase is None else {"phase": phase})
    content = {"text": "hello", "k": [1]} | ({"final": True} if kind == "text_final" else {})
    before = dict(element)
    assert to_event(element) == (event_type, content)
    assert element == before


def test_an_element_of_the_agents_own_is_named_after_it() -> None:
    assert to_event({"type": "custom", "name": "page_2", "n": 1}) == ("custom_page_2", {"n": 1})


@pytest.mark.parametrize("name", ["", "Page", "2nd", "a-b", "a.b", "é", "a\n", "x" * (MAX_CUSTOM_NAME_CHARS + 1), None, 7, ["a"]])
def test_a_name_that_could_be_taken_for_another_event_is_refused(name: Any) -> None:
    with pytest.raises(ValueError, match="needs a name"):
        to_event({"type": "custom", "name": name})


@pytest.mark.parametrize(
    "element",
    [
        {},
        {"type": None},
        {"type": 7},
        {"type": ["text_delta"]},
        {"type": "complete"},
        {"type": "error"},
        {"type": "update"},
        {"type": "stream_start"},
        {"type": "rewound"},
        {"type": "thinking", "phase": "unknown"},
        {"type": "thinking", "phase": None},
        {"type": "thinking", "phase": {}},
        {"type": "tool_call", "phase": ["start"]},
        {"type": "plan", "phase": "start"},
        {"type": "custom"},
    ],
)
def test_a_hostile_element_is_refused(element: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"element|phase"):
        to_event(element)


@given(st.dictionaries(st.text(max_size=10), JSON, max_size=4), TYPES, PHASES)
def test_arbitrary_json_becomes_an_event_of_the_table_or_is_refused(rest: dict[str, Any], kind: Any, phase: Any) -> None:
    allowed = {event_type for _, _, event_type in EVENTS}
    for element in (rest, rest | {"type": kind}, rest | {"type": kind, "phase": phase}):
        try:
            event_type, content = to_event(element)
        except ValueError:
            continue
        assert event_type in allowed or event_type.startswith("custom_")
        assert set(content) <= set(element) | {"final"}
