"""A message's events as a person reads them: the agent's text on stdout, everything about it as dim notes on stderr."""

import os
import sys
from typing import Any

import click
import msgspec

from podium.cli.output import printable
from podium.protocol.errors import TurnFailed
from podium.protocol.events import Event, Reset, Truncate

_MAX_NOTE_CHARS = 200
QUESTIONS = ("tool_question_requested", "tool_permission_requested")
"""Events in which an agent asks people."""


class Transcript:
    """Shows one message's frames as they come. `ended` once its `complete` was shown."""

    def __init__(self) -> None:
        self.ended = False
        self._line_open = False
        self._part_ended = False
        self._thought = ""

    def show(self, frame: Event | Truncate | Reset) -> None:
        """Print one frame; raises TurnFailed for the `error` that ends a message."""
        if isinstance(frame, Truncate):
            self._again("the host was lost with the last of this reply; it goes on from what is left")
        elif isinstance(frame, Reset):
            self._again("a part of this reply is no longer kept")
        elif frame.event_type == "update":
            self._text(frame.content)
        else:
            self._other(frame)

    def close_line(self) -> None:
        """End the line that is open."""
        if self._line_open:
            self._write("\n")
            self._line_open = False

    def _text(self, content: dict[str, Any]) -> None:
        self._flush_thought()
        text = str(content.get("text", ""))
        if text and self._part_ended:
            self._part_ended = False
            self.close_line()
        if text:
            self._write(printable(text))
            self._line_open = not text.endswith("\n")
        self._part_ended = self._part_ended or bool(content.get("final"))

    def _other(self, event: Event) -> None:
        content = event.content
        if event.event_type == "thinking_progress":
            self._thought += str(content.get("text", ""))
            return
        self._flush_thought()
        if event.event_type == "complete":
            self.close_line()
            self.ended = True
        elif event.event_type == "error":
            self.close_line()
            raise TurnFailed(_failure(event), message_id=event.message_id)
        elif event.event_type == "attempt_failed":
            reason = content.get("message") or content.get("outcome") or "unknown"
            self._again(f"attempt {event.attempt} failed ({reason})" + ("; trying again" if content.get("will_retry") else ""))
        elif (note := _note(event.event_type, content)) is not None:
            self._note(note)

    def _again(self, note: str) -> None:
        self._note(note)
        self._part_ended = False
        self._thought = ""

    def _flush_thought(self) -> None:
        if self._thought.strip():
            self._note(f"thinking: {self._thought.strip()}", _MAX_NOTE_CHARS * 10)
        self._thought = ""

    def _note(self, note: str, max_chars: int = _MAX_NOTE_CHARS) -> None:
        self.close_line()
        print_note(note if len(note) <= max_chars else note[: max_chars - 1] + "…")

    def _write(self, text: str) -> None:
        sys.stdout.write(text)
        sys.stdout.flush()


def print_note(note: str) -> None:
    """A dim line on stderr."""
    clean = "".join(char for char in note if char == "\n" or char.isprintable())
    click.secho(clean, dim=True, err=True, color=False if os.environ.get("NO_COLOR") else None)


def _failure(event: Event) -> str:
    reason = event.content.get("message") or event.content.get("code") or "no reason given"
    return f"the agent could not process message {event.message_id}: {reason}"


def _note(event_type: str, content: dict[str, Any]) -> str | None:
    tool = content.get("tool_name") or content.get("tool_call_id") or "tool"
    if event_type == "tool_call":
        return f"→ {tool} {_compact(content.get('arguments', content.get('input')))}".rstrip()
    if event_type == "tool_result":
        return f"← {tool} {_compact(content.get('result', content.get('output')))}".rstrip()
    if event_type == "tool_error":
        return f"✗ {tool} {_compact(content.get('error', content.get('message')))}".rstrip()
    if event_type in QUESTIONS:
        about = {name: value for name, value in content.items() if name not in ("request_id", "question", "action")}
        asked = content.get("question", content.get("action"))
        return f"? {_compact(asked)} {_compact(about or None)}".rstrip() + f" ({content.get('request_id')})"
    if event_type == "file_change":
        return f"± {content.get('path', '')}"
    return None


def _compact(value: Any) -> str:
    if value is None:
        return ""
    return " ".join((value if isinstance(value, str) else msgspec.json.encode(value).decode()).split())
