"""The adapter of the state port: one SQLite file per instance, written through one group-committing writer."""

from collections.abc import Callable
from concurrent.futures import Executor
from datetime import datetime
from pathlib import Path
from typing import Any, cast

import apsw

from podium.protocol.api import MessageStatus, StateDocument
from podium.protocol.events import Event
from podium.protocol.ids import Cursor
from podium.state import attempts, eventlog, history, inbox, launches, turns
from podium.state.document import Document
from podium.state.migrations import open_database
from podium.state.port import (
    Accepted,
    Attempt,
    AttemptCounts,
    Begun,
    Committed,
    Ended,
    Group,
    Launch,
    Outcome,
    Overview,
    Revision,
    TurnEnd,
)
from podium.state.values import digest, from_json, from_us, to_json, to_us
from podium.state.writer import T, Writer

Clock = Callable[[], datetime]


class SqliteState:
    """`state.db` of one instance. Make it with `create` or `open`."""

    def __init__(self, connection: apsw.Connection, executor: Executor, clock: Clock) -> None:
        self._connection = connection
        self._writer = Writer(connection, executor)
        self._clock = clock
        self._document = Document(connection)

    @classmethod
    def create(
        cls, path: Path, executor: Executor, clock: Clock, *, instance_id: str, tenant_id: str, epoch: int, boot_id: str
    ) -> "SqliteState":
        """Make the file where it is missing, and its first epoch. Blocks; OSError, NewerFormat."""
        connection = open_database(path)
        now = to_us(clock())
        with connection:
            connection.execute(
                "INSERT INTO instance VALUES (1, ?, ?, ?, ?, 'initializing', NULL, ?, ?) ON CONFLICT DO NOTHING",
                (instance_id, tenant_id, epoch, now, now, boot_id),
            )
            eventlog.begin_epoch(connection, epoch, "created", now)
        return cls(connection, executor, clock)

    def boot_id(self) -> str | None:
        """The boot under which writes may be unsynced; None after a clean stop. Blocks."""
        return cast("str | None", self._connection.execute("SELECT boot_id FROM instance").get)

    def set_boot_id(self, boot_id: str | None) -> None:
        """Durably say under which boot this file is written from now on. Blocks."""
        self._connection.pragma("synchronous", "FULL")
        self._connection.execute("UPDATE instance SET boot_id = ?", (boot_id,))
        self._connection.pragma("synchronous", "NORMAL")

    async def overview(self) -> Overview:
        return await self._writer.run(_overview)

    async def set_status(self, status: str, reason: str | None) -> None:
        now = self._now()
        await self._writer.run(lambda db: _set_status(db, status, reason, now))

    async def revise(self, revision: Revision) -> None:
        now = self._now()
        await self._writer.run(lambda db: _revise(db, revision, now))

    async def accept(self, message_id: str, kind: str, body: dict[str, Any], origin: dict[str, Any], limit: int) -> Accepted:
        now = self._now()
        return await self._writer.run(lambda db: inbox.accept(db, message_id, kind, body, origin, limit, now), durable=True)

    async def begin_next(self, launch_id: str, workspace_version: int | None) -> Begun | None:
        now = self._now()
        return await self._writer.run(lambda db: attempts.begin_next(db, launch_id, workspace_version, now))

    async def attempt_counts(self, position: int) -> AttemptCounts:
        return await self._writer.run(lambda db: attempts.counts(db, position))

    async def open_attempts(self) -> list[Attempt]:
        return await self._writer.run(attempts.still_open)

    async def append(self, group: Group) -> list[Event]:
        now = self._now()
        return await self._writer.run(lambda db: turns.append_group(db, group, now))

    async def end_turn(self, end: TurnEnd) -> Committed:
        now = self._now()
        return await self._folding(lambda db: turns.end(db, self._document, end, now))

    async def fail_attempt(self, attempt: Attempt, outcome: Outcome, error: dict[str, Any], *, will_retry: bool) -> list[Event]:
        now = self._now()
        return await self._folding(
            lambda db: turns.fail_attempt(db, self._document, attempt, outcome, error, will_retry=will_retry, now=now)
        )

    async def drop_pending(self, message_id: str | None) -> None:
        await self._writer.run(lambda db: _drop_pending(db, message_id))

    async def park(self, reason: str) -> bool:
        now = self._now()
        return await self._writer.run(lambda db: _park(db, reason, now), durable=True)

    async def begin_launch(self, launch_id: str, uid: int | None) -> None:
        now = self._now()
        await self._writer.run(lambda db: launches.begin(db, launch_id, uid, now))

    async def launched(self, launch_id: str, pid: int, start_time: int) -> None:
        await self._writer.run(lambda db: launches.running(db, launch_id, pid, start_time))

    async def started(self, launch_id: str, n: int, startup_ms: dict[str, float]) -> None:
        await self._writer.run(lambda db: launches.ready(db, launch_id, n, startup_ms))

    async def end_launch(self, launch_id: str, ended: Ended) -> None:
        await self._writer.run(lambda db: launches.end(db, launch_id, ended))

    async def open_launches(self) -> list[Launch]:
        return await self._writer.run(launches.still_open)

    async def events_after(self, seq: int, limit: int, message_id: str | None = None) -> list[Event]:
        return await self._writer.run(lambda db: eventlog.read(db, seq, limit, message_id))

    async def epochs(self) -> list[Cursor]:
        return await self._writer.run(eventlog.epochs)

    async def begin_epoch(self, epoch: int, reason: str) -> None:
        now = self._now()
        await self._writer.run(lambda db: eventlog.begin_epoch(db, epoch, reason, now), durable=True)

    async def message(self, message_id: str) -> MessageStatus | None:
        return await self._writer.run(lambda db: history.message(db, message_id))

    async def messages(self, after: int, limit: int) -> tuple[list[MessageStatus], int | None]:
        return await self._writer.run(lambda db: history.messages(db, after, limit))

    async def first_seq(self, message_id: str) -> int | None:
        return await self._writer.run(lambda db: history.first_seq(db, message_id))

    async def document(self) -> StateDocument:
        return await self._writer.run(lambda db: StateDocument(state=self._document.value, checkpoint=_turn(db)))

    async def close(self, *, clean: bool) -> None:
        await self._writer.idle()
        if clean:
            self.set_boot_id(None)
        self._writer.close()
        self._connection.close()

    def _now(self) -> int:
        return to_us(self._clock())

    async def _folding(self, operation: Callable[[apsw.Connection], T]) -> T:
        """A durable operation that may change the document in memory, which is read anew if it does not commit."""
        try:
            return await self._writer.run(operation, durable=True)
        except BaseException:
            await self._writer.run(self._document.reload)
            raise


