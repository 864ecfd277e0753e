"""What a coordinator finds that another one left: live agents to be taken over, and everything else to be closed.

The launcher outlived the coordinator and knows its launches; the state knows what each was at. A launch that lives is adopted:
its agent connects again and repeats what was not acknowledged, and so do we. One that has ended is explained by its exit. What
nobody knows any more was interrupted.
"""

import asyncio
import sys
from datetime import datetime
from typing import NamedTuple

import msgspec

from podium.coordinator.ending import describe, process_ended
from podium.coordinator.host import Host
from podium.coordinator.layout import InstanceDirectory
from podium.coordinator.log_store import LogStore
from podium.coordinator.logs import AgentLog
from podium.coordinator.turn import close_attempt
from podium.coordinator.work import UPGRADE, Work
from podium.deployments.environment import EnvironmentFailed
from podium.launcher.leftovers import end_leftover
from podium.launcher.port import Exit
from podium.launcher.port import Launch as Process
from podium.protocol.errors import PodiumError
from podium.records.instances import Spec
from podium.state.port import COUNTED, Attempt, Ended, Entry, Launch, StateStore

ASKED, IDLE, STOPPING, RESTART = "hibernate", "idle", "stopping", "restart"
"""Why an agent is asked to shut down; or for an UPGRADE."""
MANIFEST_TIMEOUT_S = 10.0


class Adoptable(NamedTuple):
    """A process that lives and whose coordinator has died; `attempt` and `entry` where it is at a message."""

    launch: Launch
    attempt: Attempt | None
    entry: Entry | None

    def is_at(self, kind: str) -> bool:
        """Whether it is at this hook. A process whose shutdown has returned is at that until it ends."""
        hook = self.launch.hook
        return hook is not None and hook.kind == kind and (not hook.returned or kind == "shutdown")

    @property
    def hooks(self) -> int:
        """How many hooks it has behind it."""
        hook = self.launch.hook
        return 0 if hook is None else hook.serial if hook.returned and hook.kind != "shutdown" else hook.serial - 1

    def work(self, now: datetime) -> Work | None:
        """What its frames belong to."""
        if self.attempt:
            return Work.of_attempt(self.attempt)
        hook = self.launch.hook
        if hook is None or hook.returned:
            return None
        work = Work.of_hook(f"hook:{hook.kind}", self.launch.launch_id, hook.serial, now)
        work.has_output = self.launch.has_deltas or self.launch.first_seq is not None
        work.first_seq = self.launch.first_seq
        return work


class Recovery:
    """Closes what an instance has left open. `found` is what the launcher knows; what is settled here is taken out of it."""

    def __init__(
        self, host: Host, spec: Spec, directory: InstanceDirectory, state: StateStore, logs: LogStore, found: dict[str, Process]
    ) -> None:
        self._host = host
        self._spec = spec
        self._directory = directory
        self._state = state
        self._logs = logs
        self._found = found

    async def run(self) -> Adoptable | None:
        """The launch to be adopted, where there is one. OSError where launcher or disk fail."""
        attempts = {attempt.launch_id: attempt for attempt in await self._state.open_attempts()}
        adoptable = None
        for launch in await self._state.open_launches():
            attempt = attempts.pop(launch.launch_id, None)
            if self._lives(launch):
                process = self._found[launch.launch_id]
                await self._state.launched(launch.launch_id, process.pid, process.start_time)
                entry = await self._state.entry(attempt.position) if attempt else None
                adoptable = Adoptable(launch, attempt, entry)
            else:
                await self._close(launch, attempt)
        for attempt in attempts.values():
            await self._fail(attempt, Exit(), None)
        if adoptable is None:
            await self._state.drop_pending(None)
            await self._finish_sleep()
        return adoptable

    async def _finish_sleep(self) -> None:
        """Where an agent was put to sleep and has ended, all is done but to record it, unless an entry has come."""
        reason = await self._state.left_for()
        if reason in (ASKED, IDLE) and (await self._state.overview()).status != "hibernated":
            await self._state.park(parking(reason))

    def _lives(self, launch: Launch) -> bool:
        """Whether its process runs, and should: one that was to be ended is ended."""
        process, hook = self._found.get(launch.launch_id), launch.hook
        ending = hook is not None and hook.kind == "shutdown" and hook.reason not in (ASKED, IDLE)
        upgrading = hook is not None and hook.kind == UPGRADE and not hook.returned  # begun again from what ran before
        lives = process is not None and process.exit is None and launch.ended is None and launch.killed is None
        return lives and not ending and not upgrading

    async def _close(self, launch: Launch, attempt: Attempt | None) -> None:
        process = self._found.get(launch.launch_id)
        if process and process.exit is None and launch.killed is None:
            reason = "the coordinator was restarted"
            await self._state.killing(launch.launch_id, reason)
            launch = msgspec.structs.replace(launch, killed=reason)
        if launch.ended:
            exit = Exit(code=launch.ended.code, signal=launch.ended.signal, oom=launch.ended.oom)
        else:
            exit = await self._end(launch)
        if attempt:
            await self._fail(attempt, exit, launch)

    async def _end(self, launch: Launch) -> Exit:
        """See that it has ended, record how, and with what last words."""
        exit = await self._exit(launch)
        log = AgentLog(self._logs, self._directory.output, self._host.clock, await self._logs.taken(launch.launch_id))
        await log.drain()
        reason = describe(exit, launch.killed)
        ended = Ended(
            at=self._host.clock(), reason=reason, code=exit.code, signal=exit.signal, log=await log.last_lines(), oom=exit.oom
        )
        await self._state.end_launch(launch.launch_id, ended)
        if self._found.pop(launch.launch_id, None):
            await self._host.launcher.forget(launch.launch_id)
        return exit

    async def _exit(self, launch: Launch) -> Exit:
        process = self._found.get(launch.launch_id)
        if process is None:
            if launch.pid is not None and launch.start_time is not None:
                await self._host.blocking(end_leftover, launch.launch_id, launch.pid, launch.start_time, launch.uid)
            return Exit()
        if process.exit is None:
            await self._host.launcher.kill(launch.launch_id)
        return await self._host.launcher.wait(launch.launch_id)

    async def _fail(self, attempt: Attempt, exit: Exit, launch: Launch | None) -> None:
        failed = process_ended(exit, launch.killed if launch else None)
        limits = self._host.limits
        most = await self._max_attempts(launch) if launch and failed.outcome in COUNTED else sys.maxsize
        await close_attempt(self._state, attempt, failed, most, limits.interrupted_attempts)

    async def _max_attempts(self, launch: Launch) -> int:
        """As the manifest says of the deployment that ran here; where that is gone, the next attempt will see."""
        if launch.revision is None:
            return sys.maxsize
        try:
            async with asyncio.timeout(MANIFEST_TIMEOUT_S):
                deployment = await self._host.registry.get(launch.revision.deployment_id, self._spec.tenant_id)
                prepared = await self._host.deployments.prepare(deployment)
        except (EnvironmentFailed, PodiumError, OSError):
            return sys.maxsize
        return prepared.manifest.lifecycle.max_attempts


def parking(reason: str | None) -> str:
    """What is stored as the reason of a sleep that `reason` began."""
    return "asked" if reason == ASKED else "idle"
