"""One launch of an agent: its frames become events and deltas, grouped, committed, released, acknowledged; in that order.

The pump takes all frames that have come and commits them as one group, so that grouping grows with the load and costs no waiting.
The frame that ends a turn takes the frames before it along into the turn's own transaction.
"""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

import msgspec

from podium import log
from podium.coordinator.configuration import AgentConfig
from podium.coordinator.elements import to_event
from podium.coordinator.ending import describe, process_ended
from podium.coordinator.link import Link
from podium.coordinator.logs import AgentLog
from podium.coordinator.questions import Questions
from podium.coordinator.stream import Stream
from podium.coordinator.work import Done, Failed, Result, Work
from podium.crashpoint import crash_point
from podium.launcher.port import Exit, Launcher
from podium.protocol.delta import DeltaError
from podium.protocol.framing import FrameError
from podium.protocol.messages import (
    AckId,
    AgentFailure,
    Complete,
    FromAgent,
    Hello,
    Log,
    Pong,
    Shutdown,
    StateDelta,
    StreamUpdate,
    ToAgent,
    ToolRequest,
)
from podium.state.port import Committed, Ended, Group, NewEvent, Outcome, StateStore, TurnEnd
from podium.workspace.port import Workspace

T = TypeVar("T")
DRAIN_TIMEOUT_S = 2.0
STORE_RETRY_S = 0.5
OUT_OF_MEMORY = "out_of_memory"
MAX_CODE_CHARS = 64
MAX_MESSAGE_CHARS = 4000
MAX_USAGE_BYTES = 16 * 1024
_logger = log.get("session")


