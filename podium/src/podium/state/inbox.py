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
    body_hash = digest([kind, body])
    known = db.execute("SELECT position, body_hash, state FROM inbox WHERE message_id = ?", (message_id,)).fetchone()
    if known:
        return _duplicate(message_id, body_hash, known)
    waiting = queued(db)
    if waiting >= limit:
        raise TooMany(
            f"the inbox holds {waiting} entries and its limit is {limit}: wait until the agent has worked some off",
            retry_after_s=1, limit=limit, current=waiting,
        )  # fmt: skip
    db.execute(
        "INSERT INTO inbox (message_id, kind, body, body_hash, origin, accepted_at) VALUES (?, ?, ?, ?, ?, ?)",
        (message_id, kind, to_json(body), body_hash, to_json(origin), now),
    )
    return Accepted(db.last_insert_rowid(), duplicate=False, done=False)


def _duplicate(message_id: str, body_hash: bytes, known: tuple[Any, ...]) -> Accepted:
    position, known_hash, state = known
    if known_hash != body_hash:
        raise IdempotencyMismatch(f"{message_id!r} was used before with another body: use a new id for a new message")
    return Accepted(position, duplicate=True, done=state in ("done", "dropped"))


def queued(db: apsw.Connection) -> int:
    """How many entries wait."""
    return cast(int, db.execute("SELECT count(*) FROM inbox WHERE state = 'queued'").get)


def next_entry(db: apsw.Connection) -> Entry | None:
    """The oldest entry that waits."""
    row = db.execute(f"{_ENTRIES} WHERE state = 'queued' ORDER BY position LIMIT 1").fetchone()
    return _entry(row) if row else None


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


def finish(db: apsw.Connection, position: int, turn: int | None) -> None:
    """Mark an entry done, by `turn` if a turn consumed it."""
    db.execute("UPDATE inbox SET state = 'done', turn = ? WHERE position = ?", (turn, position))
