"""The journal as its writers see it: append, and learn when that is written and when it is durable.

What is appended within one turn of the event loop is written by one system call. Whatever waits to be durable shares an
fdatasync, and what is written while that runs shares the next. A result is given out when its own record is written and the last
record of its file that has to be durable is so: nothing is seen before it is safe.

A segment that is full is free again once every file that has a record in it has *settled*: holds those changes itself, durably.
Bounds: at most MAX_SEGMENTS; beyond, or while no new one can be made, what is appended waits in memory, and so does everybody
who appended it. After a failed write or fsync nothing can be promised any more: everybody gets the error, for ever, and `broken`
says so; the process has to end and begin again from what is on the disk.
"""

import asyncio
import errno
import os
import secrets
import time
from collections import deque
from collections.abc import Awaitable, Callable
from concurrent.futures import Executor
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple, Protocol

from podium import log
from podium.crashpoint import crash_point
from podium.state.journal import segments
from podium.state.journal.segments import Record
from podium.state.journal.syncer import Syncer

MAX_SEGMENTS = 8
RETRY_S = 0.5
_logger = log.get("journal")


class Participant(Protocol):
    """A file whose changes are journaled."""

    async def settle(self) -> None:
        """Hold all changes so far oneself, durably; OSError where that fails."""


class _Release(NamedTuple):
    number: int  # to be written
    durable: int  # to be durable
    done: asyncio.Future[Any]
    result: Any


class _Queued(NamedTuple):
    number: int
    participant: Participant
    data: bytes


class _Segment:
    """A segment being written."""

    def __init__(self, path: Path, first: int, needed: int) -> None:
        self.path = path
        self.first = first
        self.fd = os.open(path, os.O_WRONLY | os.O_CLOEXEC)
        self.offset = segments.BLOCK_BYTES
        self.size = os.fstat(self.fd).st_size
        self.room = self.size - segments.BLOCK_BYTES
        self.participants: set[Participant] = set()
        self.salt = secrets.randbits(32)
        os.pwrite(self.fd, segments.encode_header(segments.Header(first, needed, self.salt)), 0)


