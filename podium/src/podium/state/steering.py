"""What people say to a turn: entries of the inbox that are bound to a message and are done when its turn is."""

from typing import Any, NamedTuple

import apsw

from podium.protocol.errors import NotFound, NoTurn, TooMany
from podium.state import inbox, turns
from podium.state.operation import Tables
from podium.state.port import Taken

_SELECT = """
SELECT position, message_id, state, (SELECT attempt FROM attempts WHERE attempts.position = inbox.position AND outcome IS NULL)
FROM inbox WHERE kind = 'message'
"""


class _Target(NamedTuple):
    position: int
    message_id: str
    state: str
    attempt: int | None  # that runs now


def steer(tables: Tables, receipt_id: str, content: Any, origin: dict[str, Any], limit: int, now: int) -> Taken:
    """Guidance for the message that is worked on, or is next."""
    db, body = tables.db, {"content": content}
    if inbox.find(db, receipt_id, "steer", body):
        return Taken("duplicate", receipt_id)
    target = _current(db)
    if target is None:
        raise NoTurn("the agent works on nothing and nothing waits: send this as a message")
    if inbox.is_stopping(db, target.position):
        raise NoTurn(f"the turn of message {target.message_id} is being stopped: send this as a message")
    given = inbox.bound(db, target.position, "steer")
    if given >= limit:
        raise TooMany(
            f"message {target.message_id} has had {given} pieces of guidance and its limit is {limit}: wait until it ends",
            limit=limit, current=given,
        )  # fmt: skip
    inbox.bind(db, receipt_id, "steer", body, origin, target.position, now)
    return Taken("queued" if target.attempt is None else "injected", target.message_id)


def stop(tables: Tables, receipt_id: str, message_id: str | None, origin: dict[str, Any], now: int) -> Taken:
    """End the turn in flight, or of one message; one that is not running ends with this."""
    db, body = tables.db, {"message_id": message_id}
    if inbox.find(db, receipt_id, "stop", body):
        return Taken("duplicate", receipt_id)
    target = _current(db) if message_id is None else _named(db, message_id)
    if target is None:
        raise NoTurn("the agent works on nothing and nothing waits: there is nothing to stop")
    if inbox.is_stopping(db, target.position):
        return Taken("duplicate", target.message_id)
    inbox.bind(db, receipt_id, "stop", body, origin, target.position, now)
    if target.attempt is not None:
        return Taken("injected", target.message_id)
    return Taken("injected", target.message_id, turns.drop(tables, target.position, target.message_id, now), ended=True)


def _current(db: apsw.Connection) -> _Target | None:
    row: Any = db.execute(f"{_SELECT} AND state = 'queued' ORDER BY position LIMIT 1").fetchone()
    return row and _Target(*row)


def _named(db: apsw.Connection, message_id: str) -> _Target:
    row: Any = db.execute(f"{_SELECT} AND message_id = ?", (message_id,)).fetchone()
    if row is None:
        raise NotFound(f"there is no message {message_id!r}")
    if row[2] != "queued":
        raise NoTurn(f"message {message_id!r} has ended: there is nothing to stop")
    return _Target(*row)
