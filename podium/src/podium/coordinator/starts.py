"""The processes of one instance, one after the other: new ones, taken over ones, and what ran before a failed upgrade."""

import sys

from podium.coordinator.adoption import Adoptable
from podium.coordinator.belongings import Belongings
from podium.coordinator.boundary import Boundary
from podium.coordinator.lifecycle import Trigger
from podium.coordinator.session import Session
from podium.coordinator.standing import Standing
from podium.coordinator.start import Start, StartFailed
from podium.coordinator.turn import close_attempt
from podium.coordinator.upgrade import Upgrade
from podium.coordinator.work import Failed
from podium.deployments.cache import Prepared


class Starts:
    """Of one instance. `session` is its newest process; `count` says how often one got ready here."""

    def __init__(self, belongings: Belongings, standing: Standing, boundary: Boundary, upgrade: Upgrade) -> None:
        self.session: Session | None = None
        self.count = 0
        self._belongings = belongings
        self._standing = standing
        self._boundary = boundary
        self._upgrade = upgrade
        self._adopted: tuple[Start, Adoptable] | None = None

    async def adopt(self, found: Adoptable) -> None:
        """Take over a process of an earlier coordinator, which `next` goes on with. OSError where that cannot be."""
        start = Start(self._belongings)
        self.session = await start.adopt(found)
        self._adopted = start, found

    async def next(self) -> tuple[Session, Prepared, Adoptable | None]:
        """A process that is ready, its deployment, and as what it was found if it was taken over; StartFailed."""
        if self._adopted:
            (start, found), self._adopted = self._adopted, None
            return *await self._resume(start, found), found
        return *await self._start(), None

    async def kill(self, reason: str) -> None:
        """End the process, if there is one."""
        if self.session:
            await self.session.kill(reason)
            self.session = None

    async def _start(self) -> tuple[Session, Prepared]:
        await self.kill("replaced")
        await self._boundary.begin()
        version, metrics = await self._upgrade.version(), self._belongings.host.metrics
        try:
            with metrics.starts.labels("failed").count_exceptions(), metrics.start_seconds.time():
                self.session, prepared = await Start(self._belongings).run(version, self._standing.move)
        except OSError as error:
            raise StartFailed(f"this host cannot start it: {error}", ours=True) from error
        except StartFailed as failed:
            if version.upgrade_id is None or failed.ours:
                raise
            await self._upgrade.fail(version, str(failed))
            self._standing.move(Trigger.FELL_BACK)
            return await self._start()
        self.count += 1
        metrics.starts.labels("ready").inc()
        return self.session, prepared

    async def _resume(self, start: Start, found: Adoptable) -> tuple[Session, Prepared]:
        assert self.session is not None
        try:
            return self.session, await start.resume(self.session, found, self._standing.move)
        except StartFailed as error:
            if found.attempt:
                await self._interrupt(found, error)
            raise

    async def _interrupt(self, found: Adoptable, error: StartFailed) -> None:
        """Close the attempt that it was at."""
        assert found.attempt is not None
        failed = Failed("interrupted", "interrupted", f"the agent could not be taken over: {error}")
        limit = self._belongings.host.limits.interrupted_attempts
        events = await close_attempt(self._belongings.state, found.attempt, failed, sys.maxsize, limit)
        self._belongings.stream.publish(events)
