"""The adapter of the state port: one SQLite file per instance that follows the host's journal."""

import asyncio
from collections.abc import Callable, Sequence
from concurrent.futures import Executor
from datetime import datetime
from pathlib import Path
from typing import Any

import apsw

from podium.protocol.api import MessageStatus, StateDocument
from podium.protocol.events import Event
from podium.protocol.ids import Cursor
from podium.state import attempts, eventlog, history, inbox, instance, launches, operations, questions, turns
from podium.state.journal.journal import Journal
from podium.state.journal.segments import SEGMENT_BYTES
from podium.state.machine import Machine
from podium.state.migrations import open_database
from podium.state.peek import is_asleep
from podium.state.port import (
    Accepted,
    Asked,
    Attempt,
    AttemptCounts,
    Begun,
    Change,
    Committed,
    Ended,
    EndedTurn,
    Entry,
    Group,
    Hook,
    Launch,
    Outcome,
    Overview,
    Question,
    Revision,
    Said,
    Taken,
    TurnEnd,
)
from podium.state.replay import finish_replay, prepare_journal
from podium.state.values import to_us

Clock = Callable[[], datetime]


class SqliteStates:
    """Opens the states of one host. Make it with `open`; `close` it when all states are closed."""

    def __init__(self, journal: Journal, executor: Executor, clock: Clock) -> None:
        self.journal = journal
        self._executor = executor
        self._clock = clock

    @classmethod
    async def open(
        cls, folder: Path, path_of: Callable[[str], Path], executor: Executor, clock: Clock, segment_bytes: int = SEGMENT_BYTES
    ) -> "SqliteStates":
        """Bring every file up to what the journal in `folder` holds for it, then begin the journal anew.

        `path_of` gives the file of an instance. OSError, NewerFormat.
        """
        loop = asyncio.get_running_loop()
        last, segments = await loop.run_in_executor(executor, prepare_journal, folder, path_of, segment_bytes)
        return cls(Journal(folder, executor, last, segments), executor, clock)

    async def create(self, path: Path, *, instance_id: str, tenant_id: str, epoch: int, boot_id: str) -> "SqliteState":
        """Make the file where it is missing, with its first epoch, and open it; OSError, NewerFormat."""

        def opened() -> apsw.Connection:
            return _open(path, instance_id, tenant_id, epoch, boot_id, to_us(self._clock()))

        connection = await asyncio.get_running_loop().run_in_executor(self._executor, opened)
        return SqliteState(connection, self.journal, self._executor, self._clock)

    async def asleep(self, paths: Sequence[Path]) -> set[Path]:
        """Which of these files, none of them open, say that their instance sleeps and has nothing to do."""

        def look() -> set[Path]:
            return {path for path in paths if is_asleep(path)}

        return await asyncio.get_running_loop().run_in_executor(self._executor, look)

    async def close(self) -> None:
        """Close the journal."""
        await self.journal.close()


def _open(path: Path, instance_id: str, tenant_id: str, epoch: int, boot_id: str, now: int) -> apsw.Connection:
    connection = open_database(path)
    try:
        with connection:
            connection.execute(
                "INSERT INTO instance VALUES (1, ?, ?, ?, ?, 'initializing', NULL, ?, ?, 0) ON CONFLICT DO NOTHING",
                (instance_id, tenant_id, epoch, now, now, boot_id),
            )
        finish_replay(connection, path)
        with connection:
            eventlog.begin_epoch(connection, epoch, "created", now)
    except BaseException:
        connection.close()
        raise
    return connection


