"""Where a reader stands in an instance's event line, and which frames are news to it. It does no I/O."""

from podium.protocol.events import Event, Frame, Reset, Truncate
from podium.protocol.ids import Cursor


class LineBroken(Exception):
    """A frame does not follow what was seen: reading again from the cursor must tell what is missing."""


class Line:
    """Takes the frames of one connection after another. `cursor` is what the next connection asks to go on after."""

    def __init__(self, cursor: Cursor | None = None) -> None:
        self.cursor = cursor

    def take(self, frame: Frame, *, whole: bool) -> Frame | None:
        """The frame where it is news, None where it was seen before or was written by a former owner.

        `whole` says that the connection carries every event of the line, so that a missing number is noticed.
        Raises LineBroken for an event that leaves a gap, or that goes back without a `truncate`.
        """
        if isinstance(frame, Event):
            return self._event(frame, whole)
        if isinstance(frame, Truncate):
            return self._truncate(frame)
        if isinstance(frame, Reset):
            return self._reset(frame)
        return frame

    def _event(self, event: Event, whole: bool) -> Event | None:
        if self.cursor is not None:
            if event.epoch < self.cursor.epoch or (event.epoch == self.cursor.epoch and event.seq <= self.cursor.seq):
                return None
            if event.seq <= self.cursor.seq:
                raise LineBroken(f"after {self.cursor} came {event.cursor} without a truncate")
            if whole and event.seq != self.cursor.seq + 1:
                raise LineBroken(f"after {self.cursor} came {event.cursor}: events are missing")
        self.cursor = event.cursor
        return event

    def _truncate(self, frame: Truncate) -> Truncate | None:
        if self.cursor is not None:
            if frame.epoch <= self.cursor.epoch:
                return None
            if frame.after_seq > self.cursor.seq:
                raise LineBroken(f"after {self.cursor} came a truncate to {frame.epoch}.{frame.after_seq}")
        self.cursor = Cursor(frame.epoch, frame.after_seq)
        return frame

    def _reset(self, frame: Reset) -> Reset | None:
        if self.cursor is not None and frame.first_seq <= self.cursor.seq + 1:
            return None
        self.cursor = Cursor(self.cursor.epoch if self.cursor else 0, frame.first_seq - 1)
        return frame
