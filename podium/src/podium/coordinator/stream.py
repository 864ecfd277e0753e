"""Readers of an instance's events: served from memory while they keep up, from the log when they are slow.

The writer publishes after its commit and never waits: a reader that lags finds its place in the log again. An event is encoded
once, and a group of them is joined once, for all readers of a form.
"""

import asyncio
from bisect import bisect_right
from collections.abc import AsyncGenerator, Sequence
from typing import NamedTuple

from podium.coordinator.batch import Batch, Group
from podium.protocol.errors import InvalidRequest, TooMany
from podium.protocol.events import Encoded, Event, Frame, Reset, Truncate, encoded
from podium.protocol.ids import Cursor
from podium.state.port import StateStore

RECENT_BYTES = 2 * 1024 * 1024
"""Kept in memory for readers that are a little behind."""
UNREAD_BYTES = 64 * 1024
"""The same while nobody reads."""
GROUP_BYTES = 64 * 1024
BATCH_BYTES = 128 * 1024
PAGE_EVENTS = 500


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
        self._recent: list[Group] = []
        self._recent_bytes = 0
        self._news: asyncio.Event = asyncio.Event()
        self._closed = False

    def publish(self, events: Sequence[Event]) -> None:
        """Release events that are committed, in order."""
        self.publish_encoded([encoded(event) for event in events])

    def publish_encoded(self, events: Sequence[Encoded]) -> None:
        """The same, where they are encoded already."""
        if not events:
            return
        if self._recent and events[0].seq != self._recent[-1].last.seq + 1:
            self._recent.clear()  # two commits were released in the other order: the log has both in the right one
            self._recent_bytes = 0
        for group in Group.cut(events, GROUP_BYTES):
            self._recent.append(group)
            self._recent_bytes += group.size_bytes
        self._trim(RECENT_BYTES if self.readers else UNREAD_BYTES)
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

    async def read(self, after_seq: int, heartbeat_s: float | None = None) -> AsyncGenerator[Batch, None]:
        """Events above `after_seq` in order, each once, as they come; an empty batch where none came for so long. TooMany."""
        self.require_room()
        self.readers += 1
        try:
            while not self._closed:
                news = self._news
                batch = self._from_memory(after_seq) or await self._from_log(after_seq)
                if batch and batch.first_seq != after_seq + 1:
                    return  # what came next is no longer kept: whoever asks again with its cursor is told
                if batch:
                    after_seq = batch.last.seq
                    yield batch
                elif not await _set_within(news, heartbeat_s):
                    yield Batch([])
        finally:
            self.readers -= 1
            if not self.readers:
                self._trim(UNREAD_BYTES)

    def _from_memory(self, after_seq: int) -> Batch | None:
        """The next events above `after_seq` if memory holds them."""
        if after_seq >= self.head.seq or not self._recent or self._recent[0].first_seq > after_seq + 1:
            return None
        start = bisect_right(self._recent, after_seq, key=lambda group: group.last.seq)
        chosen, size_bytes = list[Group](), 0
        for group in self._recent[start:]:
            chosen.append(group.after(after_seq))
            size_bytes += group.size_bytes
            if size_bytes >= BATCH_BYTES:
                break
        return Batch(chosen)

    async def _from_log(self, after_seq: int) -> Batch | None:
        if after_seq >= self.head.seq:
            return None
        page = await self._state.events_after(after_seq, PAGE_EVENTS)
        return Batch([Group([encoded(event) for event in page])]) if page else None

    def _trim(self, size_bytes: int) -> None:
        count = 0
        while self._recent_bytes > size_bytes:
            self._recent_bytes -= self._recent[count].size_bytes
            count += 1
        del self._recent[:count]

    def _wake(self) -> None:
        news, self._news = self._news, asyncio.Event()
        news.set()


async def _set_within(event: asyncio.Event, timeout_s: float | None) -> bool:
    try:
        async with asyncio.timeout(timeout_s):
            await event.wait()
    except TimeoutError:
        return False
    return True