class Session:
    """The coordinator's side of one agent process, from its launch until its end is recorded.

    `adopted` is what the process is at that an earlier coordinator has started.
    """

    def __init__(
        self,
        launch_id: str,
        link: Link,
        launcher: Launcher,
        state: StateStore,
        stream: Stream,
        workspace: Workspace,
        agent_log: AgentLog,
        config: AgentConfig,
        adopted: Work | None = None,
    ) -> None:
        self.launch_id = launch_id
        self.link = link
        self.config = config
        self.questions = Questions(state, link, stream)
        self._launcher = launcher
        self._state = state
        self._stream = stream
        self._workspace = workspace
        self._log = agent_log
        self._work = adopted
        self._stored_n = link.received_n
        self._leaving = False
        self._killing: asyncio.Task[Any] | None = None
        self._killed: str | None = None
        self._out_of_memory = False
        self.over: asyncio.Task[Exit] = asyncio.create_task(self._live())

    @property
    def work(self) -> Work | None:
        """What the agent is at."""
        return self._work

    async def perform(self, work: Work, frame: ToAgent, limit_s: float | None) -> Result:
        """Ask the agent to do something and return how it ended; past `limit_s` the process is killed."""
        work = self.hand_over(work, frame, limit_s)
        return await self.ended(work)

    def hand_over(self, work: Work, frame: ToAgent, limit_s: float | None, had_s: float = 0.0) -> Work:
        """Ask the agent to do something that may take `limit_s`, of which it `had_s`; `ended` says how that went.

        Returns what it is at: that which an earlier coordinator has begun, and which has perhaps ended by now, or `work`.
        """
        if self._work and self._work.message_id == work.message_id:
            work = self._work
        self._work = work
        self._leaving = isinstance(frame, Shutdown)
        self.link.send(frame)
        work.limit(limit_s, had_s)
        crash_point("handed-over")
        return work

    async def ended(self, work: Work) -> Result:
        """How it ended. Where it expires the process is killed; an end that is committed meanwhile counts."""
        ends: set[asyncio.Future[Any]] = {work.ended, work.expired, self.over}
        await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
        if not work.ended.done() and not self.over.done():
            failed = work.expired.result()
            await self.kill(failed.message)
            work.settle(failed)
        if not work.ended.done():
            work.settle(process_ended(self.over.result(), self._killed))
        self._work = None
        return work.ended.result()

    async def kill(self, reason: str) -> Exit:
        """End the process and all it started; return once that is recorded."""
        if not self.over.done():
            await self._record_killing(reason)
            crash_point("killing")
        while not self.over.done():
            try:
                await self._launcher.kill(self.launch_id)
            except ConnectionError:
                _logger.warning("the launcher does not answer", launch_id=self.launch_id)
            await asyncio.wait({self.over}, timeout=STORE_RETRY_S)
        return self.over.result()

    async def _record_killing(self, reason: str) -> None:
        """So that another coordinator can tell it from an end of the agent's own. A disk that is full does not keep it alive."""
        self._killed = self._killed or reason
        with contextlib.suppress(OSError, TimeoutError):
            async with asyncio.timeout(STORE_RETRY_S):
                await self._state.killing(self.launch_id, self._killed)

    def expect(self, timeout_s: float) -> None:
        """End the process, its work interrupted, where it does not say hello within `timeout_s`: its coordinator was another."""
        self._killing = asyncio.create_task(self._expect(timeout_s))

    async def _expect(self, timeout_s: float) -> None:
        connected = asyncio.create_task(self.link.connected.wait())
        ends: set[asyncio.Future[Any]] = {connected, self.over}
        await asyncio.wait(ends, timeout=timeout_s, return_when=asyncio.FIRST_COMPLETED)
        connected.cancel()
        if not self.link.connected.is_set() and not self.over.done():
            reason = f"it did not come back within {timeout_s:g} s after the coordinator was restarted"
            self._fail(Failed("interrupted", "interrupted", f"the agent was ended: {reason}"))
            await self.kill(reason)

    def interrupt(self, code: str, reason: str) -> None:
        """Give up what the agent is at: it is run again, and that does not count against it."""
        self._fail(Failed("interrupted", code, reason))

    async def _live(self) -> Exit:
        """Until the process has ended, what it sent is stored, and its end is recorded."""
        pump = asyncio.create_task(self._pump())
        pump.add_done_callback(self._pumped)
        exit = await self._exited()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(DRAIN_TIMEOUT_S):
                await self.link.silent()
        self.link.close()
        await asyncio.wait({pump})
        await self._log.drain()
        ended = Ended(
            at=self._log.now(), reason=describe(exit, self._killed), code=exit.code, signal=exit.signal,
            log=await self._log.last_lines(), oom=exit.oom or self._out_of_memory,
        )  # fmt: skip
        await self._stored(lambda: self._state.end_launch(self.launch_id, ended))
        return exit

    async def _exited(self) -> Exit:
        while True:
            try:
                exit = await self._launcher.wait(self.launch_id)
                await self._launcher.forget(self.launch_id)
            except ConnectionError:
                await asyncio.sleep(STORE_RETRY_S)
            else:
                return exit

    async def _pump(self) -> None:
        while True:
            try:
                frames = await self.link.receive()
            except FrameError as error:
                self._fail(Failed("exception", "protocol_error", f"the agent broke the protocol: {error}"))
                self._killing = asyncio.create_task(self.kill("the agent broke the protocol"))
                return
            if frames is None:
                return
            await self._take(frames)

    def _pumped(self, pump: "asyncio.Task[None]") -> None:
        """A bug of ours ends this launch and no more: the attempt is interrupted and runs again."""
        if error := pump.exception():
            _logger.error("the frames of an agent could not be processed", launch_id=self.launch_id, exc_info=error)
            self._fail(Failed("interrupted", "internal", f"an error inside the platform: {error}"))
            self._killing = asyncio.create_task(self.kill("an error inside the platform"))

    async def _take(self, frames: list[FromAgent]) -> None:
        group = self._group()
        for frame in frames:
            group.n = _number(frame)
            work = self._work
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
        self.link.ack(self._stored_n, soon=not self._leaving)
        crash_point("acknowledged")

    def _take_failure(self, frame: AgentFailure) -> None:
        self._out_of_memory = frame.code == OUT_OF_MEMORY
        outcome: Outcome = "oom" if self._out_of_memory else "exception"
        self._fail(Failed(outcome, frame.code[:MAX_CODE_CHARS], frame.message[:MAX_MESSAGE_CHARS], frame.traceback))
        self._log.add("error", "agent", frame.traceback or frame.message)

    def _refused(self, work: Work | None, frame: ToolRequest) -> bool:
        reason = self.questions.refuses(work, frame)
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
        await self._stored(lambda: self.questions.put(work, frame))
        self._stored_n = frame.n

    def _group(self) -> Group:
        return Group(launch_id=self.launch_id, n=0)

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
        events = await self._stored(lambda: self._state.append(group))
        crash_point("grouped")
        if events and self._work and self._work.first_seq is None:
            self._work.first_seq = events[0].seq
        self._stored_n = group.n
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
        committed = await self._stored(lambda: self._state.end_turn(end))
        crash_point("ended")
        self._stored_n = group.n
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

    async def _stored(self, operation: Callable[[], Awaitable[T]]) -> T:
        """Try until the disk takes it: nothing is sent meanwhile, so nothing is lost that was promised."""
        while True:
            try:
                return await operation()
            except OSError as error:
                _logger.error("the state cannot be written; trying again", launch_id=self.launch_id, error=str(error))
                await asyncio.sleep(STORE_RETRY_S)

    def _fail(self, failed: Failed) -> None:
        if self._work:
            self._work.settle(failed)


def _number(frame: FromAgent) -> int:
    assert not isinstance(frame, Hello | AckId | Pong)  # the link keeps these to itself
    return frame.n
