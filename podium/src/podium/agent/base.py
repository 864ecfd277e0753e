"""The base class of every agent: hooks to override."""

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any, ClassVar

from podium.agent.models.delta_state import DeltaState

if TYPE_CHECKING:
    from podium.agent.context import AgentContext

Handler = Callable[["AgentContext", Any], Awaitable[None] | None]
EVENTS = ("steer",)


class BaseAgent:
    """Subclass it, name the subclass in `podium.toml`, override what you need. One object lives as long as the process.

    A hook that raises ends the process and undoes what it did to `ctx.state` and `ctx.sql`; a message is then tried again in a
    new process. Hooks run one at a time; only `run` and event handlers run beside them.
    """

    State: ClassVar[type[DeltaState]] = DeltaState

    _handlers: dict[str, Handler]

    async def on_init(self, ctx: "AgentContext") -> None:
        """The process has started: the first time, after a sleep, or after a failure."""

    async def on_message(self, ctx: "AgentContext", message: dict[str, Any]) -> None:
        """Answer one message: `text`, `role`, `attachments`, `messages` (what was said before, where the client sends it), `id`,
        `attempt` (1, 2, …), `origin` (tenant_id, role, channel).

        What it changes and sends becomes final together, when it returns. The same message comes again after a failure, so give
        `message["id"]` to whatever you call outside as its idempotency key.
        """

    async def on_config_change(self, ctx: "AgentContext", changes: dict[str, Any]) -> None:
        """`ctx.config` has new values; `changes` are those, None where one was removed. Stored with the next message."""

    async def on_shutdown(self, ctx: "AgentContext") -> None:
        """The process will end: sleep, restart or upgrade. Not called when it is killed."""

    async def on_idle_timeout(self, ctx: "AgentContext") -> bool:
        """Nothing has happened for a while. Return False to stay awake until the next time this is asked."""
        return True

    async def run(self, ctx: "AgentContext") -> None:
        """Work beside the messages, from `on_init` until the process ends. What it changes is stored with the next message."""

    def on(self, event: str, handler: Handler) -> None:
        """Call `handler(ctx, content)` for each `event`; the only one is `steer`, guidance that arrives during a turn. Without a
        handler it waits in `ctx.steers`."""
        if event not in EVENTS:
            raise ValueError(f"there is no event {event!r}; there is {', '.join(EVENTS)}")
        self.__dict__.setdefault("_handlers", {})[event] = handler


def handler_of(agent: BaseAgent, event: str) -> Handler | None:
    """The handler that `agent` has for `event`."""
    return agent.__dict__.get("_handlers", {}).get(event)  # type: ignore[no-any-return]