class Journal:
    """Make it with the segments that may be used and the last number given out; belongs to one event loop. `close` it."""

    def __init__(self, folder: Path, executor: Executor, last: int, free: list[Path]) -> None:
        self.last = last
        self.broken: asyncio.Future[OSError] = asyncio.get_running_loop().create_future()
        self._folder = folder
        self._executor = executor
        self._free = deque(free)
        self._count = len(free)
        self._sealed: list[_Segment] = []
        self._in_segments = last
        self._segment = _Segment(self._free.popleft(), last, last)
        self._buffer: list[_Queued] = []
        self._scheduled = False
        self._making = False
        self._written = self._synced = self._syncing = last
        self._durable = last
        self._unwritten: deque[_Release] = deque()
        self._unsynced: deque[_Release] = deque()
        self._loop = asyncio.get_running_loop()
        self._syncer = Syncer(self._on_synced)
        self._tasks: set[asyncio.Task[None]] = set()
        self.observe_sync: Callable[[float], None] | None = None
        self._sync_began = 0.0
        self._make_spare()

    # ---- for writers

    def append(self, participant: Participant, key: bytes, body: bytes, above: int) -> int:
        """Queue a record and return its number, which is above `above` too; OSError, ValueError where it cannot be taken."""
        self.check()
        number = max(self.last, above) + 1
        data = segments.encode(Record(number, key, body))
        if segments.sealed_bytes(data) > self._segment.room:
            raise ValueError(f"a change of {len(data)} bytes is larger than the {self._segment.room} of a journal's segment")
        self._buffer.append(_Queued(number, participant, data))
        self.last = number
        if not self._scheduled:
            self._scheduled = True
            self._loop.call_soon(self._flush)
        return number

    def release(self, number: int, durable: int, result: Any) -> "asyncio.Future[Any]":
        """A future for `result`, given out once `number` is written and `durable` is durable; OSError where that is never."""
        self.check()
        done: asyncio.Future[Any] = self._loop.create_future()
        self._durable = max(self._durable, durable)
        self._unwritten.append(_Release(number, durable, done, result))
        if not self._scheduled and number <= self._written:
            self._settle_written()
        return done

    def is_safe(self, number: int, durable: int) -> bool:
        """Whether a result that depends on these may be given out at once."""
        return number <= self._written and durable <= self._synced

    def check(self) -> None:
        """OSError once the journal is broken."""
        if self.broken.done():
            raise self.broken.result()

    async def close(self) -> None:
        """Close; every participant has settled before, so that nothing that is waiting here is missed."""
        self._flush()
        for task in self._tasks:
            task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks)
        await self._loop.run_in_executor(self._executor, self._syncer.close)
        for segment in (*self._sealed, self._segment):
            os.close(segment.fd)

    # ---- writing

    def _flush(self) -> None:
        self._scheduled = False
        if self.broken.done():
            return
        try:
            wrote_all = self._write()
        except OSError as error:
            self._break(error)
            return
        if wrote_all:
            self._written = self.last
            self._settle_written()

    def _write(self) -> bool:
        """Write what is buffered; False where the rest has to wait for a segment."""
        while self._buffer:
            fitting = self._buffer[: self._fitting()]
            if fitting:
                data = segments.seal([queued.data for queued in fitting], self._segment.salt)
                crash_point("journaling")
                if os.pwrite(self._segment.fd, data, self._segment.offset) != len(data):
                    raise OSError(errno.EIO, "the journal was written in part")
                crash_point("journaled")
                self._segment.offset += len(data)
                self._segment.participants.update([queued.participant for queued in fitting])
                self._in_segments = fitting[-1].number
                del self._buffer[: len(fitting)]
            if self._buffer and not self._rotate():
                return False
        return True

    def _fitting(self) -> int:
        room, count = self._segment.size - self._segment.offset, 0
        for queued in self._buffer:
            room -= segments.sealed_bytes(queued.data)
            if room < 0:
                break
            count += 1
        return count

    def _rotate(self) -> bool:
        """Go on in the next segment; False where none is free."""
        if not self._free:
            self._make_spare()
            return False
        sealed = self._segment
        self._sealed.append(sealed)
        self._segment = _Segment(self._free.popleft(), self._in_segments, self._sealed[0].first)
        self._syncer.sync(sealed.fd, 0)  # before any of the next: durable means durable up to a number
        if len(self._sealed) == 1:
            self._spawn(self._retire())
        self._make_spare()
        return True

    # ---- making durable

    def _settle_written(self) -> None:
        waiting = self._unwritten
        while waiting and waiting[0].number <= self._written:
            release = waiting.popleft()
            if release.durable <= self._synced:
                _give(release)
            else:
                self._unsynced.append(release)
        self._sync()

    def _sync(self) -> None:
        """Ask for an fsync where somebody waits for one and none runs."""
        if self._syncing == self._synced and self._durable > self._synced and self._durable <= self._written:
            self._syncing = self._written
            self._sync_began = time.monotonic()
            self._syncer.sync(self._segment.fd, self._written)

    def _on_synced(self, number: int, error: OSError | None) -> None:
        if error is not None:
            self._break(error)
            return
        if not number or self.broken.done():
            return
        crash_point("synced")
        self._synced = number
        if self.observe_sync:
            self.observe_sync(time.monotonic() - self._sync_began)
        keep: deque[_Release] = deque()
        for release in self._unsynced:
            if release.durable <= number:
                _give(release)
            else:
                keep.append(release)
        self._unsynced = keep
        self._sync()

    def _break(self, error: OSError) -> None:
        """What was written may be gone from the page cache: nothing can be promised any more."""
        if self.broken.done():
            return
        _logger.critical("the journal cannot be written", error=str(error))
        self.broken.set_result(error)
        for release in (*self._unsynced, *self._unwritten):
            if not release.done.done():
                release.done.set_exception(error)
        self._unsynced.clear()
        self._unwritten.clear()
        self._buffer.clear()

    # ---- using segments again

    async def _retire(self) -> None:
        """Free full segments once every file in them has settled; in order, since a gap would hide what comes behind it."""
        while self._sealed:
            sealed = self._sealed[0]
            for participant in sealed.participants:
                await self._until_done(participant.settle, "a state file cannot be written")
            crash_point("recycling")
            await self._until_done(
                partial(self._in_thread, segments.wipe, sealed.path), "a segment of the journal cannot be wiped"
            )
            del self._sealed[0]
            self._syncer.release(sealed.fd)
            self._free.append(sealed.path)
            self._resume()

    def _make_spare(self) -> None:
        """Have one segment ready beyond the one in use."""
        if not self._free and not self._making and self._count < MAX_SEGMENTS:
            self._making = True
            self._spawn(self._make())

    async def _make(self) -> None:
        path = self._folder / f"{self._count}.segment"
        make = partial(self._in_thread, segments.make, path, self._segment.size)
        await self._until_done(make, "no segment can be made for the journal")
        self._count += 1
        self._making = False
        self._free.append(path)
        self._resume()

    def _resume(self) -> None:
        if self._buffer and not self._scheduled:
            self._scheduled = True
            self._loop.call_soon(self._flush)

    def _in_thread(self, act: Callable[..., None], *arguments: Any) -> Awaitable[None]:
        return self._loop.run_in_executor(self._executor, act, *arguments)

    async def _until_done(self, act: Callable[[], Awaitable[object]], what: str) -> None:
        while True:
            try:
                await act()
            except OSError as error:
                _logger.error(f"{what}; trying again", error=str(error))
                await asyncio.sleep(RETRY_S)
            else:
                return

    def _spawn(self, work: Any) -> None:
        task = self._loop.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


def _give(release: _Release) -> None:
    if not release.done.done():  # else whoever asked has left
        release.done.set_result(release.result)
