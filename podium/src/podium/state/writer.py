"""Group commit: one transaction holding everything that was asked for in one turn of the event loop, then one fsync.

SQLite in WAL mode with `synchronous=NORMAL` commits by writing to its log, without an fsync: microseconds, done on the loop's own
thread. What has to survive a power cut waits for an fdatasync of that log, made in another thread; whatever commits while it
runs shares the next one. (SQLite's own `synchronous=FULL` does the same fsync inside the commit, but would need a thread for
each statement: on one core that costs more than the statements.)

An operation returns once everything committed before it that has to be durable is so: nothing is seen before it is safe. An
operation that raises is undone alone, by its savepoint; a commit that fails undoes all of its transaction. Source of the claim on
NORMAL and the log: https://sqlite.org/wal.html, "Performance Considerations".
"""

import asyncio
import os
from collections.abc import Callable
from concurrent.futures import Executor
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import apsw

T = TypeVar("T")
Operation = Callable[[apsw.Connection], Any]
CHECKPOINT_PAGES = 2048


class _Job(NamedTuple):
    operation: Operation
    durable: bool
    done: asyncio.Future[Any]


class Writer:
    """Runs operations on `connection`, grouped; `executor` waits for the disk. To be used from one event loop."""

    def __init__(self, connection: apsw.Connection, executor: Executor) -> None:
        self._connection = connection
        self._executor = executor
        self._jobs: list[_Job] = []
        self._unsynced: list[tuple[asyncio.Future[Any], Any]] = []
        self._must_sync = False
        self._scheduled = False
        self._checkpointing = False
        self._log_pages = 0
        self._broken: OSError | None = None
        self._syncing: asyncio.Task[None] | None = None
        connection.pragma("synchronous", "NORMAL")
        connection.set_wal_hook(self._grown)  # instead of SQLite's own checkpoints, which would run on the loop
        self._log = os.open(Path(f"{connection.filename}-wal"), os.O_RDONLY | os.O_CLOEXEC)

    async def run(self, operation: Callable[[apsw.Connection], T], *, durable: bool = False) -> T:
        """What `operation` returned, once its transaction counts; OSError where the disk fails. Cancelling undoes nothing."""
        loop = asyncio.get_running_loop()
        done: asyncio.Future[T] = loop.create_future()
        self._jobs.append(_Job(operation, durable, done))
        self._schedule(loop)
        return await done

    async def idle(self) -> None:
        """Return once nothing is waiting or running."""
        while self._scheduled or self._syncing is not None:
            await asyncio.sleep(0)
            if self._syncing is not None:
                await asyncio.wait([self._syncing])

    def close(self) -> None:
        """Close the log; the connection stays the caller's. Call `idle` before."""
        os.close(self._log)

    def _grown(self, connection: apsw.Connection, database: str, pages: int) -> int:
        self._log_pages = pages
        return apsw.SQLITE_OK

    def _schedule(self, loop: asyncio.AbstractEventLoop) -> None:
        if not self._scheduled and not self._checkpointing:
            self._scheduled = True
            loop.call_soon(self._commit)

    def _commit(self) -> None:
        self._scheduled = False
        jobs, self._jobs = self._jobs, []
        results = [self._broken] * len(jobs) if self._broken else _transaction(self._connection, jobs)
        for job, result in zip(jobs, results, strict=True):
            self._must_sync = self._must_sync or (job.durable and not isinstance(result, BaseException))
            if self._must_sync or self._syncing is not None:
                self._unsynced.append((job.done, result))
            else:
                _settle(job.done, result)
        if self._unsynced and self._syncing is None:
            self._syncing = asyncio.get_running_loop().create_task(self._sync())

    async def _sync(self) -> None:
        loop = asyncio.get_running_loop()
        try:
            while self._unsynced:
                waiting, self._unsynced = self._unsynced, []
                if self._must_sync:
                    self._must_sync = False
                    try:
                        await loop.run_in_executor(self._executor, os.fdatasync, self._log)
                    except OSError as error:
                        # What was written may be gone from the page cache: nothing of this file can be promised any more.
                        self._broken = error
                        waiting = [(done, error) for done, _ in waiting]
                for done, result in waiting:
                    _settle(done, result)
            await self._keep_log_short(loop)
        finally:
            self._syncing = None
            if self._jobs:
                self._schedule(loop)

    async def _keep_log_short(self, loop: asyncio.AbstractEventLoop) -> None:
        """Move a long log into the database, in another thread; what is asked meanwhile waits."""
        if self._log_pages < CHECKPOINT_PAGES or self._broken:
            return
        self._log_pages = 0
        self._checkpointing = True
        try:
            await loop.run_in_executor(self._executor, checkpoint, self._connection)
        finally:
            self._checkpointing = False


def checkpoint(connection: apsw.Connection) -> None:
    """Move the log into the database and begin it anew over its old blocks, whose fsync is cheaper. Blocks; never raises."""
    try:
        connection.wal_checkpoint(mode=apsw.SQLITE_CHECKPOINT_RESTART)
    except apsw.Error:
        return  # the log stays as it is, longer than we like, and the next time will do


def _settle(done: asyncio.Future[Any], result: Any) -> None:
    if done.done():
        return
    if isinstance(result, BaseException):
        done.set_exception(result)
    else:
        done.set_result(result)


def _transaction(connection: apsw.Connection, jobs: list[_Job]) -> list[Any]:
    """Results and exceptions of the jobs, in order. Never raises."""
    try:
        connection.execute("BEGIN IMMEDIATE")
        results = [_undoable(connection, job.operation, alone=len(jobs) == 1) for job in jobs]
        if len(jobs) == 1 and isinstance(results[0], BaseException):
            connection.execute("ROLLBACK")
        else:
            connection.execute("COMMIT")
    except apsw.Error as error:
        if not connection.get_autocommit():  # on a full disk SQLite has undone it all by itself
            connection.execute("ROLLBACK")
        return [OSError(f"the state could not be written: {error}")] * len(jobs)
    return results


def _undoable(connection: apsw.Connection, operation: Operation, *, alone: bool) -> Any:
    """What the operation returned or raised; undone by a savepoint, or by the caller where it is alone in its transaction."""
    if not alone:
        connection.execute("SAVEPOINT operation")
    try:
        result = operation(connection)
    except (apsw.FullError, apsw.IOError, apsw.CorruptError, apsw.CantOpenError):
        raise  # the disk, not the operation: nothing of this transaction may count
    except Exception as error:  # noqa: BLE001 - it is handed to whoever asked
        result = error
        if not alone:
            connection.execute("ROLLBACK TO operation")
    if not alone:
        connection.execute("RELEASE operation")
    return result
