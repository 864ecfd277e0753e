"""What an agent is at: an attempt at a message, or one of its hooks. And how it ended."""

import asyncio
from datetime import datetime
from typing import Any, NamedTuple

from podium.coordinator.clock import TurnClock
from podium.protocol.messages import HOOK_IDLE, HOOK_INIT, HOOK_SHUTDOWN, Complete, FromAgent, IdleReply, Ready
from podium.state.port import Attempt, Committed, Outcome, Revision

UPGRADE = "upgrade"
_ENDS: dict[str, type[FromAgent]] = {HOOK_INIT: Ready, HOOK_IDLE: IdleReply, HOOK_SHUTDOWN: Complete}


class Done(NamedTuple):
    """The hook returned; `committed` where that made a turn."""

    frame: FromAgent
    committed: Committed | None


class Failed(NamedTuple):
    """The hook did not return: how it ended, and what to tell."""

    outcome: Outcome
    code: str
    message: str
    traceback: str = ""

    def error(self) -> dict[str, Any]:
        """What `attempt_failed` and `error` say."""
        return {"code": self.code, "message": self.message}


Result = Done | Failed


class Work:
    """One thing the agent was asked to do. `wire_id` is the message id its frames carry."""

    def __init__(self, kind: str, wire_id: str, message_id: str, started_at: datetime, attempt: Attempt | None = None) -> None:
        self.kind = kind
        self.wire_id = wire_id
        self.message_id = message_id
        self.started_at = started_at
        self.attempt = attempt
        self.has_output = False
        self.first_seq = attempt.first_seq if attempt else None
        self.stopping = False
        self.waiting: dict[int, str] = {}
        self.settled: set[int] = set()
        self.revision: Revision | None = None
        self.ended: asyncio.Future[Result] = asyncio.get_running_loop().create_future()
        self.expired: asyncio.Future[Failed] = asyncio.get_running_loop().create_future()
        self._clock: TurnClock | None = None

    @classmethod
    def of_attempt(cls, attempt: Attempt) -> "Work":
        """An attempt at a message."""
        return cls("message", attempt.message_id, attempt.message_id, attempt.started_at, attempt)

    @classmethod
    def of_hook(cls, hook: str, launch_id: str, serial: int, started_at: datetime) -> "Work":
        """A hook of a launch; the turn it may make is named after both."""
        kind = hook.removeprefix("hook:")
        return cls(kind, hook, f"{kind}.{launch_id}.{serial}", started_at)

    @classmethod
    def of_upgrade(cls, upgrade_id: str, revision: Revision, started_at: datetime) -> "Work":
        """The first `on_init` under another deployment: it is the turn of the upgrade, also where it says nothing."""
        work = cls(UPGRADE, HOOK_INIT, upgrade_id, started_at)
        work.revision = revision
        return work

    @property
    def number(self) -> int:
        """The attempt's number; hooks have one attempt."""
        return self.attempt.attempt if self.attempt else 1

    def ends_with(self, frame: FromAgent) -> bool:
        """Whether this frame says that the hook has returned."""
        if not isinstance(frame, _ENDS.get(self.wire_id, Complete)):
            return False
        return not isinstance(frame, Complete) or frame.message_id == self.wire_id

    def settle(self, result: Result) -> None:
        """Say how it ended; the first word counts."""
        if not self.ended.done():
            self.ended.set_result(result)
        if self._clock:
            self._clock.stop()

    def limit(self, limit_s: float | None, had_s: float) -> None:
        """Let it take `limit_s`, of which it `had_s`, without the time it waits for people."""
        message = f"{self.kind} took longer than {limit_s or 0:g} s"
        left_s = None if limit_s is None else limit_s - had_s
        failed = Failed("timeout", "turn_timeout", message)
        self._clock = TurnClock(left_s, lambda: self.expire(failed), asyncio.get_running_loop())
        if self.waiting:
            self._clock.hold()

    def expire(self, failed: Failed) -> None:
        """Its time is up: the process is to be ended; the first word counts."""
        if not self.expired.done():
            self.expired.set_result(failed)

    def waits(self, ordinal: int, request_id: str) -> None:
        """Its question `ordinal` waits for a person."""
        self.waiting[ordinal] = request_id
        if self._clock:
            self._clock.hold()

    def answered(self, ordinal: int) -> None:
        """Its question `ordinal` waits no more."""
        self.waiting.pop(ordinal, None)
        self.settled.add(ordinal)
        if self._clock and not self.waiting and not self.ended.done():
            self._clock.go_on()
