"""One instance's `state.db` as a state machine: the journal makes a change count, SQLite works it out and keeps it.

Changes are applied within a transaction that stays open: it is committed every COMMIT_AFTER_S, so that its pages are written once
for many changes, and the number of the last change with it. If the process dies before, the journal has the changes above that
number. If the disk is full SQLite may undo the transaction; it is then made anew from the changes themselves, which are kept
until they are committed. Reads see what was applied, and are given out when that is safe. Source: https://sqlite.org/wal.html.
"""

import asyncio
import contextlib
import os
from collections.abc import Callable, Iterable
from concurrent.futures import Executor
from pathlib import Path
from typing import Any, TypeVar, cast

import apsw
import msgspec

from podium import log
from podium.crashpoint import crash_point
from podium.state.journal.journal import Journal
from podium.state.operation import Operation, Tables
from podium.state.operations import OPERATIONS

T = TypeVar("T")
COMMIT_AFTER_S = 0.5
COMMIT_RETRY_S = 0.5
CHECKPOINT_PAGES = 2048
DISK_ERRORS = (apsw.FullError, apsw.IOError, apsw.CantOpenError, apsw.CorruptError)
_encoder = msgspec.msgpack.Encoder()
_decoder: msgspec.msgpack.Decoder[Operation] = msgspec.msgpack.Decoder(OPERATIONS)
_logger = log.get("state")


class Machine:
    """Applies, journals, commits. `key` names the file in the journal. Belongs to one event loop."""

    def __init__(self, connection: apsw.Connection, key: bytes, journal: Journal, executor: Executor) -> None:
        self._db = connection
        self._key = key
        self._journal = journal
        self._executor = executor
        self._loop = asyncio.get_running_loop()
        self.tables = Tables(connection)
        self._held = self._last = self._durable = stored_number(connection)
        self._uncommitted: list[Operation] = []
        self._timer: asyncio.TimerHandle | None = None
        self._full: OSError | None = None
        self._pages = 0
        self._busy: asyncio.Event | None = None
        self._checkpointing: asyncio.Task[None] | None = None
        self._closed = False
        prepare(connection)
        connection.set_wal_hook(self._grown)  # instead of SQLite's own checkpoints, which would run on the loop
        self._log = os.open(Path(f"{connection.filename}-wal"), os.O_RDONLY | os.O_CLOEXEC)

    def refuse_while_full(self) -> None:
        """OSError while the disk does not take what counts already: nothing new is begun then."""
        if self._full is not None:
            raise self._full

    async def run(self, operation: Operation) -> Any:
        """What `operation` returned, once it counts; what it raised, and then it never was. OSError where the disk fails."""
        await self._usable()
        self._journal.check()
        body = _encoder.encode(operation)
        self._begin()
        result = self._apply(operation)
        try:
            self._last = self._journal.append(self, self._key, body, self._last)
        except (OSError, ValueError):
            self._db.execute("ROLLBACK TO operation")
            self.tables.reload()
            raise
        finally:
            self._db.execute("RELEASE operation")
        self._uncommitted.append(operation)
        if operation.durable:
            self._durable = self._last
        return await self._journal.release(self._last, self._durable, result)

    async def read(self, query: Callable[[apsw.Connection], T]) -> T:
        """What `query` finds, once everything it may have seen is safe."""
        await self._usable()
        try:
            if self._uncommitted and not self._is_open():
                self._begin()  # SQLite has undone it: what was given out before must be there
            result = query(self._db)
        except apsw.Error as error:
            raise OSError(f"the state cannot be read: {error}") from error
        if self._last == self._held or self._journal.is_safe(self._last, self._durable):
            # A file may be ahead of its journal after a power cut: what it held when it was opened waits for nobody.
            return result
        released: T = await self._journal.release(self._last, self._durable, result)
        return released

    async def settle(self) -> None:
        """Commit, and make that durable; nothing is left to do once closed."""
        while self._busy:
            await self._busy.wait()
        if self._closed:
            return
        self._commit()
        await self._loop.run_in_executor(self._executor, os.fdatasync, self._log)

    async def close(self, *, clean: bool) -> None:
        """Settle and close; `clean` notes that nothing unsynced is left. OSError, and then the journal has what is missing."""
        while self._busy:
            await self._busy.wait()
        if self._closed:
            return
        self._commit()
        if clean:
            self._forget_boot()
        self._closed = True
        if self._timer:
            self._timer.cancel()
        await self._loop.run_in_executor(self._executor, self._close)

    def _forget_boot(self) -> None:
        """Note that nothing unsynced is left, alone: with changes that fail it would be tried again, and then be untrue."""
        try:
            self._db.execute("UPDATE instance SET boot_id = NULL")
        except apsw.Error as error:
            raise OSError(f"the state could not be closed: {error}") from error

    def _close(self) -> None:
        try:
            os.fdatasync(self._log)
        finally:
            os.close(self._log)
            self._db.close()

    async def _usable(self) -> None:
        while self._busy:
            await self._busy.wait()
        if self._closed:
            raise OSError("the state is closed")

    # ---- applying

    def _begin(self) -> None:
        if self._is_open():
            return
        try:
            self._db.execute("BEGIN IMMEDIATE")
            self._redo()
        except apsw.Error as error:
            if self._is_open():
                self._db.execute("ROLLBACK")
            raise OSError(f"the state cannot be written: {error}") from error
        self._commit_later(COMMIT_AFTER_S)

    def _is_open(self) -> bool:
        """Whether there is a transaction: on a full disk SQLite may have ended it by itself."""
        return not self._db.get_autocommit()

    def _redo(self) -> None:
        """After SQLite undid a transaction: apply again what was in it."""
        if self._uncommitted:
            self.tables.reload()
            for operation in self._uncommitted:
                operation.apply(self.tables)

    def _reload(self) -> None:
        try:
            self.tables.reload()
        except apsw.Error as error:
            raise OSError(f"the state cannot be read: {error}") from error

    def _apply(self, operation: Operation) -> Any:
        """Apply within a savepoint that stays open."""
        self._db.execute("SAVEPOINT operation")
        try:
            return operation.apply(self.tables)
        except BaseException as error:
            if self._is_open():
                self._db.execute("ROLLBACK TO operation")
                self._db.execute("RELEASE operation")
            self._reload()
            if isinstance(error, DISK_ERRORS):
                raise OSError(f"the state cannot be written: {error}") from error
            raise

    # ---- committing

    def _commit_later(self, after_s: float) -> None:
        if self._timer is None:
            self._timer = self._loop.call_later(after_s, self._commit_now)

    def _commit_now(self) -> None:
        self._timer = None
        if self._closed or self._busy:
            return
        try:
            self._commit()
        except OSError as error:
            _logger.error("the state cannot be written; trying again", path=self._db.filename, error=str(error))
            self._commit_later(COMMIT_RETRY_S)
            return
        if self._pages >= CHECKPOINT_PAGES:
            self._pages, self._busy = 0, asyncio.Event()
            self._checkpointing = self._loop.create_task(self._keep_log_short())

    def _commit(self) -> None:
        """OSError where the disk does not take it; then it is tried again later."""
        try:
            if not self._is_open():
                if not self._uncommitted:
                    return
                self._begin()
            store_number(self._db, self._last)
            crash_point("committing")
            self._db.execute("COMMIT")
            crash_point("committed")
        except apsw.Error as error:
            self._full = OSError(f"the state could not be written: {error}")
            if not self._is_open():
                self._reload()
            raise self._full from error
        self._full = None
        self._uncommitted.clear()

    def _grown(self, connection: apsw.Connection, database: str, pages: int) -> int:
        self._pages = pages
        return apsw.SQLITE_OK

    async def _keep_log_short(self) -> None:
        """Move a long log into the database, in another thread; what is asked meanwhile waits."""
        assert self._busy is not None
        try:
            await self._loop.run_in_executor(self._executor, checkpoint, self._db)
        finally:
            busy, self._busy = self._busy, None
            busy.set()


