"""One instance on this host: its inbox, its life, its readers.

While it is awake one task drives it: start the agent, hand over entries one at a time, put it to sleep. A sleeping instance has
no task and no process; an entry wakes it.
"""

import asyncio
import contextlib
import sys
from collections.abc import AsyncIterator, Callable
from typing import Any

from podium import log
from podium.cluster.port import Owned
from podium.coordinator.backoff import delay_s
from podium.coordinator.host import Host, LocalState
from podium.coordinator.layout import InstanceDirectory
from podium.coordinator.lifecycle import Status, Trigger, after
from podium.coordinator.logs import LogStore
from podium.coordinator.session import Session
from podium.coordinator.start import Start, StartFailed
from podium.coordinator.stream import Stream
from podium.coordinator.turn import Turn, close_attempt
from podium.coordinator.waiters import Waiters
from podium.coordinator.work import Done, Failed, Result, Work
from podium.deployments.cache import Prepared
from podium.launcher.leftovers import end_leftover
from podium.protocol.api import MessageStatus
from podium.protocol.errors import Conflict, InstanceFailed, Unavailable
from podium.protocol.events import Event
from podium.protocol.ids import Cursor, new_id
from podium.protocol.messages import HOOK_IDLE, HOOK_SHUTDOWN, IdleCheck, IdleReply, Shutdown
from podium.records.instances import Spec
from podium.state.port import Accepted, Attempt, Ended, Entry
from podium.workspace.port import Workspace

_logger = log.get("instance")


