"""The transaction that is the turn: events, state, inbox, outcome and checkpoint, all or nothing."""

import hashlib
from datetime import datetime
from typing import Any, cast

import apsw
import msgspec

from podium.protocol.events import Event
from podium.state import attempts, eventlog, inbox, instance, launches
from podium.state.operation import Tables
from podium.state.port import Attempt, Change, Committed, EndedTurn, Group, NewEvent, Outcome, TurnEnd
from podium.state.values import from_json, from_us, to_json, to_us


def append_group(tables: Tables, group: Group, now: int) -> list[Event]:
    """Log events and deltas of a running turn, and up to which frame they go."""
    events = eventlog.append(tables, group.events, now)
    tables.db.executemany(
        "INSERT INTO pending_deltas (message_id, attempt, deltas) VALUES (?, ?, ?)",
        ((message_id, attempt, to_json(deltas)) for message_id, attempt, deltas in group.deltas),
    )
    launches.acknowledge(tables.db, group.launch_id, group.n)
    if group.returned:
        launches.end_hook(tables.db, group.launch_id)
    return events


def end(tables: Tables, turn: TurnEnd, now: int) -> Committed:
    """Commit a turn whose hook has returned."""
    db = tables.db
    if turn.revision is not None:
        instance.revise(db, turn.revision, launches.started_at(db, turn.group.launch_id))
    deltas = _take_deltas(db, turn.message_id, turn.attempt)
    deltas += [delta for _, _, group in turn.group.deltas for delta in group]
    events = append_group(tables, msgspec.structs.replace(turn.group, deltas=[]), now)
    first_seq = turn.first_seq or (events[0].seq if events else tables.head.seq + 1)
    tables.document.fold(db, deltas)
    number = _next_turn(db)
    ending = {"stop_reason": turn.stop_reason, "usage": turn.usage, "checkpoint": number}
    events += eventlog.append(tables, [NewEvent("complete", ending, turn.message_id, turn.attempt)], now)
    reply = eventlog.reply_text(db, turn.message_id, turn.attempt, first_seq)
    _finish(tables, turn, number, "complete", reply, first_seq, now)
    if turn.position is not None:
        attempts.close(db, turn.position, turn.attempt, turn.outcome, None, now)
    return Committed(number, events, reply, turn.stop_reason, turn.usage)


def fail_attempt(
    tables: Tables,
    attempt: Attempt,
    outcome: Outcome,
    error: dict[str, Any],
    *,
    will_retry: bool,
    now: int,
) -> list[Event]:
    """Close an attempt without its effects; where it is the last one the message is given up, and that is a turn too."""
    if inbox.is_stopping(tables.db, attempt.position):
        outcome, will_retry = "abandoned", False
        error = {"code": "stopped", "message": f"it was stopped, and what it did is undone: {error.get('message', '')}"}
    _take_deltas(tables.db, attempt.message_id, attempt.attempt)
    failed = {"first_seq": attempt.first_seq, "will_retry": will_retry, "outcome": outcome, **error}
    logged = eventlog.append(tables, [NewEvent("attempt_failed", failed, attempt.message_id, attempt.attempt)], now)
    attempts.close(tables.db, attempt.position, attempt.attempt, outcome, error, now)
    if not will_retry:
        dead = {"code": error.get("code", "turn_failed"), "message": error.get("message", ""), "retryable": False}
        logged += eventlog.append(tables, [NewEvent("error", dead, attempt.message_id, attempt.attempt)], now)
        _give_up(tables, attempt, dead, now)
    return logged


def drop(tables: Tables, position: int, message_id: str, now: int) -> list[Event]:
    """End a message that is not running: a turn in which nothing happened."""
    number = _next_turn(tables.db)
    attempt = cast(int, tables.db.execute("SELECT count(*) FROM attempts WHERE position = ?", (position,)).get)
    ending = {"stop_reason": "stopped", "usage": {}, "checkpoint": number}
    [event] = eventlog.append(tables, [NewEvent("complete", ending, message_id, attempt or None)], now)
    turn = TurnEnd(
        kind="message", message_id=message_id, position=position, attempt=attempt, first_seq=event.seq, stop_reason="stopped",
        usage={}, workspace_version=None, started_at=from_us(now), group=Group(launch_id="", n=0),
    )  # fmt: skip
    _finish(tables, turn, number, "complete", "", event.seq, now, entry_state="dropped")
    return [event]


def fail_upgrade(tables: Tables, upgrade_id: str, deployment_id: str, reason: str, started_at: datetime, now: int) -> list[Event]:
    """Record that a change of the deployment has failed; once."""
    if by_message(tables.db, upgrade_id) is not None:
        return []
    error = {"code": "upgrade_failed", "message": reason, "retryable": False, "deployment_id": deployment_id}
    [event] = eventlog.append(tables, [NewEvent("error", error, upgrade_id)], now)
    _finish(
        tables,
        _change("upgrade", upgrade_id, None, event.seq, started_at, error=error),
        _next_turn(tables.db),
        "failed",
        "",
        event.seq,
        now,
    )
    return [event]


