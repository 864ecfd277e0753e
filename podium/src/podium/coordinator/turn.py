"""One attempt at one message: begun in the state, handed over, and closed by a commit or a failure."""

from podium.coordinator.host import Host
from podium.coordinator.questions import waited_s
from podium.coordinator.session import Session
from podium.coordinator.steering import Steering
from podium.coordinator.stream import Stream
from podium.coordinator.work import Done, Failed, Result, Work
from podium.crashpoint import crash_point
from podium.protocol.api import MessageStatus, Reply
from podium.protocol.events import Event
from podium.protocol.messages import Message, MessageData, Origin
from podium.state.port import COUNTED, Attempt, Committed, Entry, Said, StateStore
from podium.workspace.port import Workspace


class Turn:
    """Runs attempts in one session. `turn_timeout_s` None lets a turn take as long as it likes."""

    def __init__(
        self,
        host: Host,
        state: StateStore,
        stream: Stream,
        workspace: Workspace,
        steering: Steering,
        session: Session,
        turn_timeout_s: float | None,
        max_attempts: int,
    ) -> None:
        self._host = host
        self._state = state
        self._stream = stream
        self._workspace = workspace
        self._steering = steering
        self._session = session
        self._turn_timeout_s = turn_timeout_s
        self._max_attempts = max_attempts

    async def run(self, entry: Entry, attempt: Attempt, said: Said) -> Result:
        """Hand the attempt over with what was said to it before, and close it.

        Where it failed the process is over: a retry is always a new one.
        """
        now = self._host.clock()
        had_s = (now - attempt.started_at).total_seconds() - waited_s(said.questions, attempt.attempt, now)  # taken over: not 0
        work = self._session.hand_over(Work.of_attempt(attempt), _frame(entry, attempt), self._turn_timeout_s, had_s)
        try:
            self._steering.attach(self._session, work, said)
            await self._steering.catch_up()
            result = await self._session.ended(work)
        finally:
            self._steering.detach()
        if isinstance(result, Done):
            return result
        crash_point("failing")
        await self._session.kill(result.message)
        await self._host.blocking(self._workspace.restore, None)
        self._stream.publish(
            await close_attempt(self._state, attempt, result, self._max_attempts, self._host.limits.interrupted_attempts)
        )
        return result


async def close_attempt(
    state: StateStore, attempt: Attempt, failed: Failed, max_attempts: int, max_interrupted: int
) -> list[Event]:
    """Give a failed attempt its outcome, and the message up if this was the last it gets; the events to be published."""
    counts = await state.attempt_counts(attempt.position)
    counted = counts.counted + (failed.outcome in COUNTED)
    interrupted = counts.interrupted + (failed.outcome == "interrupted")
    will_retry = counted < max_attempts and interrupted < max_interrupted
    return await state.fail_attempt(attempt, failed.outcome, failed.error(), will_retry=will_retry)


def completed(entry: Entry, attempt: Attempt, committed: Committed) -> MessageStatus:
    """What the history says of a message whose turn has just committed, without asking it."""
    reply = Reply(
        message_id=entry.message_id, text=committed.reply, stop_reason=committed.stop_reason, usage=committed.usage,
        checkpoint=committed.turn,
    )  # fmt: skip
    return MessageStatus(
        message_id=entry.message_id, status="complete", role=entry.body["role"], text=entry.body["text"],
        accepted_at=entry.accepted_at, attempts=attempt.attempt, reply=reply,
    )  # fmt: skip


def _frame(entry: Entry, attempt: Attempt) -> Message:
    return Message(
        id=f"{entry.message_id}#{attempt.attempt}",
        message_id=entry.message_id,
        data=MessageData(
            text=entry.body["text"],
            role=entry.body["role"],
            attachments=entry.body.get("attachments", []),
            messages=entry.body.get("messages", []),
        ),
        origin=Origin(**entry.origin),
        attempt=attempt.attempt,
    )
