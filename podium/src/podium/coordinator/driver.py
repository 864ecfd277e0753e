"""Drives one awake instance: starts the agent, hands over entries one at a time, puts it to sleep. One task while awake."""

import asyncio

from podium import log
from podium.coordinator.adoption import ASKED, STOPPING, Adoptable
from podium.coordinator.awake import Awake
from podium.coordinator.backoff import delay_s
from podium.coordinator.belongings import Belongings
from podium.coordinator.boundary import Boundary
from podium.coordinator.hooks import Hooks
from podium.coordinator.lifecycle import Status, Trigger
from podium.coordinator.news import News
from podium.coordinator.session import Session
from podium.coordinator.sleep import Sleep
from podium.coordinator.standing import Standing
from podium.coordinator.start import StartFailed
from podium.coordinator.starts import Starts
from podium.coordinator.steering import Steering
from podium.coordinator.turn import Turn
from podium.coordinator.upgrade import Upgrade
from podium.coordinator.uploads import KIND as UPLOAD
from podium.coordinator.uploads import Uploads
from podium.coordinator.waiters import Waiters
from podium.coordinator.work import Done
from podium.crashpoint import crash_point
from podium.deployments.cache import Prepared
from podium.protocol.errors import InstanceFailed
from podium.state.port import Attempt, Begun

_logger = log.get("driver")


