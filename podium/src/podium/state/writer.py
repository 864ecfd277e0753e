"""Group commit: one transaction at a time on one connection, holding everything that was asked for meanwhile.

An operation that asks for durability makes its whole transaction synced (`synchronous=FULL`: WAL and one fsync); a transaction
of others is only written. An operation that raises is undone alone, by its savepoint; a commit that fails undoes all of them.
"""

import asyncio
from collections.abc import Callable
from concurrent.futures import Executor
from typing import Any, NamedTuple, TypeVar

import apsw

T = TypeVar("T")
Operation = Callable[[apsw.Connection], Any]


class _Job(NamedTuple):
    operation: Operation
    durable: bool
    done: asyncio.Future[Any]


class Writer:
    """Runs operations on `connection` in `executor`, grouped. To be used from one event loop."""

    def __init__(self, connection: apsw.Connection, executor: Executor) -> None:
        self._connection = connection
        self._executor = executor
        self._jobs: list[_Job] = []
        self._running: asyncio.Task[None] | None = None

    async def run(self, operation: Callable[[apsw.Connection], T], *, durable: bool = False) -> T:
        """Return what `operation` returned, once its transaction has committed; cancelling the caller undoes nothing."""
        loop = asyncio.get_running_loop()
        done: asyncio.Future[T] = loop.create_future()
        self._jobs.append(_Job(operation, durable, done))
        if self._running is None:
            self._running = loop.create_task(self._drain())
        return await done

    async def idle(self) -> None:
        """Return once nothing is waiting or running."""
        while self._running is not None:
            await asyncio.wait([self._running])

    async def _drain(self) -> None:
        loop = asyncio.get_running_loop()
        try:
            while self._jobs:
                jobs, self._jobs = self._jobs, []
                results = await loop.run_in_executor(self._executor, _transaction, self._connection, jobs)
                for job, result in zip(jobs, results, strict=True):
                    _settle(job.done, result)
        finally:
            self._running = None


def _settle(done: asyncio.Future[Any], result: Any) -> None:
    if done.cancelled():
        return
    if isinstance(result, BaseException):
        done.set_exception(result)
    else:
        done.set_result(result)


def _transaction(connection: apsw.Connection, jobs: list[_Job]) -> list[Any]:
    """Results and exceptions of the jobs, in order. Never raises."""
    try:
        level = "FULL" if any(job.durable for job in jobs) else "NORMAL"
        connection.pragma("synchronous", level)
        connection.execute("BEGIN IMMEDIATE")
        results = [_undoable(connection, job.operation) for job in jobs]
        connection.execute("COMMIT")
    except apsw.Error as error:
        if not connection.get_autocommit():
            connection.execute("ROLLBACK")
        return [OSError(f"the state could not be written: {error}")] * len(jobs)
    return results


def _undoable(connection: apsw.Connection, operation: Operation) -> Any:
    try:
        with connection:  # a savepoint: apsw's context manager nests
            return operation(connection)
    except (apsw.FullError, apsw.IOError, apsw.CorruptError, apsw.CantOpenError):
        raise  # the disk, not the operation: nothing of this transaction may count
    except Exception as error:  # noqa: BLE001 - it is handed to whoever asked
        return error
