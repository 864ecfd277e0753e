"""Falling asleep: the agent agrees and ends, files that wait are put, and the inbox is empty in the transaction that says so."""

from podium.coordinator.adoption import ASKED, IDLE, parking
from podium.coordinator.awake import Awake
from podium.coordinator.belongings import Belongings
from podium.coordinator.hooks import Hooks
from podium.coordinator.lifecycle import Trigger
from podium.coordinator.news import News
from podium.coordinator.session import Session
from podium.coordinator.standing import Standing
from podium.coordinator.uploads import Uploads
from podium.crashpoint import crash_point


class Sleep:
    """Of one instance. `asked` where people want it to sleep, whatever the agent says to that."""

    def __init__(
        self, belongings: Belongings, standing: Standing, news: News, hooks: Hooks, awake: Awake, uploads: Uploads
    ) -> None:
        self.asked = False
        self._host = belongings.host
        self._state = belongings.state
        self._workspace = belongings.workspace
        self._standing = standing
        self._news = news
        self._hooks = hooks
        self._awake = awake
        self._uploads = uploads

    async def fall(self, session: Session, *, leaving: bool = False) -> bool:
        """Ask the agent, unless it is leaving already, let it shut down, park.

        Whether the process is over; an entry that came meanwhile is found later.
        """
        asked = self.asked
        self._standing.move(Trigger.IDLE)
        if not asked and not leaving and not await self._agrees(session):
            self._standing.move(Trigger.DEFERRED)
            return False
        self._standing.move(Trigger.AGREED)
        reason = ASKED if asked else IDLE
        await self._hooks.shut_down(session, reason)
        await session.kill("asleep")
        parked = await self._park(reason)
        self.asked = False
        self._standing.move(Trigger.PARKED if parked else Trigger.START)
        return True

    async def _agrees(self, session: Session) -> bool:
        reply = await self._hooks.ask_idle(session)
        if reply is None:
            return True
        if not reply.idle:
            self._awake.deferred(reply.reason)
        return reply.idle and not self._news.any.is_set()

    async def _park(self, reason: str) -> bool:
        """Whether it sleeps: not where an entry has come."""
        await self._host.blocking(self._workspace.unmount)
        self._news.entry.clear()
        await self._uploads.carry_out()
        crash_point("parking")
        parked = await self._state.park(parking(reason))
        crash_point("parked")
        return parked
