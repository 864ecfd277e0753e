"""The change of an instance to the deployment that its record names.

Whether it has happened is a question to the state: what runs is its newest revision, and an upgrade that has failed is a turn of
its id. So a coordinator that dies anywhere on the way begins again or finds it done. The new deployment is prepared beside the
process that runs; between two turns that one ends, and the first `on_init` under the new one is the turn of the upgrade. Where
the new one does not get ready, the one before is started again.
"""

import asyncio
from collections.abc import Callable

from podium import log
from podium.coordinator.belongings import Belongings
from podium.coordinator.start import StartFailed, Version, prepare
from podium.protocol import api

_logger = log.get("upgrade")


class Upgrade:
    """Of one instance. `changed` is called when something of it has changed."""

    def __init__(self, belongings: Belongings, changed: Callable[[], None]) -> None:
        self._host = belongings.host
        self._spec = belongings.spec
        self._state = belongings.state
        self._stream = belongings.stream
        self._changed = changed
        self._settled = ""
        self._preparing: tuple[str, asyncio.Task[str | None]] | None = None

    async def wanted(self) -> api.Upgrade | None:
        """The change that the record asks for and that has not happened, also one that has failed; None where there is none."""
        current = (await self._state.overview()).revision
        if current is None or current.deployment_id == self._spec.deployment_id:
            return None
        ended = await self._state.turn(self._spec.upgrade_id)
        if ended is None:
            return api.Upgrade(deployment_id=self._spec.deployment_id, status="pending")
        reason = (ended.error or {}).get("message", "")
        return api.Upgrade(deployment_id=self._spec.deployment_id, status="failed", reason=reason)

    async def version(self) -> Version:
        """What the next start takes."""
        wanted = await self.wanted()
        if wanted is None:
            return Version(self._spec.deployment_id)
        if wanted.status == "pending":
            return Version(self._spec.deployment_id, self._spec.upgrade_id)
        current = (await self._state.overview()).revision
        assert current
        return Version(current.deployment_id)

    async def is_due(self, running: str) -> bool:
        """Whether the process that runs `running` has to give way now. Prepares what comes after it, and never waits for that."""
        if self._spec.deployment_id == running or self._settled == self._spec.upgrade_id:
            return False
        upgrade_id = self._spec.upgrade_id
        if self._preparing is None or self._preparing[0] != upgrade_id:
            await self._begin(upgrade_id)
            return False
        task = self._preparing[1]
        if not task.done():
            return False
        if (reason := task.result()) is None:
            return True
        await self.fail(Version(self._spec.deployment_id, upgrade_id), reason)
        return False

    async def fail(self, version: Version, reason: str) -> None:
        """It cannot be done: what ran before goes on."""
        assert version.upgrade_id is not None
        _logger.warning("an upgrade failed", instance_id=self._spec.instance_id, to=version.deployment_id, error=reason)
        events = await self._state.fail_upgrade(version.upgrade_id, version.deployment_id, reason, self._host.clock())
        self._stream.publish(events)
        self._settled = version.upgrade_id
        self._changed()

    def close(self) -> None:
        """Prepare nothing any more."""
        if self._preparing:
            self._preparing[1].cancel()

    async def _begin(self, upgrade_id: str) -> None:
        wanted = await self.wanted()
        if wanted is None or wanted.status == "failed":
            self._settled = upgrade_id
            return
        self.close()
        task = asyncio.create_task(self._prepare(wanted.deployment_id))
        task.add_done_callback(lambda _: self._changed())
        self._preparing = upgrade_id, task

    async def _prepare(self, deployment_id: str) -> str | None:
        """Why it cannot be prepared."""
        try:
            await prepare(self._host, deployment_id, self._spec.tenant_id)
        except StartFailed as failed:
            return str(failed)
        return None
