"""One attempt at one message: begun in the state, handed over, closed by a commit or a failure, and told to those who wait."""

import time

from podium.coordinator.belongings import Belongings
from podium.coordinator.questions import waited_s
from podium.coordinator.session import Session
from podium.coordinator.steering import Steering
from podium.coordinator.waiters import Waiters
from podium.coordinator.work import Done, Failed, Result, Work
from podium.crashpoint import crash_point
from podium.deployments.manifest import Lifecycle
from podium.protocol.api import MessageStatus, Reply
from podium.protocol.events import Event
from podium.protocol.messages import Message, MessageData, Origin
from podium.state.port import COUNTED, Attempt, Begun, Committed, Entry, Said, StateStore


class Turn:
    """Runs attempts in one session, as the manifest's `lifecycle` says."""

    def __init__(
        self, belongings: Belongings, steering: Steering, waiters: Waiters, session: Session, lifecycle: Lifecycle
    ) -> None:
        self._host = belongings.host
        self._state = belongings.state
        self._stream = belongings.stream
        self._workspace = belongings.workspace
        self._steering = steering
        self._waiters = waiters
        self._session = session
        self._lifecycle = lifecycle

    async def run(self, begun: Begun, attempt: Attempt) -> Result:
        """Hand the attempt over with what was said to it before, close it, count it, and tell those who wait.

        Where it failed the process is over: a retry is always a new one.
        """
        self._stream.publish(begun.events)
        began = time.monotonic()
        result = await self._worked(begun.entry, attempt, begun.said)
        if isinstance(result, Failed):
            await self._close(attempt, result)
        self._count(result, time.monotonic() - began)
        await self._state.prune_events(self._host.limits.events)
        await self._tell(begun.entry, attempt, result)
        return result

    async def _worked(self, entry: Entry, attempt: Attempt, said: Said) -> Result:
        now = self._host.clock()
        had_s = (now - attempt.started_at).total_seconds() - waited_s(said.questions, attempt.attempt, now)  # taken over: not 0
        frame = _frame(entry, attempt)
        work = self._session.hand_over(Work.of_attempt(attempt), frame, self._lifecycle.turn_timeout_s, had_s)
        try:
            self._steering.attach(self._session, work, said)
            await self._steering.catch_up()
            return await self._session.ended(work)
        finally:
            self._steering.detach()

    async def _close(self, attempt: Attempt, failed: Failed) -> None:
        crash_point("failing")
        await self._session.kill(failed.message)
        await self._host.blocking(self._workspace.restore, None)
        limit = self._host.limits.interrupted_attempts
        self._stream.publish(await close_attempt(self._state, attempt, failed, self._lifecycle.max_attempts, limit))

    def _count(self, result: Result, took_s: float) -> None:
        if isinstance(result, Failed):
            outcome = result.outcome
        else:
            outcome = "stopped" if result.committed and result.committed.stop_reason == "stopped" else "complete"
        self._host.metrics.attempts.labels(outcome).inc()
        self._host.metrics.attempt_seconds.observe(took_s)

    async def _tell(self, entry: Entry, attempt: Attempt, result: Result) -> None:
        """Tell those who wait how the message ended, if it did."""
        if entry.message_id not in self._waiters:
            return
        status: MessageStatus | None
        if isinstance(result, Done) and result.committed:
            status = completed(entry, attempt, result.committed)
        else:
            status = await self._state.message(entry.message_id)
        if status and status.status in ("complete", "failed"):
            self._waiters.settle(entry.message_id, status)


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
