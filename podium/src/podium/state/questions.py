"""Questions of agents to people, and what was answered. A `request_id` never names two different questions."""

from typing import Any, cast

import apsw

from podium.protocol.errors import AlreadyAnswered, InvalidRequest, NotFound, QuestionClosed
from podium.protocol.events import Event
from podium.protocol.messages import PERMISSION
from podium.state import eventlog, inbox, launches
from podium.state.operation import Tables
from podium.state.port import Asked, KnownQuestion, NewEvent, Question, Taken
from podium.state.values import digest, from_json, from_us, to_json


def ask(tables: Tables, question: Question, now: int) -> Asked:
    """Record a question of a running attempt and tell it; or find the answer that an attempt before got in this place."""
    db = tables.db
    launches.acknowledge(db, question.launch_id, question.n)
    hashed = digest([question.kind, question.content])
    known: Any = db.execute(
        "SELECT request_id, answer FROM questions WHERE message_id = ? AND ordinal = ? AND content_hash = ?",
        (question.message_id, question.ordinal, hashed),
    ).fetchone()
    request_id, answer = known or (_insert(db, question, hashed, now), None)
    db.execute(
        "UPDATE questions SET attempt = ?, withdrawn = 0, asked_at = ? WHERE request_id = ?", (question.attempt, now, request_id)
    )
    if answer is not None:
        event = _resolved(question.message_id, question.attempt, request_id, content=from_json(answer), recorded=True)
    else:
        event = _requested(question, request_id)
    return Asked(_known(db, request_id), eventlog.append(tables, [event], now))


def withdraw(tables: Tables, question: Question, now: int) -> list[Event]:
    """The attempt does not wait for this answer any more."""
    db = tables.db
    launches.acknowledge(db, question.launch_id, question.n)
    row: Any = db.execute(
        "SELECT request_id FROM questions WHERE message_id = ? AND ordinal = ? AND attempt = ? AND answer IS NULL",
        (question.message_id, question.ordinal, question.attempt),
    ).fetchone()
    if row is None:
        return []
    db.execute("UPDATE questions SET withdrawn = 1, answered_at = ? WHERE request_id = ?", (now, *row))
    return eventlog.append(tables, [_resolved(question.message_id, question.attempt, row[0], withdrawn=True)], now)


def answer(tables: Tables, receipt_id: str, request_id: str, content: Any, origin: dict[str, Any], now: int) -> Taken:
    """Record what a person said; the attempt that waits for it is told by an event too."""
    db, body = tables.db, {"request_id": request_id, "content": content}
    if inbox.find(db, receipt_id, "answer", body):
        return Taken("duplicate", receipt_id)
    row: Any = db.execute(
        "SELECT message_id, questions.attempt, questions.kind, answer IS NOT NULL, withdrawn, position, state,"
        " EXISTS (SELECT 1 FROM attempts WHERE attempts.position = inbox.position AND attempts.attempt = questions.attempt"
        " AND outcome IS NULL) FROM questions JOIN inbox USING (message_id) WHERE request_id = ?",
        (request_id,),
    ).fetchone()
    if row is None:
        raise NotFound(f"there is no question {request_id[:160]!r}")
    message_id, attempt, kind, answered, withdrawn, position, state, running = row
    if answered:
        raise AlreadyAnswered(f"question {request_id} was answered before: the first answer counts")
    if state != "queued" or withdrawn:
        raise QuestionClosed(f"question {request_id} is closed: {'it was taken back' if withdrawn else 'its turn has ended'}")
    if kind == PERMISSION:
        _check_permission(request_id, content)
    inbox.bind(db, receipt_id, "answer", body, origin, position, now)
    db.execute("UPDATE questions SET answer = ?, answered_at = ? WHERE request_id = ?", (to_json(content), now, request_id))
    if not running:
        return Taken("queued", message_id)
    return Taken(
        "injected", message_id, eventlog.append(tables, [_resolved(message_id, attempt, request_id, content=content)], now)
    )


def of_message(db: apsw.Connection, position: int) -> list[KnownQuestion]:
    """All questions of a message so far, in the order of their numbers."""
    rows: Any = db.execute(
        "SELECT request_id FROM questions JOIN inbox USING (message_id) WHERE position = ? ORDER BY k", (position,)
    ).fetchall()
    return [_known(db, request_id) for (request_id,) in rows]


def _insert(db: apsw.Connection, question: Question, hashed: bytes, now: int) -> str:
    k = cast(int, db.execute("SELECT coalesce(max(k), 0) + 1 FROM questions WHERE message_id = ?", (question.message_id,)).get)
    request_id = f"{question.message_id}.{k}"
    db.execute(
        "INSERT INTO questions (request_id, message_id, k, ordinal, attempt, kind, content, content_hash, asked_at)"
        " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
        (
            request_id, question.message_id, k, question.ordinal, question.attempt, question.kind, to_json(question.content),
            hashed, now,
        ),
    )  # fmt: skip
    return request_id


def _known(db: apsw.Connection, request_id: str) -> KnownQuestion:
    row: Any = db.execute(
        "SELECT ordinal, attempt, withdrawn, answer, asked_at, answered_at FROM questions WHERE request_id = ?", (request_id,)
    ).fetchone()
    ordinal, attempt, withdrawn, text, asked_at, closed_at = row
    is_open = text is None and not withdrawn
    return KnownQuestion(
        request_id, ordinal, attempt, withdrawn=bool(withdrawn), answered=text is not None,
        answer=None if text is None else from_json(text), asked_at=from_us(asked_at),
        closed_at=None if is_open else from_us(closed_at),
    )  # fmt: skip


def _requested(question: Question, request_id: str) -> NewEvent:
    content = question.content | {"request_id": request_id}
    if question.kind == PERMISSION:
        return NewEvent("tool_permission_requested", content, question.message_id, question.attempt)
    return NewEvent("tool_question_requested", content, question.message_id, question.attempt)


def _resolved(message_id: str, attempt: int, request_id: str, **how: Any) -> NewEvent:
    return NewEvent("tool_approval_resolved", {"request_id": request_id, **how}, message_id, attempt)


def _check_permission(request_id: str, content: Any) -> None:
    approved = content.get("approved") if isinstance(content, dict) else content
    if not isinstance(approved, bool):
        raise InvalidRequest(
            f"question {request_id} asks for a permission: answer true, false, or an object whose `approved` is one of them"
        )
