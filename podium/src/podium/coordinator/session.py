"""One launch of an agent: what it is asked to do, what comes of it, and how its process ends."""

import asyncio
import contextlib
from typing import Any

from podium import log
from podium.coordinator.configuration import AgentConfig
from podium.coordinator.ending import describe, process_ended
from podium.coordinator.intake import STORE_RETRY_S, Intake
from podium.coordinator.link import Link
from podium.coordinator.logs import AgentLog
from podium.coordinator.questions import Questions
from podium.coordinator.stream import Stream
from podium.coordinator.work import Failed, Result, Work
from podium.crashpoint import crash_point
from podium.launcher.port import Exit, Launcher
from podium.protocol.framing import FrameError
from podium.protocol.messages import Shutdown, ToAgent
from podium.state.port import Ended, StateStore
from podium.workspace.port import Workspace

DRAIN_TIMEOUT_S = 2.0
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
        self._log = agent_log
        self._intake = Intake(
            launch_id, state, stream, workspace, self.questions, agent_log, work=adopted, stored_n=link.received_n
        )
        self._leaving = False
        self._killing: asyncio.Task[Any] | None = None
        self._killed: str | None = None
        self.over: asyncio.Task[Exit] = asyncio.create_task(self._live())

    @property
    def work(self) -> Work | None:
        """What the agent is at."""
        return self._intake.work

    async def perform(self, work: Work, frame: ToAgent, limit_s: float | None) -> Result:
        """Ask the agent to do something and return how it ended; past `limit_s` the process is killed."""
        work = self.hand_over(work, frame, limit_s)
        return await self.ended(work)

    def hand_over(self, work: Work, frame: ToAgent, limit_s: float | None, had_s: float = 0.0) -> Work:
        """Ask the agent to do something that may take `limit_s`, of which it `had_s`; `ended` says how that went.

        Returns what it is at: that which an earlier coordinator has begun, and which has perhaps ended by now, or `work`.
        """
        if self._intake.work and self._intake.work.message_id == work.message_id:
            work = self._intake.work
        self._intake.work = work
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
        self._intake.work = None
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
            self._intake.fail(Failed("interrupted", "interrupted", f"the agent was ended: {reason}"))
            await self.kill(reason)

    def interrupt(self, code: str, reason: str) -> None:
        """Give up what the agent is at: it is run again, and that does not count against it."""
        self._intake.fail(Failed("interrupted", code, reason))

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
            log=await self._log.last_lines(), oom=exit.oom or self._intake.out_of_memory,
        )  # fmt: skip
        await self._intake.stored(lambda: self._state.end_launch(self.launch_id, ended))
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
                self._intake.fail(Failed("exception", "protocol_error", f"the agent broke the protocol: {error}"))
                self._killing = asyncio.create_task(self.kill("the agent broke the protocol"))
                return
            if frames is None:
                return
            await self._intake.take(frames)
            self.link.ack(self._intake.stored_n, soon=not self._leaving)
            crash_point("acknowledged")

    def _pumped(self, pump: "asyncio.Task[None]") -> None:
        """A bug of ours ends this launch and no more: the attempt is interrupted and runs again."""
        if error := pump.exception():
            _logger.error("the frames of an agent could not be processed", launch_id=self.launch_id, exc_info=error)
            self._intake.fail(Failed("interrupted", "internal", f"an error inside the platform: {error}"))
            self._killing = asyncio.create_task(self.kill("an error inside the platform"))
