"""What an agent is at: an attempt at a message, or one of its hooks. And how it ended."""

import asyncio
from datetime import datetime
from typing import Any, NamedTuple

from podium.protocol.messages import HOOK_IDLE, HOOK_INIT, HOOK_SHUTDOWN, Complete, FromAgent, IdleReply, Ready
from podium.state.port import Attempt, Committed, Outcome

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
        self.ended: asyncio.Future[Result] = asyncio.get_running_loop().create_future()

    @classmethod
    def of_attempt(cls, attempt: Attempt) -> "Work":
        """An attempt at a message."""
        return cls("message", attempt.message_id, attempt.message_id, attempt.started_at, attempt)

    @classmethod
    def of_hook(cls, hook: str, launch_id: str, serial: int, started_at: datetime) -> "Work":
        """A hook of a launch; the turn it may make is named after both."""
        kind = hook.removeprefix("hook:")
        return cls(kind, hook, f"{kind}.{launch_id}.{serial}", started_at)

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