class SqliteState:
    """`state.db` of one instance, open."""

    def __init__(self, connection: apsw.Connection, journal: Journal, executor: Executor, clock: Clock) -> None:
        found: Any = connection.execute("SELECT instance_id, life, boot_id FROM instance").fetchone()
        instance_id, life, boot_id = found
        self._boot_id: str | None = boot_id
        self._machine = Machine(connection, f"{instance_id}.{life}".encode(), journal, executor)
        self._clock = clock

    @property
    def boot_id(self) -> str | None:
        """The boot under which writes may be unsynced when this was opened; None after a clean stop."""
        return self._boot_id

    async def write_under(self, boot_id: str) -> None:
        """Durably say under which boot this file is written from now on."""
        await self._machine.run(operations.WriteUnder(boot_id))

    async def overview(self) -> Overview:
        return await self._machine.read(instance.overview)

    async def set_status(self, status: str, reason: str | None) -> None:
        await self._machine.run(operations.SetStatus(status, reason, self._now()))

    async def revise(self, revision: Revision) -> None:
        await self._machine.run(operations.Revise(revision, self._now()))

    async def accept(self, message_id: str, kind: str, body: dict[str, Any], origin: dict[str, Any], limit: int) -> Accepted:
        self._machine.refuse_while_full()
        accepted: Accepted = await self._machine.run(operations.Accept(message_id, kind, body, origin, limit, self._now()))
        return accepted

    async def begin_next(self, launch_id: str, workspace_version: int | None) -> Begun | None:
        begun: Begun | None = await self._machine.run(operations.BeginNext(launch_id, workspace_version, self._now()))
        return begun

    async def steer(self, receipt_id: str, content: Any, origin: dict[str, Any], limit: int) -> Taken:
        self._machine.refuse_while_full()
        taken: Taken = await self._machine.run(operations.Steer(receipt_id, content, origin, limit, self._now()))
        return taken

    async def stop_turn(self, receipt_id: str, message_id: str | None, origin: dict[str, Any]) -> Taken:
        taken: Taken = await self._machine.run(operations.StopTurn(receipt_id, message_id, origin, self._now()))
        return taken

    async def ask(self, question: Question) -> Asked:
        asked: Asked = await self._machine.run(operations.Ask(question, self._now()))
        return asked

    async def withdraw(self, question: Question) -> list[Event]:
        events: list[Event] = await self._machine.run(operations.Withdraw(question, self._now()))
        return events

    async def answer(self, receipt_id: str, request_id: str, content: Any, origin: dict[str, Any]) -> Taken:
        self._machine.refuse_while_full()
        taken: Taken = await self._machine.run(operations.Answer(receipt_id, request_id, content, origin, self._now()))
        return taken

    async def said(self, position: int) -> Said:
        return await self._machine.read(lambda db: Said(inbox.said(db, position), questions.of_message(db, position)))

    async def attempt_counts(self, position: int) -> AttemptCounts:
        return await self._machine.read(lambda db: attempts.counts(db, position))

    async def open_attempts(self) -> list[Attempt]:
        return await self._machine.read(attempts.still_open)

    async def entry(self, position: int) -> Entry:
        return await self._machine.read(lambda db: inbox.entry(db, position))

    async def append(self, group: Group) -> list[Event]:
        events: list[Event] = await self._machine.run(operations.Append(group, self._now()))
        return events

    async def prune_events(self, keep: int) -> None:
        if eventlog.excess(self._machine.tables, keep) >= eventlog.PRUNED_AT_ONCE:
            await self._machine.run(operations.PruneEvents(keep))

    async def end_turn(self, end: TurnEnd) -> Committed:
        committed: Committed = await self._machine.run(operations.EndTurn(end, self._now()))
        return committed

    async def fail_attempt(self, attempt: Attempt, outcome: Outcome, error: dict[str, Any], *, will_retry: bool) -> list[Event]:
        events: list[Event] = await self._machine.run(operations.FailAttempt(attempt, outcome, error, will_retry, self._now()))
        return events

    async def fail_upgrade(self, upgrade_id: str, deployment_id: str, reason: str, started_at: datetime) -> list[Event]:
        failed = operations.FailUpgrade(upgrade_id, deployment_id, reason, started_at, self._now())
        events: list[Event] = await self._machine.run(failed)
        return events

    async def next_change(self) -> Entry | None:
        entry = await self._machine.read(inbox.next_entry)
        return entry if entry and entry.kind == "upload" else None

    async def changes(self) -> list[Entry]:
        return await self._machine.read(inbox.changes)

    async def end_change(self, change: Change) -> list[Event]:
        events: list[Event] = await self._machine.run(operations.EndChange(change, self._now()))
        return events

    async def turn(self, message_id: str) -> EndedTurn | None:
        return await self._machine.read(lambda db: turns.by_message(db, message_id))

    async def drop_pending(self, message_id: str | None) -> None:
        await self._machine.run(operations.DropPending(message_id))

    async def park(self, reason: str) -> bool:
        return bool(await self._machine.run(operations.Park(reason, self._now())))

    async def begin_launch(self, launch_id: str, uid: int | None) -> None:
        await self._machine.run(operations.BeginLaunch(launch_id, uid, self._now()))

    async def launched(self, launch_id: str, pid: int, start_time: int) -> None:
        await self._machine.run(operations.Launched(launch_id, pid, start_time))

    async def started(self, launch_id: str, n: int, startup_ms: dict[str, float]) -> None:
        await self._machine.run(operations.Started(launch_id, n, startup_ms))

    async def begin_hook(self, launch_id: str, hook: Hook) -> None:
        await self._machine.run(operations.BeginHook(launch_id, hook))

    async def killing(self, launch_id: str, reason: str) -> None:
        await self._machine.run(operations.Killing(launch_id, reason))

    async def end_launch(self, launch_id: str, ended: Ended) -> None:
        await self._machine.run(operations.EndLaunch(launch_id, ended))

    async def open_launches(self) -> list[Launch]:
        return await self._machine.read(launches.still_open)

    async def left_for(self) -> str | None:
        return await self._machine.read(launches.left_for)

    async def events_after(self, seq: int, limit: int, message_id: str | None = None) -> list[Event]:
        return await self._machine.read(lambda db: eventlog.read(db, seq, limit, message_id))

    async def epochs(self) -> list[Cursor]:
        return await self._machine.read(eventlog.epochs)

    async def begin_epoch(self, epoch: int, reason: str) -> None:
        await self._machine.run(operations.BeginEpoch(epoch, reason, self._now()))

    async def message(self, message_id: str) -> MessageStatus | None:
        return await self._machine.read(lambda db: history.message(db, message_id))

    async def messages(self, after: int, limit: int) -> tuple[list[MessageStatus], int | None]:
        return await self._machine.read(lambda db: history.messages(db, after, limit))

    async def first_seq(self, message_id: str) -> int | None:
        return await self._machine.read(lambda db: history.first_seq(db, message_id))

    async def document(self) -> StateDocument:
        document = self._machine.tables.document
        return await self._machine.read(lambda db: StateDocument(state=document.value, checkpoint=instance.turn(db)))

    async def close(self, *, clean: bool) -> None:
        await self._machine.close(clean=clean)

    def _now(self) -> int:
        return to_us(self._clock())
