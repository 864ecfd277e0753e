"""Drives one awake instance: starts the agent, hands over entries one at a time, puts it to sleep. One task while awake.

The status changes here and nowhere else, by the table of `lifecycle`.
"""

import asyncio
import contextlib
import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime

from podium import log
from podium.coordinator.adoption import ASKED, IDLE, STOPPING, Adoptable, parking
from podium.coordinator.awake import Awake
from podium.coordinator.backoff import delay_s
from podium.coordinator.boundary import Boundary
from podium.coordinator.host import Host, LocalState
from podium.coordinator.layout import InstanceDirectory
from podium.coordinator.lifecycle import Status, Trigger, after
from podium.coordinator.log_store import LogStore
from podium.coordinator.session import Session
from podium.coordinator.start import Start, StartFailed
from podium.coordinator.steering import Steering
from podium.coordinator.stream import Stream
from podium.coordinator.turn import Turn, close_attempt, completed
from podium.coordinator.upgrade import Upgrade
from podium.coordinator.uploads import KIND as UPLOAD
from podium.coordinator.uploads import Uploads
from podium.coordinator.waiters import Waiters
from podium.coordinator.work import Done, Failed, Result, Work
from podium.crashpoint import crash_point
from podium.deployments.cache import Prepared
from podium.protocol.api import MessageStatus
from podium.protocol.errors import InstanceFailed
from podium.protocol.messages import HOOK_IDLE, HOOK_SHUTDOWN, IdleCheck, IdleReply, Shutdown
from podium.records.instances import Spec
from podium.state.port import Attempt, Begun, Entry, Hook
from podium.workspace.port import Workspace

_logger = log.get("driver")