def end_change(tables: Tables, change: Change, now: int) -> list[Event]:
    """A file was put or removed, or could not be. One that changed nothing makes no turn."""
    if change.error is None and not change.changed:
        inbox.finish(tables.db, change.position, None)
        return []
    if change.error is None:
        told = [NewEvent("file_change", {"path": change.path, "change": change.change}, change.message_id)]
        ending = {"stop_reason": "end_turn", "usage": {}, "checkpoint": _next_turn(tables.db)}
        events = eventlog.append(tables, [*told, NewEvent("complete", ending, change.message_id)], now)
    else:
        events = eventlog.append(tables, [NewEvent("error", {**change.error, "retryable": False}, change.message_id)], now)
    turn = _change(
        "upload", change.message_id, change.position, events[0].seq, change.started_at, change.workspace_version, change.error
    )
    status, reply = ("failed", "") if change.error else ("complete", to_json({"change": change.change, "etag": change.etag}))
    _finish(tables, turn, _next_turn(tables.db), status, reply, events[0].seq, now)
    return events


def by_message(db: apsw.Connection, message_id: str) -> EndedTurn | None:
    """The turn of a message, hook, upgrade or change, once it has ended."""
    row: Any = db.execute("SELECT turn, kind, status, reply, error FROM turns WHERE message_id = ?", (message_id,)).fetchone()
    if row is None:
        return None
    number, kind, status, reply, error = row
    return EndedTurn(turn=number, kind=kind, status=status, reply=reply, error=from_json(error) if error else None)


def _change(
    kind: str, message_id: str, position: int | None, first_seq: int, started_at: datetime, version: int | None = None,
    error: dict[str, Any] | None = None,
) -> TurnEnd:  # fmt: skip
    return TurnEnd(
        kind=kind, message_id=message_id, position=position, attempt=1, first_seq=first_seq,
        stop_reason="error" if error else "end_turn", usage={}, workspace_version=version, started_at=started_at,
        group=Group(launch_id="", n=0), error=error,
    )  # fmt: skip


def drop_pending(db: apsw.Connection, message_id: str | None) -> None:
    """Drop the deltas of a hook that did not end; of everything where no message is named."""
    db.execute("DELETE FROM pending_deltas WHERE message_id = coalesce(?, message_id)", (message_id,))


def _give_up(tables: Tables, attempt: Attempt, error: dict[str, Any], now: int) -> None:
    end = TurnEnd(
        kind="message", message_id=attempt.message_id, position=attempt.position, attempt=attempt.attempt,
        first_seq=attempt.first_seq, stop_reason="error", usage={}, workspace_version=None, started_at=attempt.started_at,
        group=Group(launch_id=attempt.launch_id, n=0), error=error,
    )  # fmt: skip
    _finish(tables, end, _next_turn(tables.db), "failed", "", attempt.first_seq, now)


def _next_turn(db: apsw.Connection) -> int:
    return cast(int, db.execute("SELECT coalesce(max(turn), 0) + 1 FROM turns").get)


def _take_deltas(db: apsw.Connection, message_id: str, attempt: int) -> list[dict[str, Any]]:
    rows: list[Any] = db.execute(
        "SELECT deltas FROM pending_deltas WHERE message_id = ? AND attempt = ? ORDER BY id", (message_id, attempt)
    ).fetchall()
    db.execute("DELETE FROM pending_deltas WHERE message_id = ? AND attempt = ?", (message_id, attempt))
    return [delta for (deltas,) in rows for delta in from_json(deltas)]


def _finish(
    tables: Tables,
    turn: TurnEnd,
    number: int,
    status: str,
    reply: str,
    first_seq: int,
    now: int,
    *,
    entry_state: str = "done",
) -> None:
    last_seq = tables.head.seq
    tables.db.execute(
        "INSERT INTO turns VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        (
            number, turn.kind, turn.message_id, turn.position, turn.attempt, status, turn.stop_reason, reply, to_json(turn.usage),
            to_json(turn.error) if turn.error else None, first_seq, last_seq, to_us(turn.started_at), now,
        ),
    )  # fmt: skip
    if turn.position is not None:
        inbox.finish(tables.db, turn.position, number, entry_state)
    _checkpoint(tables, turn, number, last_seq, now)


def _checkpoint(tables: Tables, turn: TurnEnd, number: int, last_seq: int, now: int) -> None:
    """Append the joint commit; its hash covers the one before, so that a changed past shows."""
    db, document = tables.db, tables.document
    parent, parent_hash = db.execute("SELECT checkpoint, hash FROM checkpoints ORDER BY checkpoint DESC LIMIT 1").fetchone() or (
        None,
        "",
    )
    bundle_hash, config_hash = db.execute(
        "SELECT bundle_hash, config_hash FROM revisions ORDER BY revision DESC LIMIT 1"
    ).fetchone() or ("", "")
    done = db.execute("SELECT coalesce(max(position), 0) FROM inbox WHERE state = 'done' AND target IS NULL").get
    row = [
        number, 0, parent, tables.head.epoch, last_seq, done, document.version, document.hash(), turn.workspace_version,
        bundle_hash, config_hash, to_json(turn.usage), now,
    ]  # fmt: skip
    chained = hashlib.sha256(f"{parent_hash}\n{to_json(row)}".encode()).hexdigest()
    db.execute(f"INSERT INTO checkpoints VALUES (NULL, {', '.join('?' * 14)})", (*row, chained))  # noqa: S608 - placeholders
