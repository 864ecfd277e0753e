"""Attempts: each run of a message, begun before hand-over and closed once."""

from typing import Any, cast

import apsw

from podium.protocol.events import Event
from podium.state import eventlog, inbox
from podium.state.operation import Tables
from podium.state.port import COUNTED, Attempt, AttemptCounts, Begun, Entry, NewEvent, Outcome, Said
from podium.state.values import from_us, to_json


def begin_next(tables: Tables, launch_id: str, workspace_version: int | None, now: int) -> Begun | None:
    """Take the oldest queued entry, if there is one."""
    entry = inbox.next_entry(tables.db)
    if entry is None:
        return None
    if entry.kind == "upload":  # it is done when its file lies in the workspace
        return Begun(entry, None, [], Said([], []))
    if entry.kind != "message":
        inbox.finish(tables.db, entry.position, None)
        return Begun(entry, None, [], Said([], []))
    attempt, event = begin(tables, entry, launch_id, workspace_version, now)
    return Begun(entry, attempt, [event], Said(inbox.said(tables.db, entry.position), []))


def begin(tables: Tables, entry: Entry, launch_id: str, workspace_version: int | None, now: int) -> tuple[Attempt, Event]:
    """Number a run, log its `stream_start` and record it without an outcome."""
    db = tables.db
    number = cast(int, db.execute("SELECT count(*) FROM attempts WHERE position = ?", (entry.position,)).get) + 1
    [event] = eventlog.append(tables, [NewEvent("stream_start", {}, entry.message_id, number)], now)
    db.execute(
        "INSERT INTO attempts (position, attempt, launch_id, workspace_version, first_seq, started_at) VALUES (?, ?, ?, ?, ?, ?)",
        (entry.position, number, launch_id, workspace_version, event.seq, now),
    )
    attempt = Attempt(
        position=entry.position, message_id=entry.message_id, attempt=number, launch_id=launch_id, first_seq=event.seq,
        started_at=from_us(now),
    )  # fmt: skip
    return attempt, event


def counts(db: apsw.Connection, position: int) -> AttemptCounts:
    """How many attempts at an entry ended in a way that counts, and how many were interrupted."""
    outcomes = [row[0] for row in db.execute("SELECT outcome FROM attempts WHERE position = ?", (position,))]
    return AttemptCounts(sum(outcome in COUNTED for outcome in outcomes), outcomes.count("interrupted"))


def still_open(db: apsw.Connection) -> list[Attempt]:
    """Attempts without an outcome, oldest first."""
    rows = db.execute(
        "SELECT position, message_id, attempt, launch_id, first_seq, started_at FROM attempts JOIN inbox USING (position)"
        " WHERE outcome IS NULL ORDER BY position, attempt"
    )
    return [_attempt(row) for row in rows]


def close(db: apsw.Connection, position: int, attempt: int, outcome: Outcome, error: dict[str, Any] | None, now: int) -> None:
    """Give an attempt its outcome, once."""
    db.execute(
        "UPDATE attempts SET outcome = ?, error = ?, ended_at = ? WHERE position = ? AND attempt = ? AND outcome IS NULL",
        (outcome, to_json(error) if error else None, now, position, attempt),
    )
    if db.changes() != 1:
        raise ValueError(f"attempt {attempt} at entry {position} is not open")


def _attempt(row: tuple[Any, ...]) -> Attempt:
    position, message_id, attempt, launch_id, first_seq, started_at = row
    return Attempt(
        position=position, message_id=message_id, attempt=attempt, launch_id=launch_id, first_seq=first_seq,
        started_at=from_us(started_at),
    )  # fmt: skip
