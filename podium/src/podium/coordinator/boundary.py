"""What is done between two turns beside messages: configuration is told, files are put, and the process gives way to another."""

from podium.coordinator.adoption import RESTART
from podium.coordinator.host import Host
from podium.coordinator.session import Session
from podium.coordinator.start import revision
from podium.coordinator.upgrade import Upgrade
from podium.coordinator.uploads import Uploads
from podium.coordinator.work import UPGRADE
from podium.deployments.cache import Prepared
from podium.protocol.messages import ConfigUpdate
from podium.records.instances import Spec
from podium.state.port import StateStore


class Boundary:
    """Of one instance. `restart_asked` is for the process that runs."""

    def __init__(self, host: Host, spec: Spec, state: StateStore, upgrade: Upgrade, uploads: Uploads) -> None:
        self.restart_asked = False
        self._host = host
        self._spec = spec
        self._state = state
        self._upgrade = upgrade
        self._uploads = uploads
        self._updates = 0

    async def cross(self, session: Session, prepared: Prepared) -> str | None:
        """Do what waits; why the process has to end now, if it has."""
        await self._uploads.carry_out()
        if self.restart_asked:
            return RESTART
        if await self._upgrade.is_due(prepared.deployment_id):
            return UPGRADE
        await self._reconfigure(session, prepared)
        return None

    async def _reconfigure(self, session: Session, prepared: Prepared) -> None:
        """Tell the agent of configuration that has changed; between turns, so that a checkpoint names what its turn ran with."""
        for source, changes in session.config.changes(self._host.configuration.current, self._spec.config):
            self._updates += 1
            frame_id = f"config.{session.launch_id}.{self._host.incarnation}.{self._updates}"
            session.link.send(ConfigUpdate(id=frame_id, changes=changes, source=source))
            await self._state.revise(revision(prepared, session.config))
