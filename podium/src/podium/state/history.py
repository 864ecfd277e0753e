"""Messages with their attempts and replies, as clients see them."""

from typing import Any

import apsw

from podium.protocol.api import MessageError, MessageStatus, Reply
from podium.state.values import from_json, from_us

_SELECT = """
SELECT position, inbox.message_id, body, accepted_at,
       (SELECT count(*) FROM attempts WHERE attempts.position = inbox.position),
       EXISTS (SELECT 1 FROM attempts WHERE attempts.position = inbox.position AND outcome IS NULL),
       turns.turn, turns.status, turns.stop_reason, turns.reply, turns.usage, turns.error
FROM inbox LEFT JOIN turns USING (position) WHERE inbox.kind = 'message'
"""


def message(db: apsw.Connection, message_id: str) -> MessageStatus | None:
    """One message, or None where it was never accepted."""
    row = db.execute(f"{_SELECT} AND inbox.message_id = ?", (message_id,)).fetchone()
    return _status(row) if row else None


def messages(db: apsw.Connection, after: int, limit: int) -> tuple[list[MessageStatus], int | None]:
    """Messages above inbox position `after`, oldest first, and the position the next page begins after."""
    rows: list[Any] = db.execute(f"{_SELECT} AND position > ? ORDER BY position LIMIT ?", (after, limit + 1)).fetchall()
    page = rows[:limit]
    return [_status(row) for row in page], page[-1][0] if len(rows) > limit else None


def first_seq(db: apsw.Connection, message_id: str) -> int | None:
    """The `stream_start` of a message's first attempt; its end where it has had none."""
    row = db.execute(
        "SELECT coalesce((SELECT min(first_seq) FROM attempts JOIN inbox USING (position) WHERE message_id = ?1),"
        " (SELECT first_seq FROM turns WHERE message_id = ?1))",
        (message_id,),
    ).fetchone()
    return row[0] if row else None


def _status(row: tuple[Any, ...]) -> MessageStatus:
    _, message_id, body, accepted_at, attempts, is_open, turn, status, stop_reason, reply, usage, error = row
    data = from_json(body)
    done = MessageStatus(
        message_id=message_id, status="running" if is_open else "queued", role=data["role"], text=data["text"],
        accepted_at=from_us(accepted_at), attempts=attempts,
    )  # fmt: skip
    if turn is None:
        return done
    done.status = status
    if status == "complete":
        done.reply = Reply(message_id=message_id, text=reply, stop_reason=stop_reason, usage=from_json(usage), checkpoint=turn)
    else:
        failure = from_json(error)
        done.error = MessageError(code=failure["code"], message=failure["message"])
    return done