class Instance:
    """An instance this coordinator owns, loaded."""

    def __init__(
        self,
        host: Host,
        spec: Spec,
        life: int,
        uid: int | None,
        directory: InstanceDirectory,
        state: LocalState,
        workspace: Workspace,
        logs: LogStore,
        head: Cursor,
        status: Status,
    ) -> None:
        self.host = host
        self.spec = spec
        self.life = life
        self.directory = directory
        self.state = state
        self.workspace = workspace
        self.logs = logs
        self.status = status
        self.reason: str | None = None
        self.stream = Stream(state, head, host.limits.readers)
        self.waiters = Waiters()
        self.users = 0
        self._uid = uid
        self._task: asyncio.Task[None] | None = None
        self._news = asyncio.Event()
        self._changed = asyncio.Event()
        self._sleep_asked = False
        self._stopping = False
        self._session: Session | None = None
        self._failures = 0
        self._hooks = 0

    # ---- what clients ask for

    @contextlib.asynccontextmanager
    async def using(self) -> AsyncIterator[None]:
        """Stay loaded meanwhile."""
        self.users += 1
        try:
            yield
        finally:
            self.users -= 1

    def owned(self) -> Owned:
        """What discovery should say of it."""
        return Owned(coordinator_id=self.host.coordinator_id, epoch=self.stream.head.epoch, life=self.life)

    @property
    def awake(self) -> bool:
        """Whether it has a process, or wants one."""
        return self._task is not None

    async def accept(self, message_id: str, kind: str, body: dict[str, Any], origin: dict[str, Any]) -> Accepted:
        """Take an entry into the inbox, durably, and see that it is worked on."""
        if self.status is Status.TERMINATED:
            raise Conflict(f"instance {self.spec.instance_id} is being deleted")
        accepted = await self.state.accept(message_id, kind, body, origin, self.host.limits.inbox)
        if not accepted.done:
            self.stir()
        return accepted

    async def submit(self, message_id: str, body: dict[str, Any], origin: dict[str, Any], wait_s: float) -> MessageStatus | None:
        """Accept a message and wait for its end; None where `wait_s` passed before. InstanceFailed where no agent starts."""
        future = self.waiters.add(message_id)
        try:
            accepted = await self.accept(message_id, "message", body, origin)
            if accepted.done or (accepted.duplicate and not wait_s):
                return await self.state.message(message_id)
            return await self._settled(future, wait_s)
        finally:
            self.waiters.remove(message_id, future)

    async def result(self, message_id: str, wait_s: float) -> MessageStatus | None:
        """The message as it is once it is done, or after `wait_s` seconds; None where there is none such. InstanceFailed."""
        future = self.waiters.add(message_id)
        try:
            found = await self.state.message(message_id)
            if found is None or found.status in ("complete", "failed") or not wait_s:
                return found
            return await self._settled(future, wait_s) or await self.state.message(message_id)
        finally:
            self.waiters.remove(message_id, future)

    async def _settled(self, future: "asyncio.Future[MessageStatus]", wait_s: float) -> MessageStatus | None:
        if self.status is Status.FAILED:
            self.stir()
        try:
            async with asyncio.timeout(wait_s):
                return await future
        except TimeoutError:
            return None

    async def hibernate(self, wait_s: float) -> None:
        """Ask it to sleep once its turn has ended; return when it does, or after `wait_s` seconds."""
        if self.awake and self.status is not Status.FAILED:
            self._sleep_asked = True
            self._news.set()
            await self._until(lambda: self.status is Status.HIBERNATED or not self._sleep_asked, wait_s)

    async def wake(self, wait_s: float) -> None:
        """See that it is awake; return when it is ready, or after `wait_s` seconds. InstanceFailed where it does not start."""
        if self.status in (Status.READY, Status.RUNNING) and not self._sleep_asked:
            return
        await self.accept(new_id("wake"), "wake", {}, {})
        await self._until(lambda: self.status is not Status.FAILED, wait_s)
        await self._until(lambda: self.status in (Status.READY, Status.RUNNING, Status.FAILED, Status.TERMINATED), wait_s)
        if self.status is Status.FAILED:
            raise InstanceFailed(f"{self.spec.instance_id} cannot be started: {self.reason}")

    def stir(self) -> None:
        """There may be something to do: look at the inbox; wake if asleep."""
        self._news.set()
        if self._task is None and not self._stopping:
            self._task = asyncio.create_task(self._live(), name=f"instance {self.spec.instance_id}")
            self._task.add_done_callback(self._ended)

    async def recover(self) -> None:
        """Close what a coordinator before this one left open: nothing of it runs any more."""
        for attempt in await self.state.open_attempts():
            failed = Failed("interrupted", "interrupted", "the platform stopped during this attempt")
            await close_attempt(self.state, self.stream, attempt, failed, sys.maxsize, self.host.limits.interrupted_attempts)
        await self.state.drop_pending(None)
        for launch in await self.state.open_launches():
            if launch.pid is not None and launch.start_time is not None:
                await self.host.blocking(end_leftover, launch.launch_id, launch.pid, launch.start_time, launch.uid)
            ended = Ended(at=self.host.clock(), reason="the platform stopped", code=None, signal=None, log=[])
            await self.state.end_launch(launch.launch_id, ended)

    # ---- how it ends

    async def stop(self, grace_s: float) -> None:
        """The coordinator stops: let the turn in flight end within `grace_s`, then end the process. The inbox stays as it is."""
        self._stopping = True
        self._news.set()
        if self._task:
            await asyncio.wait({self._task}, timeout=grace_s)
        self.waiters.fail(Unavailable("the coordinator stopped; the message is kept", retry_after_s=1))
        await self._farewell()
        await self._abandon("the coordinator stopped")
        await self._close(clean=True)

    async def terminate(self) -> None:
        """Deleted: end everything now."""
        self._move(Trigger.DELETE)
        self._stopping = True
        await self._abandon("deleted")
        self.waiters.fail(Conflict(f"instance {self.spec.instance_id} was deleted"))
        await self._close(clean=True)

    async def _farewell(self) -> None:
        """Let an agent that is at nothing run its `on_shutdown` before its host goes."""
        if self._session and self.status is Status.READY and not self._session.over.done():
            frame = Shutdown(id=f"shutdown.{self._session.launch_id}", reason="stopping")
            await self._hook(self._session, HOOK_SHUTDOWN, frame, self.host.limits.shutdown_timeout_s)

    async def _abandon(self, reason: str) -> None:
        if self._task:
            self._task.cancel()
            await asyncio.wait({self._task})
        if self._session:
            await self._session.kill(reason)
            self._session = None

    async def _close(self, *, clean: bool) -> None:
        self.stream.close()
        await self.logs.close()
        await self.state.close(clean=clean)

    async def unload(self) -> None:
        """Close the files of a sleeping instance."""
        await self._close(clean=True)

    # ---- its life

    def _ended(self, task: "asyncio.Task[None]") -> None:
        self._task = None
        if not task.cancelled() and (error := task.exception()):
            _logger.error("instance task failed", instance_id=self.spec.instance_id, exc_info=error)
            self.status, self.reason = Status.FAILED, f"internal error: {error}"
            self.waiters.fail(InstanceFailed(self.reason))
            asyncio.get_running_loop().call_later(self.host.limits.retry_first_s, self.stir)

    async def _live(self) -> None:
        """From waking until asleep, failed starts and dead processes included."""
        if self.status in (Status.HIBERNATED, Status.FAILED):
            await self.state.set_status(Status.INITIALIZING, None)
            self._move(Trigger.START)
        while not self._stopping:
            if self._session:
                await self._session.kill("replaced")
                self._session = None
            try:
                async with self.host.starting:
                    session, prepared = await self._start()
            except StartFailed as failed:
                await self._failed(str(failed))
                continue
            self._session = session
            self._failures = 0
            await self._serve(session, prepared)
            if self.status is Status.HIBERNATED:
                return

    async def _start(self) -> tuple[Session, Prepared]:
        start = Start(self.host, self.spec, self._uid, self.directory, self.state, self.stream, self.workspace, self.logs)
        try:
            return await start.run(self._move)
        except OSError as error:
            raise StartFailed(f"this host cannot start it: {error}") from error

    async def _failed(self, reason: str) -> None:
        """Tell everybody who waits, then try again: at once when an entry comes, else with growing pauses."""
        self._failures += 1
        self._news.clear()
        self.reason = reason
        self._move(Trigger.FAILED)
        await self.state.set_status(Status.FAILED, reason)
        self.waiters.fail(InstanceFailed(f"{self.spec.instance_id} cannot be started: {reason}"))
        limits = self.host.limits
        await self._await_news(delay_s(self._failures, limits.retry_first_s, limits.retry_most_s))
        self.reason = None
        self._move(Trigger.START)

    async def _serve(self, session: Session, prepared: Prepared) -> None:
        """Hand over entries until the process is over or asleep."""
        session.over.add_done_callback(lambda _: self._news.set())
        while not self._stopping:
            self._news.clear()
            if session.over.done():
                self._died()
                return
            begun = await self.state.begin_next(session.launch_id, None)
            if begun is not None:
                if begun.attempt and not await self._run(session, prepared, begun.entry, begun.attempt, begun.events):
                    return
            elif (self._sleep_asked or not await self._await_news(prepared.manifest.lifecycle.idle_timeout_s)) and (
                await self._sleep(session)
            ):
                return

    async def _run(self, session: Session, prepared: Prepared, entry: Entry, attempt: Attempt, events: list[Event]) -> bool:
        """One attempt at a message; whether the process lives on."""
        lifecycle = prepared.manifest.lifecycle
        turn = Turn(self.host, self.state, self.stream, self.workspace, session, lifecycle.turn_timeout_s, lifecycle.max_attempts)
        self._move(Trigger.TURN)
        self.stream.publish(events)
        alive = await turn.run(entry, attempt)
        await self._tell(entry.message_id)
        self._move(Trigger.TURN_ENDED if alive else Trigger.DIED)
        return alive

    async def _tell(self, message_id: str) -> None:
        if message_id in self.waiters:
            status = await self.state.message(message_id)
            if status and status.status in ("complete", "failed"):
                self.waiters.settle(message_id, status)

    def _died(self) -> None:
        self._move(Trigger.DIED)

    # ---- falling asleep

    async def _sleep(self, session: Session) -> bool:
        """Ask the agent, let it shut down, park. Whether the process is over; an entry that came meanwhile is found later."""
        asked = self._sleep_asked
        self._move(Trigger.IDLE)
        if not asked and not await self._agrees(session):
            self._move(Trigger.DEFERRED)
            return False
        self._move(Trigger.AGREED)
        frame = Shutdown(id=f"shutdown.{session.launch_id}", reason="hibernate" if asked else "idle")
        await self._hook(session, HOOK_SHUTDOWN, frame, self.host.limits.shutdown_timeout_s)
        await asyncio.wait({session.over}, timeout=self.host.limits.shutdown_timeout_s)
        await session.kill("asleep")
        await self.host.blocking(self.workspace.unmount)
        parked = await self.state.park("asked" if asked else "idle")
        self._sleep_asked = False
        self._move(Trigger.PARKED if parked else Trigger.START)
        return True

    async def _agrees(self, session: Session) -> bool:
        frame = IdleCheck(id=f"idle.{session.launch_id}.{self._hooks}")
        result = await self._hook(session, HOOK_IDLE, frame, self.host.limits.idle_check_timeout_s)
        if isinstance(result, Failed):
            return True
        assert isinstance(result.frame, IdleReply)
        return result.frame.idle and not self._news.is_set()

    async def _hook(self, session: Session, hook: str, frame: IdleCheck | Shutdown, timeout_s: float) -> Result:
        """Run a hook of the agent. One that fails leaves nothing behind, and does not keep the agent from sleeping."""
        self._hooks += 1
        work = Work.of_hook(hook, session.launch_id, self._hooks, self.host.clock())
        result = await session.perform(work, frame, timeout_s)
        if not isinstance(result, Done):
            await self.state.drop_pending(work.message_id)
        return result

    # ---- small things

    def _move(self, trigger: Trigger) -> None:
        self.status = after(self.status, trigger)
        changed, self._changed = self._changed, asyncio.Event()
        changed.set()

    async def _until(self, condition: Callable[[], bool], wait_s: float) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(wait_s):
                while not condition():
                    await self._changed.wait()

    async def _await_news(self, timeout_s: float | None) -> bool:
        """Whether there was news within `timeout_s`."""
        try:
            async with asyncio.timeout(timeout_s):
                await self._news.wait()
        except TimeoutError:
            return False
        return True
