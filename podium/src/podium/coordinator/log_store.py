"""`logs/agent.db`: the newest records of an instance, numbered for ever, and how far what its process says was taken."""

import asyncio
from collections.abc import AsyncGenerator
from concurrent.futures import Executor
from pathlib import Path
from typing import Any, NamedTuple, cast, get_args

import apsw

from podium.protocol.api import LogRecord
from podium.protocol.errors import TooMany
from podium.protocol.parameters import Level
from podium.state.values import from_us
from podium.state.writer import Writer

KEEP_RECORDS = 20_000
PAGE_RECORDS = 500
LEVELS = get_args(Level)

_SCHEMA = """
CREATE TABLE IF NOT EXISTS records (
  id INTEGER PRIMARY KEY AUTOINCREMENT, at INTEGER NOT NULL, level TEXT NOT NULL, source TEXT NOT NULL, module TEXT NOT NULL,
  message TEXT NOT NULL
) STRICT;
CREATE TABLE IF NOT EXISTS taken (
  id INTEGER PRIMARY KEY CHECK (id = 1), launch_id TEXT NOT NULL, output_bytes INTEGER NOT NULL, n INTEGER NOT NULL
) STRICT;
"""


class Line(NamedTuple):
    """A record that has no number yet. `at` in microseconds since 1970."""

    at: int
    level: str
    source: str
    module: str
    message: str


class Taken(NamedTuple):
    """How far a launch's output file and its `log` frames are in the records."""

    launch_id: str
    output_bytes: int
    n: int


class LogStore:
    """The records of one instance, for whoever writes them and for any number of readers."""

    def __init__(self, path: Path, executor: Executor) -> None:
        self._connection = apsw.Connection(str(path))
        self._connection.set_busy_timeout(5000)
        self._connection.pragma("journal_mode", "wal")
        self._connection.execute(_SCHEMA)
        self._writer = Writer(self._connection, executor)
        self._news = asyncio.Event()
        self._followers = 0
        self._closed = False

    async def append(self, lines: list[Line], taken: Taken) -> None:
        """Store lines and up to where they go, in one transaction, and drop the oldest above KEEP_RECORDS."""
        await self._writer.run(lambda db: _append(db, lines, taken))
        self._wake()

    async def taken(self, launch_id: str) -> Taken:
        """How far a launch was taken; the beginning where nothing of it was."""
        return await self._writer.run(lambda db: _taken(db, launch_id))

    async def read(self, limit: int, offset: int, level: str | None) -> list[LogRecord]:
        """The newest `limit` records after skipping the newest `offset`, oldest first; of `level` or worse."""
        return await self._writer.run(lambda db: _read(db, limit, offset, level))

    async def follow(self, after: int, level: str | None) -> AsyncGenerator[list[LogRecord], None]:
        """Records above number `after` of `level` or worse, as they come, until the store is closed.

        One that reads slower than KEEP_RECORDS are written misses the oldest, which the numbers show.
        """
        self._followers += 1
        try:
            while not self._closed:
                news = self._news
                records, after = await self._writer.run(lambda db, after=after: _after(db, after, level))  # type: ignore[misc]
                if records:
                    yield records
                else:
                    await news.wait()
        finally:
            self._followers -= 1

    def require_room(self, limit: int) -> None:
        """TooMany where `limit` readers follow."""
        if self._followers >= limit:
            raise TooMany(
                f"{self._followers} readers follow this log and the limit is {limit}: close one, or read it in pages",
                retry_after_s=5, limit=limit, current=self._followers,
            )  # fmt: skip

    async def close(self) -> None:
        """End those who follow and close the file."""
        self._closed = True
        self._wake()
        await self._writer.idle()
        self._connection.close()

    def _wake(self) -> None:
        news, self._news = self._news, asyncio.Event()
        news.set()


def _append(db: apsw.Connection, lines: list[Line], taken: Taken) -> None:
    db.executemany("INSERT INTO records (at, level, source, module, message) VALUES (?, ?, ?, ?, ?)", lines)
    db.execute("DELETE FROM records WHERE id <= (SELECT max(id) FROM records) - ?", (KEEP_RECORDS,))
    db.execute("INSERT OR REPLACE INTO taken VALUES (1, ?, ?, ?)", taken)


def _taken(db: apsw.Connection, launch_id: str) -> Taken:
    row = db.execute("SELECT launch_id, output_bytes, n FROM taken WHERE launch_id = ?", (launch_id,)).fetchone()
    return Taken(*cast("tuple[str, int, int]", row)) if row else Taken(launch_id, 0, 0)


def _read(db: apsw.Connection, limit: int, offset: int, level: str | None) -> list[LogRecord]:
    rows = db.execute(f"{_select(level)} ORDER BY id DESC LIMIT ? OFFSET ?", (*_wanted(level), limit, offset)).fetchall()
    return [_record(row) for row in reversed(rows)]


def _after(db: apsw.Connection, after: int, level: str | None) -> tuple[list[LogRecord], int]:
    """The next records, and the number up to which there is no other."""
    query = f"{_select(level)} AND id > ? ORDER BY id LIMIT ?"
    records = [_record(row) for row in db.execute(query, (*_wanted(level), after, PAGE_RECORDS))]
    if len(records) == PAGE_RECORDS:
        return records, records[-1].id
    newest = cast(int, db.execute("SELECT coalesce(max(id), 0) FROM records").get)
    return records, max(after, newest)


def _wanted(level: str | None) -> tuple[str, ...]:
    return LEVELS[LEVELS.index(level) :] if level else LEVELS


def _select(level: str | None) -> str:
    places = ", ".join("?" * len(_wanted(level)))
    return f"SELECT id, at, level, source, module, message FROM records WHERE level IN ({places})"  # noqa: S608 - placeholders


def _record(row: Any) -> LogRecord:
    number, at, level, source, module, message = row
    return LogRecord(id=number, at=from_us(at), level=level, source=source, module=module, message=message)
