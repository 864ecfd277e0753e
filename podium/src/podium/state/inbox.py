"""The inbox: accepted once, processed in order."""

from typing import Any, cast

import apsw

from podium.protocol.errors import IdempotencyMismatch, TooMany
from podium.state.port import Accepted, Entry
from podium.state.values import digest, from_json, from_us, to_json

_ENTRIES = "SELECT position, message_id, kind, body, origin, accepted_at FROM inbox"


def accept(
    db: apsw.Connection, message_id: str, kind: str, body: dict[str, Any], origin: dict[str, Any], limit: int, now: int
) -> Accepted:
    """Insert an entry, or find the one that has its id."""
    if known := find(db, message_id, kind, body):
        return known
    waiting = queued(db)
    if waiting >= limit:
        raise TooMany(
            f"the inbox holds {waiting} entries and its limit is {limit}: wait until the agent has worked some off",
            retry_after_s=1, limit=limit, current=waiting,
        )  # fmt: skip
    return Accepted(_insert(db, message_id, kind, body, origin, "queued", None, now), duplicate=False, done=False)


def find(db: apsw.Connection, message_id: str, kind: str, body: dict[str, Any]) -> Accepted | None:
    """The entry that has this id, if there is one; IdempotencyMismatch where that has another kind or body."""
    row: Any = db.execute("SELECT position, body_hash, state FROM inbox WHERE message_id = ?", (message_id,)).fetchone()
    if row is None:
        return None
    position, known_hash, state = row
    if known_hash != digest([kind, body]):
        raise IdempotencyMismatch(f"{message_id!r} was used before with another body: use a new id for a new message")
    return Accepted(position, duplicate=True, done=state in ("done", "dropped"))


def bind(
    db: apsw.Connection, receipt_id: str, kind: str, body: dict[str, Any], origin: dict[str, Any], target: int, now: int
) -> None:
    """Insert an entry that belongs to the turn of the message at `target`, and ends with it."""
    _insert(db, receipt_id, kind, body, origin, "turn", target, now)


def _insert(
    db: apsw.Connection,
    message_id: str,
    kind: str,
    body: dict[str, Any],
    origin: dict[str, Any],
    state: str,
    target: int | None,
    now: int,
) -> int:
    db.execute(
        "INSERT INTO inbox (message_id, kind, body, body_hash, origin, accepted_at, state, target)"
        " VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
        (message_id, kind, to_json(body), digest([kind, body]), to_json(origin), now, state, target),
    )
    return db.last_insert_rowid()


def said(db: apsw.Connection, target: int) -> list[Entry]:
    """What was said to the turn of a message that has not ended, in order."""
    rows = db.execute(f"{_ENTRIES} WHERE state = 'turn' AND target = ? ORDER BY position", (target,))
    return [_entry(row) for row in rows]


def bound(db: apsw.Connection, target: int, kind: str) -> int:
    """How many entries of a kind belong to the turn of a message that has not ended."""
    return cast(
        int, db.execute("SELECT count(*) FROM inbox WHERE state = 'turn' AND target = ? AND kind = ?", (target, kind)).get
    )


def is_stopping(db: apsw.Connection, target: int) -> bool:
    """Whether somebody wants the turn of this message to end."""
    return bound(db, target, "stop") > 0


def queued(db: apsw.Connection) -> int:
    """How many entries wait."""
    return cast(int, db.execute("SELECT count(*) FROM inbox WHERE state = 'queued'").get)


def next_entry(db: apsw.Connection) -> Entry | None:
    """The oldest entry that waits."""
    row = db.execute(f"{_ENTRIES} WHERE state = 'queued' ORDER BY position LIMIT 1").fetchone()
    return _entry(row) if row else None


def changes(db: apsw.Connection) -> list[Entry]:
    """All that wait and are files to be put or removed, oldest first."""
    return [_entry(row) for row in db.execute(f"{_ENTRIES} WHERE state = 'queued' AND kind = 'upload' ORDER BY position")]


def entry(db: apsw.Connection, position: int) -> Entry:
    """The entry at a position that was given out."""
    row = db.execute(f"{_ENTRIES} WHERE position = ?", (position,)).fetchone()
    assert row is not None
    return _entry(row)


def _entry(row: tuple[Any, ...]) -> Entry:
    position, message_id, kind, body, origin, accepted_at = cast("tuple[int, str, str, str, str, int]", row)
    return Entry(
        position=position, message_id=message_id, kind=kind, body=from_json(body), origin=from_json(origin),
        accepted_at=from_us(accepted_at),
    )  # fmt: skip


def finish(db: apsw.Connection, position: int, turn: int | None, state: str = "done") -> None:
    """Mark an entry done or dropped, by `turn` if a turn consumed it, and done what was said to that turn."""
    db.execute("UPDATE inbox SET state = ?, turn = ? WHERE position = ?", (state, turn, position))
    db.execute("UPDATE inbox SET state = 'done', turn = ? WHERE target = ? AND state = 'turn'", (turn, position))
