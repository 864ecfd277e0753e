"""Group commit: one transaction holding everything that was asked for in one turn of the event loop, without an fsync.

For files that need not survive a power cut, such as logs: what must goes through the journal (`machine.py`). SQLite in WAL mode
with `synchronous=NORMAL` commits by writing to its log: microseconds, done on the loop's own thread. An operation that raises is
undone alone, by its savepoint; a commit that fails undoes all of its transaction. Source: https://sqlite.org/wal.html.
"""

import asyncio
from collections.abc import Callable
from concurrent.futures import Executor
from typing import Any, NamedTuple, TypeVar

import apsw

from podium.state.machine import CHECKPOINT_PAGES, checkpoint

T = TypeVar("T")
Operation = Callable[[apsw.Connection], Any]


class _Job(NamedTuple):
    operation: Operation
    done: asyncio.Future[Any]


class Writer:
    """Runs operations on `connection`, grouped; `executor` waits for the disk. To be used from one event loop."""

    def __init__(self, connection: apsw.Connection, executor: Executor) -> None:
        self._connection = connection
        self._executor = executor
        self._jobs: list[_Job] = []
        self._scheduled = False
        self._log_pages = 0
        self._checkpointing: asyncio.Task[None] | None = None
        connection.pragma("synchronous", "NORMAL")
        connection.set_wal_hook(self._grown)  # instead of SQLite's own checkpoints, which would run on the loop

    async def run(self, operation: Callable[[apsw.Connection], T]) -> T:
        """What `operation` returned, once its transaction counts; OSError where the disk fails. Cancelling undoes nothing."""
        loop = asyncio.get_running_loop()
        done: asyncio.Future[T] = loop.create_future()
        self._jobs.append(_Job(operation, done))
        self._schedule(loop)
        return await done

    async def idle(self) -> None:
        """Return once nothing is waiting or running."""
        while self._scheduled or self._checkpointing is not None:
            await asyncio.sleep(0)
            if self._checkpointing is not None:
                await asyncio.wait([self._checkpointing])

    def _grown(self, connection: apsw.Connection, database: str, pages: int) -> int:
        self._log_pages = pages
        return apsw.SQLITE_OK

    def _schedule(self, loop: asyncio.AbstractEventLoop) -> None:
        if not self._scheduled and self._checkpointing is None:
            self._scheduled = True
            loop.call_soon(self._commit)

    def _commit(self) -> None:
        self._scheduled = False
        jobs, self._jobs = self._jobs, []
        for job, result in zip(jobs, _transaction(self._connection, jobs), strict=True):
            _settle(job.done, result)
        if self._log_pages >= CHECKPOINT_PAGES:
            self._checkpointing = asyncio.get_running_loop().create_task(self._keep_log_short())

    async def _keep_log_short(self) -> None:
        """Move a long log into the database, in another thread; what is asked meanwhile waits."""
        loop = asyncio.get_running_loop()
        self._log_pages = 0
        try:
            await loop.run_in_executor(self._executor, checkpoint, self._connection)
        finally:
            self._checkpointing = None
            if self._jobs:
                self._schedule(loop)


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
