"""Calling the author's code, and what it means when that does not return."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

from podium.agent.output import Scope
from podium.protocol.messages import AgentFailure

OUT_OF_MEMORY = "out_of_memory"
MAX_ERROR_CHARS = 4096
MAX_TRACEBACK_CHARS = 32 * 1024


class HookFailed(Exception):
    """The agent's code raised `__cause__`; the process has to end."""

    def __init__(self, code: str, message_id: str | None) -> None:
        super().__init__(code)
        self.code = code
        self.message_id = message_id

    def frame(self) -> AgentFailure:
        """What the platform is told."""
        error = self.__cause__ or self
        out_of_memory = isinstance(error, MemoryError)
        return AgentFailure(
            n=0,
            code=OUT_OF_MEMORY if out_of_memory else self.code,
            message=_sendable(f"{type(error).__name__}: {error}"[:MAX_ERROR_CHARS]),
            traceback=_sendable(_trace(error)[-MAX_TRACEBACK_CHARS:]),
            message_id=self.message_id,
        )


async def finished(hook: Callable[..., Any], *args: Any) -> Any:
    """Call the author's code, async or not. An exit it asks for must not tear down the loop, so it becomes an ordinary error."""
    try:
        result = hook(*args)
        return await result if isinstance(result, Awaitable) else result
    except (SystemExit, KeyboardInterrupt) as error:
        raise RuntimeError(f"the agent's code asked to exit: {error!r}") from error


def check(task: asyncio.Task[Any], scope: Scope | None) -> None:
    """HookFailed if the ended `task` raised, or was cancelled without anybody having asked to stop the turn."""
    message_id = scope.message_id if scope else None
    if task.cancelled():
        if not (scope and scope.cancelled):
            raise HookFailed("agent_error", message_id) from RuntimeError("the hook was cancelled by the agent's own code")
    elif error := task.exception():
        raise HookFailed("agent_error", message_id) from error


def _trace(error: BaseException) -> str:
    import traceback

    try:
        return "".join(traceback.format_exception(error))
    except MemoryError:  # the agent still holds what it has
        return ""


def _sendable(text: str) -> str:
    return text.encode("utf-8", "replace").decode()
