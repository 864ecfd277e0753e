"""The hooks by which an agent is asked whether it may sleep, and told that it ends."""

import asyncio

from podium.coordinator.belongings import Belongings
from podium.coordinator.session import Session
from podium.coordinator.work import Done, Failed, Result, Work
from podium.protocol.messages import HOOK_IDLE, HOOK_SHUTDOWN, IdleCheck, IdleReply, Shutdown
from podium.state.port import Hook


class Hooks:
    """Of one instance. `count` is how many its process has behind it: a new one is named after it."""

    def __init__(self, belongings: Belongings) -> None:
        self.count = 0
        self._state = belongings.state
        self._clock = belongings.host.clock
        self._limits = belongings.host.limits

    async def ask_idle(self, session: Session) -> IdleReply | None:
        """Whether the agent may sleep; None where it does not answer."""
        frame = IdleCheck(id=f"idle.{session.launch_id}.{self.count}")
        result = await self._run(session, HOOK_IDLE, frame, self._limits.idle_check_timeout_s)
        if isinstance(result, Failed):
            return None
        assert isinstance(result.frame, IdleReply)
        return result.frame

    async def shut_down(self, session: Session, reason: str) -> None:
        """Let the agent say goodbye and end by itself, while there is time."""
        limit_s = self._limits.shutdown_timeout_s
        await self._run(session, HOOK_SHUTDOWN, Shutdown(id=f"shutdown.{session.launch_id}", reason=reason), limit_s)
        await asyncio.wait({session.over}, timeout=limit_s)

    async def _run(self, session: Session, hook: str, frame: IdleCheck | Shutdown, timeout_s: float) -> Result:
        """Run a hook of the agent. One that fails leaves nothing behind, and does not keep the agent from sleeping."""
        self.count += 1
        work = Work.of_hook(hook, session.launch_id, self.count, self._clock())
        reason = frame.reason if isinstance(frame, Shutdown) else ""
        begun = Hook(kind=work.kind, serial=self.count, message_id=work.message_id, reason=reason)
        await self._state.begin_hook(session.launch_id, begun)
        result = await session.perform(work, frame, timeout_s)
        if not isinstance(result, Done):
            await self._state.drop_pending(work.message_id)
        return result
