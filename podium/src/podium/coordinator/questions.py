"""What an agent asks people: put before them as an event, held until somebody answers. The turn's clock stands still meanwhile.

A question has a number of its attempt, which the agent gives it, and a public `request_id` that never names another question: an
attempt that asks something else in the same place gets a new one, so that nobody's yes is taken for an answer to that.
"""

from collections.abc import Sequence
from datetime import UTC, datetime

import msgspec

from podium.coordinator.link import Link
from podium.coordinator.stream import Stream
from podium.coordinator.work import Work
from podium.protocol.messages import ASK, PERMISSION, WITHDRAW, Answer, ToolRequest, ToolResponse
from podium.state.port import KnownQuestion, Question, StateStore

MAX_QUESTIONS = 256
MAX_OPEN_QUESTIONS = 64
MAX_QUESTION_BYTES = 64 * 1024


class Questions:
    """Those of one session."""

    def __init__(self, state: StateStore, link: Link, stream: Stream) -> None:
        self._state = state
        self._link = link
        self._stream = stream

    def refuses(self, work: Work | None, frame: ToolRequest) -> str | None:
        """Why a request cannot be put to anybody, which the agent is told; None where it can."""
        reason = _fault(work, frame)
        if reason:
            self._link.send(ToolResponse(id=f"#{frame.n}", request_id=frame.request_id, content=reason))
        return reason

    async def put(self, work: Work, frame: ToolRequest) -> None:
        """Put a request that is not refused; OSError where the disk fails."""
        assert work.attempt
        question = Question(
            launch_id=work.attempt.launch_id, n=frame.n, message_id=work.message_id, attempt=work.number,
            ordinal=_ordinal(work, frame), kind=frame.kind, content={} if frame.kind == WITHDRAW else frame.content,
        )  # fmt: skip
        if frame.kind == WITHDRAW:
            self._stream.publish(await self._state.withdraw(question))
            work.answered(question.ordinal)
            return
        asked = await self._state.ask(question)
        self._stream.publish(asked.events)
        self.settle(work, [asked.question])

    def settle(self, work: Work, questions: Sequence[KnownQuestion]) -> None:
        """Give the agent the answers to what this attempt has asked, each once; wait for the others."""
        for known in questions:
            if known.attempt != work.number or known.ordinal in work.settled:
                continue
            if known.answered:
                work.answered(known.ordinal)
                wire_id = f"{work.message_id}.{known.ordinal}"
                frame_id = f"{work.message_id}#{work.number}?{known.ordinal}"
                self._link.send(Answer(id=frame_id, request_id=wire_id, content=known.answer))
            elif known.withdrawn:
                work.answered(known.ordinal)
            else:
                work.waits(known.ordinal, known.request_id)


def waited_s(questions: Sequence[KnownQuestion], attempt: int, now: datetime) -> float:
    """How long an attempt has waited for people so far, in seconds: the time in which at least one of its questions was open."""
    spans = sorted((known.asked_at, known.closed_at or now) for known in questions if known.attempt == attempt)
    total_s, end = 0.0, datetime.min.replace(tzinfo=UTC)
    for begin, closed in spans:
        total_s += max(0.0, (closed - max(begin, end)).total_seconds())
        end = max(end, closed)
    return total_s


def _fault(work: Work | None, frame: ToolRequest) -> str | None:
    if work is None or work.attempt is None or frame.message_id != work.wire_id:
        return "questions belong to the turn of a message"
    if frame.kind not in (ASK, PERMISSION, WITHDRAW):
        return f"requests have no kind {frame.kind[:40]!r}"
    ordinal = _ordinal(work, frame)
    if not 0 < ordinal <= MAX_QUESTIONS:
        return f"the {MAX_QUESTIONS} questions that one attempt may ask are asked, or the request id is not {{message_id}}.{{k}}"
    if frame.kind == WITHDRAW:
        return None
    if ordinal in work.waiting or ordinal in work.settled:
        return f"question {ordinal} was asked before"
    if len(work.waiting) >= MAX_OPEN_QUESTIONS:
        return f"{MAX_OPEN_QUESTIONS} questions wait for an answer, as many as may"
    size_bytes = len(msgspec.json.encode(frame.content))
    if not isinstance(frame.content, dict) or size_bytes > MAX_QUESTION_BYTES:
        return f"a question is an object of at most {MAX_QUESTION_BYTES} bytes; this one has {size_bytes}"
    return None


def _ordinal(work: Work, frame: ToolRequest) -> int:
    """Which question of its attempt this is; 0 for a request id of another form."""
    message_id, _, number = frame.request_id.rpartition(".")
    return int(number) if message_id == work.wire_id and number.isascii() and number.isdigit() and len(number) < 9 else 0
