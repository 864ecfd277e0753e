"""What an agent's frames do: they become events and deltas, grouped, committed, released, acknowledged; in that order.

All frames that have come are committed as one group, so that grouping grows with the load and costs no waiting. The frame that
ends a turn takes the frames before it along into the turn's own transaction.
"""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

import msgspec

from podium import log
from podium.coordinator.elements import to_event
from podium.coordinator.logs import AgentLog
from podium.coordinator.questions import Questions
from podium.coordinator.stream import Stream
from podium.coordinator.work import Done, Failed, Work
from podium.crashpoint import crash_point
from podium.protocol.delta import DeltaError
from podium.protocol.messages import (
    AckId,
    AgentFailure,
    Complete,
    FromAgent,
    Hello,
    Log,
    Pong,
    StateDelta,
    StreamUpdate,
    ToolRequest,
)
from podium.state.port import Committed, Group, NewEvent, Outcome, StateStore, TurnEnd
from podium.workspace.port import Workspace

T = TypeVar("T")
STORE_RETRY_S = 0.5
OUT_OF_MEMORY = "out_of_memory"
MAX_CODE_CHARS = 64
MAX_MESSAGE_CHARS = 4000
MAX_USAGE_BYTES = 16 * 1024
_logger = log.get("intake")


class Intake:
    """That of one launch. `work` is what the agent is at, `stored_n` the last frame whose effect is stored."""

    def __init__(
        self,
        launch_id: str,
        state: StateStore,
        stream: Stream,
        workspace: Workspace,
        questions: Questions,
        agent_log: AgentLog,
        work: Work | None,
        stored_n: int,
    ) -> None:
        self.work = work
        self.stored_n = stored_n
        self.out_of_memory = False
        self._launch_id = launch_id
        self._state = state
        self._stream = stream
        self._workspace = workspace
        self._questions = questions
        self._log = agent_log

    async def take(self, frames: list[FromAgent]) -> None:
        """Everything these frames do, durably; `stored_n` says up to which."""
        group = self._group()
        for frame in frames:
            group.n = _number(frame)
            work = self.work
            if work and not work.ended.done() and work.ends_with(frame):
                await self._end(work, frame, group)
                group = self._group()
            elif isinstance(frame, AgentFailure):
                if work and not work.ended.done():
                    group.n -= 1  # its effect is the attempt's outcome, which is not stored yet
                await self._append(group)
                group = self._group()
                self._take_failure(frame)
            elif isinstance(frame, ToolRequest) and not self._refused(work, frame):
                await self._put(work, frame, group)
                group = self._group()
            else:
                self._collect(group, work, frame)
        await self._append(group)

    def _take_failure(self, frame: AgentFailure) -> None:
        self.out_of_memory = frame.code == OUT_OF_MEMORY
        outcome: Outcome = "oom" if self.out_of_memory else "exception"
        self.fail(Failed(outcome, frame.code[:MAX_CODE_CHARS], frame.message[:MAX_MESSAGE_CHARS], frame.traceback))
        self._log.add("error", "agent", frame.traceback or frame.message)

    def _refused(self, work: Work | None, frame: ToolRequest) -> bool:
        reason = self._questions.refuses(work, frame)
        if reason:
            self._log.add("warning", "platform", f"a question was refused: {reason}")
        return reason is not None

    async def _put(self, work: Work | None, frame: ToolRequest, group: Group) -> None:
        """What was said before the question is logged before it; its own number is stored with it."""
        assert work
        if group.events or group.deltas:
            group.n = frame.n - 1
            await self._append(group)
        await self._log.keep()
        await self.stored(lambda: self._questions.put(work, frame))
        self.stored_n = frame.n

    def _group(self) -> Group:
        return Group(launch_id=self._launch_id, n=0)

    def _collect(self, group: Group, work: Work | None, frame: FromAgent) -> None:
        match frame:
            case Log():
                self._log.frame(frame.n, frame.level, frame.message, frame.module)
            case StreamUpdate() if work and frame.message_id == work.wire_id:
                self._collect_event(group, work, frame)
            case StateDelta() if work and frame.message_id == work.wire_id:
                work.has_output = True
                group.deltas.append((work.message_id, work.number, frame.deltas))
            case StreamUpdate() | StateDelta():
                self._log.add("warning", "platform", "output outside of a turn was dropped")
            case ToolRequest():
                pass  # refused
            case _:
                self._log.add("warning", "platform", f"{type(frame).__name__} is not expected now and was ignored")

    def _collect_event(self, group: Group, work: Work, frame: StreamUpdate) -> None:
        try:
            event_type, content = to_event(frame.element)
        except ValueError as error:
            self._log.add("warning", "platform", f"an element was dropped: {error}")
            return
        work.has_output = True
        group.events.append(NewEvent(event_type, content, work.message_id, work.number))

    async def _append(self, group: Group) -> None:
        if not group.n:
            return
        await self._log.keep()
        events = await self.stored(lambda: self._state.append(group))
        crash_point("grouped")
        if events and self.work and self.work.first_seq is None:
            self.work.first_seq = events[0].seq
        self.stored_n = group.n
        self._stream.publish(events)

    async def _end(self, work: Work, frame: FromAgent, group: Group) -> None:
        """The hook has returned: commit its turn. A hook that changed and said nothing makes none."""
        group.returned = work.attempt is None
        if work.attempt is None and not work.has_output and work.revision is None:
            await self._append(group)
            work.settle(Done(frame, None))
            return
        try:
            committed = await self._commit(work, frame, group)
        except DeltaError as error:
            work.settle(Failed("exception", "invalid_delta", f"the agent's state changes cannot be applied: {error}"))
            return
        work.settle(Done(frame, committed))

    async def _commit(self, work: Work, frame: FromAgent, group: Group) -> Committed:
        await self._log.keep()
        version = await asyncio.to_thread(self._workspace.commit) if self._workspace.versioned else None
        stop_reason, usage = self._ending(frame)
        end = TurnEnd(
            kind=work.kind, message_id=work.message_id, position=work.attempt.position if work.attempt else None,
            attempt=work.number, first_seq=work.first_seq, stop_reason=stop_reason, usage=usage, workspace_version=version,
            started_at=work.started_at, group=group, outcome="stopped" if stop_reason == "stopped" else "complete",
            revision=work.revision,
        )  # fmt: skip
        crash_point("ending")
        committed = await self.stored(lambda: self._state.end_turn(end))
        crash_point("ended")
        self.stored_n = group.n
        self._stream.publish(committed.events)
        return committed

    def _ending(self, frame: FromAgent) -> tuple[str, dict[str, Any]]:
        """stop_reason and usage, within bounds; hooks that end without `complete` have the usual ones."""
        if not isinstance(frame, Complete):
            return "end_turn", {}
        usage = frame.usage
        if len(msgspec.json.encode(usage)) > MAX_USAGE_BYTES:
            self._log.add("warning", "platform", f"a usage of more than {MAX_USAGE_BYTES} bytes was dropped")
            usage = {}
        return frame.stop_reason[:MAX_CODE_CHARS], usage

    async def stored(self, operation: Callable[[], Awaitable[T]]) -> T:
        """Try until the disk takes it: nothing is sent meanwhile, so nothing is lost that was promised."""
        while True:
            try:
                return await operation()
            except OSError as error:
                _logger.error("the state cannot be written; trying again", launch_id=self._launch_id, error=str(error))
                await asyncio.sleep(STORE_RETRY_S)

    def fail(self, failed: Failed) -> None:
        """What the agent is at has failed; the first word counts."""
        if self.work:
            self.work.settle(failed)


def _number(frame: FromAgent) -> int:
    assert not isinstance(frame, Hello | AckId | Pong)  # the link keeps these to itself
    return frame.n