class Driver:
    """The life of one instance on this host. `stir` it when there may be something to do."""

    def __init__(
        self, belongings: Belongings, standing: Standing, waiters: Waiters, steering: Steering, uploads: Uploads
    ) -> None:
        self._belongings = belongings
        self._instance_id = belongings.spec.instance_id
        self._host = belongings.host
        self._state = belongings.state
        self._standing = standing
        self._waiters = waiters
        self._steering = steering
        self._uploads = uploads
        self._awake = Awake()
        self._news = News()
        self._hooks = Hooks(belongings)
        self.upgrade = Upgrade(belongings, self._upgrading)
        self._boundary = Boundary(belongings, self.upgrade, uploads)
        self._starts = Starts(belongings, standing, self._boundary, self.upgrade)
        self.sleep = Sleep(belongings, standing, self._news, self._hooks, self._awake, uploads)
        self._task: asyncio.Task[None] | None = None
        self._stopping = False
        self._failures = 0

    @property
    def awake(self) -> bool:
        """Whether the instance has a process, or wants one."""
        return self._task is not None

    @property
    def awake_because(self) -> str | None:
        """Why it has a process, for people; None where it has none."""
        session = self._starts.session
        return self._awake.because(self._standing.status, session.work if session else None)

    @property
    def starts(self) -> int:
        """How often a process of it got ready here."""
        return self._starts.count

    def stir(self) -> None:
        """There may be something to do: look at the inbox; wake if asleep."""
        self._news.entry_came()
        if self._task is None and not self._stopping:
            self._task = asyncio.create_task(self._live(), name=f"instance {self._instance_id}")
            self._task.add_done_callback(self._ended)

    async def adopt(self, found: Adoptable) -> None:
        """Take over a process of an earlier coordinator; `stir` goes on with it. OSError where that cannot be."""
        await self._starts.adopt(found)
        self._hooks.count = found.hooks  # one that it is at is begun again by the same name
        self.sleep.asked = found.launch.hook is not None and found.launch.hook.reason == ASKED

    def notice(self) -> None:
        """What the instance is run with has changed; a sleeping agent is not woken by it, a failed one is tried again."""
        self._news.any.set()
        if self._standing.status is Status.FAILED:
            self._news.entry.set()

    def restart(self, *, now: bool) -> None:
        """End the process between two turns and start it anew; `now` gives the turn in flight up, to be run again."""
        self._boundary.restart_asked = True
        if now and self._starts.session and self._standing.status is Status.RUNNING:
            self._starts.session.interrupt("restarted", "the instance was restarted")
        self.stir()

    async def stop(self, grace_s: float) -> None:
        """Let the turn in flight end within `grace_s`, the agent say goodbye, then end the process. The inbox stays as it is."""
        self._stopping = True
        self._news.entry_came()
        if self._task:
            await asyncio.wait({self._task}, timeout=grace_s)
        session = self._starts.session
        if session and self._standing.status is Status.READY and not session.over.done():
            await self._hooks.shut_down(session, STOPPING)
        await self._abandon("the coordinator stopped")

    async def terminate(self) -> None:
        """Deleted: end everything now."""
        self._standing.move(Trigger.DELETE)
        self._stopping = True
        await self._abandon("deleted")

    async def _abandon(self, reason: str) -> None:
        self.upgrade.close()
        if self._task:
            self._task.cancel()
            await asyncio.wait({self._task})
        await self._starts.kill(reason)

    # ---- from waking until asleep

    async def _live(self) -> None:
        """Starts that fail and processes that die included."""
        standing = self._standing
        if standing.status is Status.HIBERNATED and not await self._has_reason_to_wake():
            return
        if standing.status in (Status.HIBERNATED, Status.FAILED):
            await self._state.set_status(Status.INITIALIZING, None)
            standing.move(Trigger.START)
        while not self._stopping and standing.status is not Status.HIBERNATED:
            try:
                session, prepared, found = await self._starts.next()
            except StartFailed as failed:
                await self._failed(str(failed))
            else:
                await self._serve(session, prepared, found)

    async def _has_reason_to_wake(self) -> bool:
        """Put files without waking the agent; whether there is anything else."""
        self._news.entry.clear()
        await self._uploads.carry_out()
        return (await self._state.overview()).queued > 0

    def _ended(self, task: "asyncio.Task[None]") -> None:
        self._task = None
        if task.cancelled():
            return
        if error := task.exception():
            _logger.error("an instance's task failed", instance_id=self._instance_id, exc_info=error)
            reason = f"internal error: {error}"
            self._standing.break_down(reason)
            self._waiters.fail(InstanceFailed(reason))
            asyncio.get_running_loop().call_later(self._host.limits.retry_first_s, self.stir)
        elif self._news.entry.is_set():  # an entry came between the transaction that found the inbox empty and now
            self.stir()

    async def _failed(self, reason: str) -> None:
        """Tell everybody who waits, then try again: at once when an entry comes, else with growing pauses."""
        self._news.entry.clear()
        self._standing.reason = reason
        self._standing.move(Trigger.FAILED)
        await self._state.set_status(Status.FAILED, reason)
        self._waiters.fail(InstanceFailed(f"{self._instance_id} cannot be started: {reason}"))
        await self._pause()
        self._standing.reason = None
        self._standing.move(Trigger.START)

    async def _pause(self) -> None:
        """Before trying again: longer with each failure in a row, until an entry comes."""
        self._failures += 1
        limits = self._host.limits
        await self._news.pause(delay_s(self._failures, limits.retry_first_s, limits.retry_most_s))

    # ---- while there is a process

    async def _serve(self, session: Session, prepared: Prepared, found: Adoptable | None) -> None:
        """Hand over entries until the process is over or asleep; first go on with what a process is at that was taken over."""
        session.over.add_done_callback(lambda _: self._news.any.set())
        self._awake.busy("it started")
        self._awake.idle_timeout_s = prepared.manifest.lifecycle.idle_timeout_s
        self._news.entry.clear()
        lives = not found or await self._go_on(session, prepared, found)
        while lives and not self._stopping:
            lives = await self._step(session, prepared)

    async def _go_on(self, session: Session, prepared: Prepared, found: Adoptable) -> bool:
        """Finish what the earlier coordinator has begun; whether the process lives on."""
        if found.entry and found.attempt:
            said = await self._state.said(found.attempt.position)
            return await self._run(session, prepared, Begun(found.entry, found.attempt, [], said), found.attempt)
        if found.is_at("idle") or found.is_at("shutdown"):
            return not await self.sleep.fall(session, leaving=found.is_at("shutdown"))
        return True

    async def _step(self, session: Session, prepared: Prepared) -> bool:
        """Do what is next, or wait for it; whether the process lives on."""
        self._news.any.clear()
        if session.over.done():
            self._host.metrics.deaths.inc()
            self._standing.move(Trigger.DIED)
            await self._pause()  # it died at nothing: it might do so for ever
            return False
        if reason := await self._boundary.cross(session, prepared):
            await self._replace(session, reason)
            return False
        begun = await self._state.begin_next(session.launch_id, None)
        if begun is not None:
            return await self._work_on(session, prepared, begun)
        if not self.sleep.asked and await self._news.within(prepared.manifest.lifecycle.idle_timeout_s):
            return True
        return not await self.sleep.fall(session)

    async def _work_on(self, session: Session, prepared: Prepared, begun: Begun) -> bool:
        """What came from the inbox; whether the process lives on."""
        crash_point("begun")
        if begun.attempt:
            return await self._run(session, prepared, begun, begun.attempt)
        self._boundary.note(begun.entry)
        if begun.entry.kind != UPLOAD:
            self._awake.busy("it was woken")
        return True

    async def _run(self, session: Session, prepared: Prepared, begun: Begun, attempt: Attempt) -> bool:
        """One attempt at a message; whether the process lives on."""
        turn = Turn(self._belongings, self._steering, self._waiters, session, prepared.manifest.lifecycle)
        self._standing.move(Trigger.TURN)
        self._awake.busy(f"the turn of message {attempt.message_id}")
        result = await turn.run(begun, attempt)
        self._failures = 0
        self._standing.move(Trigger.TURN_ENDED if isinstance(result, Done) else Trigger.DIED)
        return isinstance(result, Done)

    async def _replace(self, session: Session, reason: str) -> None:
        """Let the process end, so that another is started at once."""
        self._standing.move(Trigger.REPLACE)
        await self._hooks.shut_down(session, reason)
        await session.kill(reason)
        crash_point("replacing")
        self._standing.move(Trigger.START)

    def _upgrading(self) -> None:
        self._news.any.set()
        self._standing.tell()