def replay(connection: apsw.Connection, records: Iterable[tuple[int, bytes]]) -> int:
    """Apply the changes above the number that is stored, and make them durable; how many. Blocks; OSError where that fails."""
    tables, stored = Tables(connection), stored_number(connection)
    missing = [(number, body) for number, body in records if number > stored]
    try:
        connection.pragma("synchronous", "FULL")
        with connection:
            for _, body in missing:
                _decoder.decode(body).apply(tables)
                crash_point("replaying")
            # Written even where nothing was missing: what is there may not be synced, and the journal is about to forget it.
            store_number(connection, missing[-1][0] if missing else stored)
    except Exception as error:  # whatever it is, it is about this file: the others of the host must not wait for it
        raise OSError(f"the journal cannot be applied to {connection.filename}: {error}") from error
    return len(missing)


def prepare(connection: apsw.Connection) -> None:
    """A disk that is full shows at the commit and nowhere else: until then changed pages stay in memory."""
    connection.pragma("synchronous", "NORMAL")
    connection.pragma("temp_store", "MEMORY")
    connection.pragma("cache_spill", False)


def stored_number(connection: apsw.Connection) -> int:
    """The journal's number of the last change that is committed here."""
    return cast(int, connection.execute("SELECT journal_number FROM instance").get)


def store_number(connection: apsw.Connection, number: int) -> None:
    """Say up to which number changes are in this transaction."""
    connection.execute("UPDATE instance SET journal_number = ?", (number,))


def checkpoint(connection: apsw.Connection) -> None:
    """Move the log into the database and begin it anew over its old blocks, whose fsync is cheaper. Blocks; never raises."""
    with contextlib.suppress(apsw.Error):  # the log stays as it is, longer than we like, and the next time will do
        connection.wal_checkpoint(mode=apsw.SQLITE_CHECKPOINT_RESTART)
