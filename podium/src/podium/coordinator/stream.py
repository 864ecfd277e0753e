"""Readers of an instance's events: served from memory while they keep up, from the log when they are slow.

The writer publishes after its commit and never waits: a reader that lags finds its place in the log again.
"""

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, Callable, Sequence
from itertools import islice
from typing import NamedTuple

import msgspec

from podium.protocol.errors import InvalidRequest, TooMany
from podium.protocol.events import Event, Frame, Reset, Truncate
from podium.protocol.ids import Cursor
from podium.state.port import StateStore

RECENT_EVENTS = 1024
RECENT_BYTES = 2 * 1024 * 1024
PAGE_EVENTS = 500

_encoder = msgspec.json.Encoder()


class Line(NamedTuple):
    """What an instance's log holds: every epoch with its base, the oldest number kept, the newest given out."""

    epochs: Sequence[Cursor]
    first_seq: int
    head: Cursor


class Position(NamedTuple):
    """Where a reader goes on, and what it must be told first."""

    after_seq: int
    notices: list[Frame]


def resume(cursor: Cursor | None, line: Line) -> Position:
    """Where a reader with `cursor` goes on. Without one at the oldest event kept.

    A cursor above the base of a later epoch has seen events that were lost with their host: `truncate` says which. One below
    the oldest event kept gets `reset`. InvalidRequest for a cursor that this instance never gave out.
    """
    if cursor is None:
        return Position(line.first_seq - 1, [])
    later = [epoch for epoch in line.epochs if epoch.epoch > cursor.epoch and epoch.seq < cursor.seq]
    after, notices = cursor.seq, list[Frame]()
    if later:
        lowest = min(later, key=lambda epoch: epoch.seq)
        after = lowest.seq
        notices.append(Truncate(epoch=lowest.epoch, after_seq=after))
    elif cursor.epoch > line.head.epoch or cursor.seq > line.head.seq:
        raise InvalidRequest(f"cursor {cursor} is ahead of {line.head}: it belongs to another instance or an earlier life")
    if after + 1 < line.first_seq:
        after = line.first_seq - 1
        notices.append(Reset(first_seq=line.first_seq))
    return Position(after, notices)


class Stream:
    """The events of one instance as its readers see them."""

    def __init__(self, state: StateStore, head: Cursor, max_readers: int) -> None:
        self.head = head
        self.readers = 0
        self._state = state
        self._max_readers = max_readers
        self._recent: deque[tuple[Event, int]] = deque()
        self._recent_bytes = 0
        self._news: asyncio.Event = asyncio.Event()
        self._closed = False

    def publish(self, events: Sequence[Event]) -> None:
        """Release events that are committed, in order."""
        if not events:
            return
        if self._recent and events[0].seq != self._recent[-1][0].seq + 1:
            self._recent.clear()  # two commits were released in the other order: the log has both in the right one
            self._recent_bytes = 0
        for event in events:
            self._recent.append((event, len(_encoder.encode(event))))
            self._recent_bytes += self._recent[-1][1]
        while len(self._recent) > RECENT_EVENTS or self._recent_bytes > RECENT_BYTES:
            self._recent_bytes -= self._recent.popleft()[1]
        self.head = max(self.head, events[-1].cursor)
        self._wake()

    def close(self) -> None:
        """End every reader."""
        self._closed = True
        self._wake()

    async def position(self, cursor: Cursor | None) -> Position:
        """`resume` against this instance's log."""
        overview, epochs = await self._state.overview(), await self._state.epochs()
        return resume(cursor, Line(epochs, overview.first_seq, overview.head))

    def require_room(self) -> None:
        """TooMany where there are as many readers as there may be."""
        if self.readers >= self._max_readers:
            raise TooMany(
                f"the instance has {self.readers} readers and its limit is {self._max_readers}: close some",
                limit=self._max_readers, current=self.readers,
            )  # fmt: skip

    async def read(self, after_seq: int, wanted: Callable[[Event], bool] | None = None) -> AsyncGenerator[list[Event], None]:
        """Events above `after_seq` in order, each once, as they come, in batches. TooMany."""
        self.require_room()
        self.readers += 1
        try:
            while not self._closed:
                news = self._news
                batch = self._from_memory(after_seq)
                if batch is None:
                    batch = await self._state.events_after(after_seq, PAGE_EVENTS)
                if not batch:
                    await news.wait()
                    continue
                after_seq = batch[-1].seq
                chosen = [event for event in batch if wanted(event)] if wanted else batch
                if chosen:
                    yield chosen
        finally:
            self.readers -= 1

    def _from_memory(self, after_seq: int) -> list[Event] | None:
        """Events above `after_seq` if memory holds all of them, else None."""
        if after_seq >= self.head.seq:
            return []
        if not self._recent or self._recent[0][0].seq > after_seq + 1:
            return None
        start = max(0, after_seq + 1 - self._recent[0][0].seq)
        return [event for event, _ in islice(self._recent, start, start + PAGE_EVENTS)] or None

    def _wake(self) -> None:
        news, self._news = self._news, asyncio.Event()
        news.set()
