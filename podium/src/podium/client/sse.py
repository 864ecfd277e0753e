"""An incremental parser of server-sent events (HTML Living Standard 9.2.6), bounded in what it holds. It does no I/O."""

import re
from typing import NamedTuple

MAX_EVENT_BYTES = 17 << 20
"""Above the 16 MiB of the largest frame an agent can send, with its envelope."""
_LINE_END = re.compile(rb"\r\n|\n|\r")
_BOM = b"\xef\xbb\xbf"


class NotAnEventStream(ValueError):
    """The bytes are not server-sent events, or one is larger than allowed."""


class ServerSentEvent(NamedTuple):
    """One event. `event` is `message` where the stream names none; `id` is None where this event carries none."""

    event: str
    data: str
    id: str | None


class SseParser:
    """Takes bytes as they come, cut anywhere, and gives whole events. What follows the last empty line is no event yet."""

    def __init__(self, max_event_bytes: int = MAX_EVENT_BYTES) -> None:
        self._max = max_event_bytes
        self._buffer = bytearray()
        self._scanned = 0
        self._after_cr = False
        self._at_start = True
        self._event = ""
        self._id: str | None = None
        self._data: list[str] = []
        self._held = 0

    def feed(self, chunk: bytes) -> list[ServerSentEvent]:
        """The events completed by `chunk`; raises NotAnEventStream."""
        self._append(chunk)
        events = []
        for line in self._lines():
            if line:
                self._field(line)
            elif (event := self._dispatch()) is not None:
                events.append(event)
        if len(self._buffer) + self._held > self._max:
            raise NotAnEventStream(f"an event is larger than {self._max} bytes")
        return events

    def _append(self, chunk: bytes) -> None:
        if chunk and self._after_cr:
            self._after_cr = False
            chunk = chunk.removeprefix(b"\n")
        self._buffer += chunk
        if self._at_start and (len(self._buffer) >= len(_BOM) or not _BOM.startswith(self._buffer)):
            self._at_start = False
            if self._buffer.startswith(_BOM):
                del self._buffer[: len(_BOM)]

    def _lines(self) -> list[bytes]:
        if self._at_start:
            return []
        lines, start = [], 0
        for match in _LINE_END.finditer(self._buffer, self._scanned):
            lines.append(bytes(self._buffer[start : match.start()]))
            start = match.end()
            self._after_cr = start == len(self._buffer) and match[0] == b"\r"
        del self._buffer[:start]
        self._scanned = len(self._buffer)
        return lines

    def _field(self, line: bytes) -> None:
        self._held += len(line)
        if self._held > self._max:
            raise NotAnEventStream(f"an event is larger than {self._max} bytes")
        try:
            name, _, value = line.decode("utf-8").partition(":")
        except UnicodeDecodeError as error:
            raise NotAnEventStream(f"a line is not UTF-8: {error}") from error
        value = value.removeprefix(" ")
        if name == "data":
            self._data.append(value)
        elif name == "event":
            self._event = value
        elif name == "id" and "\0" not in value:
            self._id = value

    def _dispatch(self) -> ServerSentEvent | None:
        event = ServerSentEvent(self._event or "message", "\n".join(self._data), self._id) if self._data else None
        self._event, self._id, self._data, self._held = "", None, [], 0
        return event
