"""An instance's event line as the contract has it: epochs that begin above a base, numbers without gaps, a log that is cut."""

from datetime import UTC, datetime
from typing import Any

from podium.protocol.events import Event, Frame, Reset, Status, Truncate
from podium.protocol.ids import Cursor

NOW = datetime(2026, 1, 1, tzinfo=UTC)


class EventLine:
    """Grows, loses its end with a host, and tells a reader with any cursor what that one has to know."""

    def __init__(self) -> None:
        self.epochs = [Cursor(1, 0)]
        self.events: list[Event] = []
        self.first_seq = 1
        self.head = Cursor(1, 0)

    def add(self, event_type: str = "update", message_id: str | None = "m", **content: Any) -> Event:
        self.head = Cursor(self.head.epoch, self.head.seq + 1)
        epoch, seq = self.head
        event = Event(epoch=epoch, seq=seq, event_type=event_type, message_id=message_id, attempt=1, ts=NOW, content=content)
        self.events.append(event)
        return event

    def lose(self, count: int) -> None:
        """The host dies with its last `count` events; another one takes over."""
        base = max(self.first_seq - 1, self.head.seq - count)
        self.events = [event for event in self.events if event.seq <= base]
        self.head = Cursor(self.head.epoch + 1, base)
        self.epochs.append(self.head)

    def keep_from(self, first_seq: int) -> None:
        """Serve the beginning of the log no more; `events` remembers it."""
        self.first_seq = first_seq

    def after(self, cursor: Cursor | None, overlap: int = 0) -> list[Frame]:
        """What a reader gets that stands there; from a careless gateway with `overlap` events that it has."""
        frames: list[Frame] = []
        seq = cursor.seq if cursor else self.first_seq - 1
        for epoch, base in self.epochs:
            if cursor and epoch > cursor.epoch and seq > base:
                frames.append(Truncate(epoch=epoch, after_seq=base))
                seq = base
        if seq + 1 < self.first_seq:
            frames.append(Reset(first_seq=self.first_seq))
            seq = self.first_seq - 1
        begin = max(self.first_seq - 1, seq - overlap)
        status = Status(cursor=str(self.head), status="ready")
        return [*frames, status, *(event for event in self.events if event.seq > begin)]

    def of(self, message_id: str) -> list[Frame]:
        """What a message's own stream gives."""
        return [event for event in self.events if event.message_id == message_id]