class Driver:
    """The life of one instance on this host. `stir` it when there may be something to do."""

    def __init__(
        self,
        host: Host,
        spec: Spec,
        uid: int | None,
        directory: InstanceDirectory,
        state: LocalState,
        workspace: Workspace,
        logs: LogStore,
        stream: Stream,
        waiters: Waiters,
        steering: Steering,
        uploads: Uploads,
        status: Status,
        reason: str | None,
    ) -> None:
        self.status = status
        self.reason = reason
        self.sleep_asked = False
        self.starts = 0
        self._host = host
        self._spec = spec
        self._uid = uid
        self._directory = directory
        self._state = state
        self._workspace = workspace
        self._logs = logs
        self._stream = stream
        self._waiters = waiters
        self._steering = steering
        self._awake = Awake()
        self._task: asyncio.Task[None] | None = None
        self._session: Session | None = None
        self._news = asyncio.Event()
        self._changed = asyncio.Event()
        self._entry = asyncio.Event()
        self._stopping = False
        self._failures = 0
        self._hooks = 0
        self._adopted: tuple[Start, Adoptable] | None = None
        self._started_at = datetime.min.replace(tzinfo=UTC)
        self.upgrade = Upgrade(host, spec, state, stream, self._upgrading)
        self._uploads = uploads
        self._boundary = Boundary(host, spec, state, self.upgrade, uploads)

    @property
    def awake(self) -> bool:
        """Whether the instance has a process, or wants one."""
        return self._task is not None

    @property
    def awake_because(self) -> str | None:
        """Why it has a process, for people; None where it has none."""
        return self._awake.because(self.status, self._session.work if self._session else None)

    def stir(self) -> None:
        """There may be something to do: look at the inbox; wake if asleep."""
        self._entry.set()
        self._news.set()
        if self._task is None and not self._stopping:
            self._task = asyncio.create_task(self._live(), name=f"instance {self._spec.instance_id}")
            self._task.add_done_callback(self._ended)

    async def adopt(self, found: Adoptable) -> None:
        """Take over a process of an earlier coordinator; `stir` goes on with it. OSError where that cannot be."""
        start = self._new_start()
        self._session = await start.adopt(found)
        self._adopted = start, found
        self._hooks = found.hooks  # one that it is at is begun again by the same name
        self.sleep_asked = found.launch.hook is not None and found.launch.hook.reason == ASKED

    def notice(self) -> None:
        """What the instance is run with has changed; a sleeping agent is not woken by it, a failed one is tried again."""
        self._news.set()
        if self.status is Status.FAILED:
            self._entry.set()

    def restart(self, *, now: bool) -> None:
        """End the process between two turns and start it anew; `now` gives the turn in flight up, to be run again."""
        self._boundary.restart_asked = True
        if now and self._session and self.status is Status.RUNNING:
            self._session.interrupt("restarted", "the instance was restarted")
        self.stir()

    @property
    def changed(self) -> asyncio.Event:
        """Is set at the next change of the status, or of an upgrade."""
        return self._changed

    async def until(self, condition: Callable[[], bool], wait_s: float) -> None:
        """Return once `condition` holds, which is looked at when the status changes, or after `wait_s` seconds."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(wait_s):
                while not condition():
                    await self._changed.wait()

    async def stop(self, grace_s: float) -> None:
        """Let the turn in flight end within `grace_s`, the agent say goodbye, then end the process. The inbox stays as it is."""
        self._stopping = True
        self._news.set()
        self._entry.set()
        if self._task:
            await asyncio.wait({self._task}, timeout=grace_s)
        if self._session and self.status is Status.READY and not self._session.over.done():
            await self._shut_down(self._session, STOPPING)
        await self._abandon("the coordinator stopped")

    async def terminate(self) -> None:
        """Deleted: end everything now."""
        self._move(Trigger.DELETE)
        self._stopping = True
        await self._abandon("deleted")

    async def _abandon(self, reason: str) -> None:
        self.upgrade.close()
        if self._task:
            self._task.cancel()
            await asyncio.wait({self._task})
        if self._session:
            await self._session.kill(reason)
            self._session = None

    # ---- from waking until asleep

    async def _live(self) -> None:
        """Starts that fail and processes that die included."""
        if self.status is Status.HIBERNATED and not await self._has_reason_to_wake():
            return
        if self.status in (Status.HIBERNATED, Status.FAILED):
            await self._state.set_status(Status.INITIALIZING, None)
            self._move(Trigger.START)
        while not self._stopping and self.status is not Status.HIBERNATED:
            found = self._adopted[1] if self._adopted else None
            try:
                session, prepared = await (self._resume() if self._adopted else self._start())
            except StartFailed as failed:
                await self._failed(str(failed))
                continue
            await self._serve(session, prepared, found)

    async def _has_reason_to_wake(self) -> bool:
        """Put files without waking the agent; whether there is anything else."""
        self._entry.clear()
        await self._uploads.carry_out()
        return (await self._state.overview()).queued > 0

    def _ended(self, task: "asyncio.Task[None]") -> None:
        self._task = None
        if task.cancelled():
            return
        if error := task.exception():
            _logger.error("an instance's task failed", instance_id=self._spec.instance_id, exc_info=error)
            self.status, self.reason = Status.FAILED, f"internal error: {error}"
            self._waiters.fail(InstanceFailed(self.reason))
            asyncio.get_running_loop().call_later(self._host.limits.retry_first_s, self.stir)
        elif self._entry.is_set():  # an entry came between the transaction that found the inbox empty and now
            self.stir()

    def _new_start(self) -> Start:
        return Start(self._host, self._spec, self._uid, self._directory, self._state, self._stream, self._workspace, self._logs)

    async def _start(self) -> tuple[Session, Prepared]:
        if self._session:
            await self._session.kill("replaced")
            self._session = None
        self._boundary.restart_asked, self._started_at = False, self._host.clock()
        await self._uploads.carry_out()
        version, metrics = await self.upgrade.version(), self._host.metrics
        try:
            with metrics.starts.labels("failed").count_exceptions(), metrics.start_seconds.time():
                self._session, prepared = await self._new_start().run(version, self._move)
        except OSError as error:
            raise StartFailed(f"this host cannot start it: {error}", ours=True) from error
        except StartFailed as failed:
            if version.upgrade_id is None or failed.ours:
                raise
            await self.upgrade.fail(version, str(failed))
            self._move(Trigger.FELL_BACK)
            return await self._start()
        self.starts += 1
        metrics.starts.labels("ready").inc()
        return self._session, prepared

    async def _resume(self) -> tuple[Session, Prepared]:
        assert self._adopted is not None
        assert self._session is not None
        (start, found), self._adopted = self._adopted, None
        try:
            return self._session, await start.resume(self._session, found, self._move)
        except StartFailed as error:
            if found.attempt:
                failed = Failed("interrupted", "interrupted", f"the agent could not be taken over: {error}")
                limit = self._host.limits.interrupted_attempts
                self._stream.publish(await close_attempt(self._state, found.attempt, failed, sys.maxsize, limit))
            raise

    async def _failed(self, reason: str) -> None:
        """Tell everybody who waits, then try again: at once when an entry comes, else with growing pauses."""
        self._entry.clear()
        self.reason = reason
        self._move(Trigger.FAILED)
        await self._state.set_status(Status.FAILED, reason)
        self._waiters.fail(InstanceFailed(f"{self._spec.instance_id} cannot be started: {reason}"))
        await self._pause()
        self.reason = None
        self._move(Trigger.START)

    async def _pause(self) -> None:
        """Before trying again: longer with each failure in a row, until an entry comes."""
        self._failures += 1
        limits = self._host.limits
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(delay_s(self._failures, limits.retry_first_s, limits.retry_most_s)):
                await self._entry.wait()

    async def _serve(self, session: Session, prepared: Prepared, found: Adoptable | None) -> None:
        """Hand over entries until the process is over or asleep; first go on with what a process is at that was taken over."""
        session.over.add_done_callback(lambda _: self._news.set())
        self._awake.busy("it started")
        self._awake.idle_timeout_s = prepared.manifest.lifecycle.idle_timeout_s
        self._entry.clear()
        if found and not await self._go_on(session, prepared, found):
            return
        while not self._stopping:
            self._news.clear()
            if session.over.done():
                self._host.metrics.deaths.inc()
                self._move(Trigger.DIED)
                await self._pause()  # it died at nothing: it might do so for ever
                return
            if reason := await self._boundary.cross(session, prepared):
                await self._replace(session, reason)
                return
            begun = await self._state.begin_next(session.launch_id, None)
            if begun is not None:
                crash_point("begun")
                if begun.entry.kind == "restart" and begun.entry.accepted_at > self._started_at:
                    self._boundary.restart_asked = True
                if begun.entry.kind == UPLOAD:
                    self._uploads.look_again()
                elif not begun.attempt:
                    self._awake.busy("it was woken")
                elif not await self._run(session, prepared, begun, begun.attempt):
                    return
            elif (self.sleep_asked or not await self._await_news(prepared.manifest.lifecycle.idle_timeout_s)) and (
                await self._sleep(session)
            ):
                return

    async def _go_on(self, session: Session, prepared: Prepared, found: Adoptable) -> bool:
        """Finish what the earlier coordinator has begun; whether the process lives on."""
        if found.entry and found.attempt:
            said = await self._state.said(found.attempt.position)
            return await self._run(session, prepared, Begun(found.entry, found.attempt, [], said), found.attempt)
        if found.is_at("idle") or found.is_at("shutdown"):
            return not await self._sleep(session, leaving=found.is_at("shutdown"))
        return True

    async def _run(self, session: Session, prepared: Prepared, begun: Begun, attempt: Attempt) -> bool:
        """One attempt at a message; whether the process lives on."""
        lifecycle = prepared.manifest.lifecycle
        turn = Turn(
            self._host, self._state, self._stream, self._workspace, self._steering, session, lifecycle.turn_timeout_s,
            lifecycle.max_attempts,
        )  # fmt: skip
        self._move(Trigger.TURN)
        self._awake.busy(f"the turn of message {attempt.message_id}")
        self._stream.publish(begun.events)
        began = time.monotonic()
        result = await turn.run(begun.entry, attempt, begun.said)
        self._count(result, time.monotonic() - began)
        self._failures = 0
        await self._state.prune_events(self._host.limits.events)
        await self._tell(begun.entry, attempt, result)
        self._move(Trigger.TURN_ENDED if isinstance(result, Done) else Trigger.DIED)
        return isinstance(result, Done)

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

    # ---- falling asleep

    async def _sleep(self, session: Session, *, leaving: bool = False) -> bool:
        """Ask the agent, unless it is leaving already, let it shut down, park.

        Whether the process is over; an entry that came meanwhile is found later.
        """
        asked = self.sleep_asked
        self._move(Trigger.IDLE)
        if not asked and not leaving and not await self._agrees(session):
            self._move(Trigger.DEFERRED)
            return False
        self._move(Trigger.AGREED)
        reason = ASKED if asked else IDLE
        await self._shut_down(session, reason)
        await session.kill("asleep")
        await self._host.blocking(self._workspace.unmount)
        self._entry.clear()
        await self._uploads.carry_out()
        crash_point("parking")
        parked = await self._state.park(parking(reason))
        crash_point("parked")
        self.sleep_asked = False
        self._move(Trigger.PARKED if parked else Trigger.START)
        return True

    async def _replace(self, session: Session, reason: str) -> None:
        """Let the process end, so that another is started at once."""
        self._move(Trigger.REPLACE)
        await self._shut_down(session, reason)
        await session.kill(reason)
        crash_point("replacing")
        self._move(Trigger.START)

    async def _shut_down(self, session: Session, reason: str) -> None:
        limit = self._host.limits.shutdown_timeout_s
        await self._hook(session, HOOK_SHUTDOWN, Shutdown(id=f"shutdown.{session.launch_id}", reason=reason), limit)
        await asyncio.wait({session.over}, timeout=limit)

    async def _agrees(self, session: Session) -> bool:
        frame = IdleCheck(id=f"idle.{session.launch_id}.{self._hooks}")
        result = await self._hook(session, HOOK_IDLE, frame, self._host.limits.idle_check_timeout_s)
        if isinstance(result, Failed):
            return True
        assert isinstance(result.frame, IdleReply)
        if not result.frame.idle:
            self._awake.deferred(result.frame.reason)
        return result.frame.idle and not self._news.is_set()

    async def _hook(self, session: Session, hook: str, frame: IdleCheck | Shutdown, timeout_s: float) -> Result:
        """Run a hook of the agent. One that fails leaves nothing behind, and does not keep the agent from sleeping."""
        self._hooks += 1
        work = Work.of_hook(hook, session.launch_id, self._hooks, self._host.clock())
        reason = frame.reason if isinstance(frame, Shutdown) else ""
        begun = Hook(kind=work.kind, serial=self._hooks, message_id=work.message_id, reason=reason)
        await self._state.begin_hook(session.launch_id, begun)
        result = await session.perform(work, frame, timeout_s)
        if not isinstance(result, Done):
            await self._state.drop_pending(work.message_id)
        return result

    # ---- small things

    def _move(self, trigger: Trigger) -> None:
        self.status = after(self.status, trigger)
        self._tell_change()

    def _tell_change(self) -> None:
        changed, self._changed = self._changed, asyncio.Event()
        changed.set()

    def _upgrading(self) -> None:
        self._news.set()
        self._tell_change()

    async def _await_news(self, timeout_s: float | None) -> bool:
        """Whether there was news within `timeout_s`."""
        try:
            async with asyncio.timeout(timeout_s):
                await self._news.wait()
        except TimeoutError:
            return False
        return True
