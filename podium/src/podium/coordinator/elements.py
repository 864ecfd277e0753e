"""What an agent's stream elements become as events. `spec/events.md` is the same table in prose."""

import re
from collections.abc import Mapping
from typing import Any

MAX_CUSTOM_NAME_CHARS = 64
_CUSTOM_NAME = re.compile(r"[a-z][a-z0-9_]*", re.ASCII)

_PLAIN: Mapping[str, str] = {
    "text_delta": "update",
    "text_final": "update",
    "code_block": "code_block",
    "file_change": "file_change",
    "usage": "usage",
}
_PHASED: Mapping[str, Mapping[str, str]] = {
    "thinking": {"start": "thinking_start", "progress": "thinking_progress", "complete": "thinking_complete"},
    "tool_call": {"start": "tool_call_start", "delta": "tool_call_delta", "complete": "tool_call"},
    "tool_result": {"result": "tool_result", "error": "tool_error"},
    "terminal_output": {"stream": "terminal_stream", "complete": "terminal_complete"},
    "plan": {
        "created": "plan_created",
        "step_started": "plan_step_started",
        "step_completed": "plan_step_completed",
        "revised": "plan_revised",
    },
}
_FIRST_PHASE: Mapping[str, str] = {
    "thinking": "progress",
    "tool_call": "complete",
    "tool_result": "result",
    "terminal_output": "stream",
    "plan": "created",
}


def to_event(element: dict[str, Any]) -> tuple[str, dict[str, Any]]:
    """(event_type, content) of one element; ValueError for one that is not in the table."""
    kind = element.get("type")
    if not isinstance(kind, str):
        raise ValueError("an element needs a type")
    content = {key: value for key, value in element.items() if key != "type"}
    if kind in _PLAIN:
        return _PLAIN[kind], content | {"final": True} if kind == "text_final" else content
    if kind in _PHASED:
        phase = content.pop("phase", _FIRST_PHASE[kind])
        event_type = _PHASED[kind].get(phase) if isinstance(phase, str) else None
        if event_type is None:
            raise ValueError(f"{kind} has no phase {str(phase)[:40]!r}")
        return event_type, content
    if kind == "custom":
        return _custom(content)
    raise ValueError(f"elements have no type {kind[:40]!r}")


def _custom(content: dict[str, Any]) -> tuple[str, dict[str, Any]]:
    name = content.pop("name", None)
    if not isinstance(name, str) or len(name) > MAX_CUSTOM_NAME_CHARS or not _CUSTOM_NAME.fullmatch(name):
        raise ValueError("a custom element needs a name of lower-case letters, digits and underscores")
    return f"custom_{name}", content
