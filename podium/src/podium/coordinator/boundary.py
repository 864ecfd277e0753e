"""What is done between two turns beside messages: configuration is told, files are put, and the process gives way to another."""

from datetime import UTC, datetime

from podium.coordinator.adoption import RESTART
from podium.coordinator.belongings import Belongings
from podium.coordinator.session import Session
from podium.coordinator.start import revision
from podium.coordinator.upgrade import Upgrade
from podium.coordinator.uploads import KIND as UPLOAD
from podium.coordinator.uploads import Uploads
from podium.coordinator.work import UPGRADE
from podium.deployments.cache import Prepared
from podium.protocol.messages import ConfigUpdate
from podium.state.port import Entry


class Boundary:
    """Of one instance. `restart_asked` is for the process that runs."""

    def __init__(self, belongings: Belongings, upgrade: Upgrade, uploads: Uploads) -> None:
        self.restart_asked = False
        self._host = belongings.host
        self._spec = belongings.spec
        self._state = belongings.state
        self._upgrade = upgrade
        self._uploads = uploads
        self._started_at = datetime.min.replace(tzinfo=UTC)
        self._updates = 0

    async def begin(self) -> None:
        """A process is about to be started: what was asked of an earlier one is done by that, and files that wait are put."""
        self.restart_asked, self._started_at = False, self._host.clock()
        await self._uploads.carry_out()

    def note(self, entry: Entry) -> None:
        """An entry was met in the inbox: if it asks for something beside a message, that is done at the next crossing."""
        if entry.kind == RESTART and entry.accepted_at > self._started_at:
            self.restart_asked = True
        if entry.kind == UPLOAD:
            self._uploads.look_again()

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