def _overview(db: apsw.Connection) -> Overview:
    row: Any = db.execute("SELECT instance_id, tenant_id, life, created_at, status, reason FROM instance").fetchone()
    instance_id, tenant_id, life, created_at, status, reason = row
    return Overview(
        instance_id=instance_id, tenant_id=tenant_id, life=life, created_at=from_us(created_at), status=status, reason=reason,
        head=eventlog.head(db), first_seq=eventlog.first_seq(db), turn=_turn(db), queued=inbox.queued(db),
        revision=_revision(db), last_exit=launches.newest_end(db), startup_ms=launches.newest_startup(db),
    )  # fmt: skip


def _turn(db: apsw.Connection) -> int:
    return cast(int, db.execute("SELECT coalesce(max(turn), 0) FROM turns").get)


def _revision(db: apsw.Connection) -> Revision | None:
    row: Any = db.execute("SELECT deployment_id, bundle_hash, config FROM revisions ORDER BY revision DESC LIMIT 1").fetchone()
    return row and Revision(deployment_id=row[0], bundle_hash=row[1], config=from_json(row[2]))


def _revise(db: apsw.Connection, revision: Revision, now: int) -> None:
    if _revision(db) != revision:
        db.execute(
            "INSERT INTO revisions (deployment_id, bundle_hash, config, config_hash, begun_at) VALUES (?, ?, ?, ?, ?)",
            (revision.deployment_id, revision.bundle_hash, to_json(revision.config), digest(revision.config).hex(), now),
        )


def _set_status(db: apsw.Connection, status: str, reason: str | None, now: int) -> None:
    db.execute("UPDATE instance SET status = ?, reason = ?, status_at = ?", (status, reason, now))


def _park(db: apsw.Connection, reason: str, now: int) -> bool:
    if inbox.queued(db):
        return False
    _set_status(db, "hibernated", reason, now)
    return True


def _drop_pending(db: apsw.Connection, message_id: str | None) -> None:
    db.execute("DELETE FROM pending_deltas WHERE message_id = coalesce(?, message_id)", (message_id,))
