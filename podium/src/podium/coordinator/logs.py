"""The log of an instance: what the agent said by frames, what its process printed, what the platform has to add.

stdout and stderr go to a file, never to a pipe: the agent can neither block on the coordinator nor die with it. The file is
tailed into `logs/agent.db`, and what was read is punched out of it, so that it stays small however long the agent prints. Logs
are kept as well as the disk allows: losing some never fails a turn.
"""

import asyncio
import ctypes
import os
from collections.abc import Callable
from concurrent.futures import Executor
from datetime import datetime
from pathlib import Path
from typing import Any, NamedTuple

import apsw

from podium import log
from podium.protocol.api import LogRecord
from podium.state.values import from_us, to_us
from podium.state.writer import Writer

TAIL_EVERY_S = 0.25
MAX_READ_BYTES = 1024 * 1024
MAX_BACKLOG_BYTES = 16 * 1024 * 1024
MAX_LINE_CHARS = 8192
MAX_BUFFERED = 10_000
KEEP_RECORDS = 20_000
LAST_LINES = 20
LEVELS = ("debug", "info", "warning", "error", "critical")

_SCHEMA = """
CREATE TABLE IF NOT EXISTS records (
  id INTEGER PRIMARY KEY AUTOINCREMENT, at INTEGER NOT NULL, level TEXT NOT NULL, source TEXT NOT NULL, module TEXT NOT NULL,
  message TEXT NOT NULL
) STRICT
"""
_libc = ctypes.CDLL(None, use_errno=True)
_KEEP_SIZE_PUNCH_HOLE = 0x01 | 0x02
_logger = log.get("logs")


class _Line(NamedTuple):
    at: int
    level: str
    source: str
    module: str
    message: str


class LogStore:
    """`logs/agent.db`: the newest records of an instance."""

    def __init__(self, path: Path, executor: Executor) -> None:
        self._connection = apsw.Connection(str(path))
        self._connection.set_busy_timeout(5000)
        self._connection.pragma("journal_mode", "wal")
        self._connection.execute(_SCHEMA)
        self._writer = Writer(self._connection, executor)

    async def append(self, lines: list[_Line]) -> None:
        """Store lines and drop the oldest above KEEP_RECORDS."""
        await self._writer.run(lambda db: _append(db, lines))

    async def read(self, limit: int, offset: int, level: str | None) -> list[LogRecord]:
        """The newest `limit` records after skipping the newest `offset`, oldest first; of `level` or worse."""
        return await self._writer.run(lambda db: _read(db, limit, offset, level))

    async def close(self) -> None:
        """Close the file."""
        await self._writer.idle()
        self._writer.close()
        self._connection.close()


class AgentLog:
    """The log of one launch: collects, tails the output file, writes in groups."""

    def __init__(self, store: LogStore, output: Path, clock: Callable[[], datetime]) -> None:
        self._store = store
        self._output = output
        self._clock = clock
        self._buffer: list[_Line] = []
        self._offset = 0
        self._partial = b""
        self._task = asyncio.create_task(self._follow())

    def now(self) -> datetime:
        """The platform's time."""
        return self._clock()

    def add(self, level: str, source: str, message: str, module: str = "") -> None:
        """Take one record; beyond MAX_BUFFERED it is dropped."""
        if len(self._buffer) < MAX_BUFFERED:
            level = level.lower() if level.lower() in LEVELS else "info"
            self._buffer.append(_Line(to_us(self._clock()), level, source, module[:256], message[:MAX_LINE_CHARS]))

    async def drain(self) -> None:
        """Take what the ended process has printed, store everything, and stop."""
        self._task.cancel()
        await asyncio.wait({self._task})
        for _ in range(MAX_BACKLOG_BYTES // MAX_READ_BYTES + 1):  # something it has left behind may print for ever
            if not self._read():
                break
            await self._flush()
        if self._partial:
            self.add("info", "output", self._partial.decode(errors="replace"))
        await self._flush()

    async def last_lines(self) -> list[str]:
        """The newest lines, for whoever asks why it ended."""
        try:
            return [record.message[:1000] for record in await self._store.read(LAST_LINES, 0, None)]
        except OSError:
            return []

    async def _follow(self) -> None:
        while True:
            self._read()
            await self._flush()
            await asyncio.sleep(TAIL_EVERY_S)

    async def _flush(self) -> None:
        if not self._buffer:
            return
        lines, self._buffer = self._buffer, []
        try:
            await self._store.append(lines)
        except OSError as error:
            _logger.warning("log records were dropped", count=len(lines), error=str(error))

    def _read(self) -> bool:
        """Take lines from the output file; whether there were any."""
        try:
            fd = os.open(self._output, os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC)
        except OSError:  # the agent has printed nothing yet, or there is no descriptor left: at the next look
            return False
        try:
            data = self._take(fd)
        finally:
            os.close(fd)
        *lines, self._partial = (self._partial + data).split(b"\n")
        if len(self._partial) > MAX_LINE_CHARS:
            lines, self._partial = [*lines, self._partial], b""
        for line in lines:
            self.add("info", "output", line.decode(errors="replace"))
        return bool(data)

    def _take(self, fd: int) -> bytes:
        size = os.fstat(fd).st_size
        if size < self._offset:
            self._offset = 0  # the agent holds the descriptor and has cut its own file
        if size - self._offset > MAX_BACKLOG_BYTES:
            self.add(
                "warning", "platform", f"{size - self._offset - MAX_READ_BYTES} bytes of output came too fast and were dropped"
            )
            self._offset = size - MAX_READ_BYTES
        data = os.pread(fd, MAX_READ_BYTES, self._offset)
        self._offset += len(data)
        if data:
            punched = ctypes.c_long(self._offset)
            _libc.fallocate(fd, _KEEP_SIZE_PUNCH_HOLE, ctypes.c_long(0), punched)  # where that fails the file just grows
        return data


def _append(db: apsw.Connection, lines: list[_Line]) -> None:
    db.executemany("INSERT INTO records (at, level, source, module, message) VALUES (?, ?, ?, ?, ?)", lines)
    db.execute("DELETE FROM records WHERE id <= (SELECT max(id) FROM records) - ?", (KEEP_RECORDS,))


def _read(db: apsw.Connection, limit: int, offset: int, level: str | None) -> list[LogRecord]:
    wanted = LEVELS[LEVELS.index(level) :] if level else LEVELS
    places = ", ".join("?" * len(wanted))
    query = f"SELECT id, at, level, source, module, message FROM records WHERE level IN ({places})"  # noqa: S608 - placeholders
    rows: list[Any] = db.execute(f"{query} ORDER BY id DESC LIMIT ? OFFSET ?", (*wanted, limit, offset)).fetchall()
    return [
        LogRecord(id=number, at=from_us(at), level=level, source=source, module=module, message=message)
        for number, at, level, source, module, message in reversed(rows)
    ]
