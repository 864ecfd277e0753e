"""What a hook gets as `ctx`: the agent's identity, state, configuration and files, and the ways to send output."""

from typing import TYPE_CHECKING, Any, Self

from podium.agent.elements import Elements
from podium.agent.log import Log
from podium.agent.output import Output
from podium.agent.questions import Decision, Questions
from podium.protocol.messages import Init

if TYPE_CHECKING:
    from pathlib import Path

    from podium.agent.database import TurnConnection


class KeepAlive:
    """While it is held the agent is not put to sleep. Release it, or use it in a `with`."""

    def __init__(self, held: "dict[KeepAlive, str]", reason: str) -> None:
        self._held = held
        held[self] = reason

    def release(self) -> None:
        """Allow sleep again; idempotent."""
        self._held.pop(self, None)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.release()


class AgentContext(Elements):
    """One object for the life of the process. It belongs to the event loop's thread; only `log` is for any thread."""

    def __init__(self, init: Init, state: Any, output: Output, log: Log) -> None:
        self.agent_id = init.agent_id
        self.agent_type = init.agent_type
        self.state = state
        self.config = init.config
        self.secrets = init.secrets
        self.log = log
        self._output = output
        self._workspace = init.workspace
        self._sql: TurnConnection | None = None
        self._keep_alives: dict[KeepAlive, str] = {}
        self._questions = Questions(output)

    @property
    def workspace(self) -> "Path":
        """The directory whose files belong to the agent; also the current directory and AGENT_WORKSPACE."""
        from pathlib import Path

        return Path(self._workspace)

    @property
    def sql(self) -> "TurnConnection":
        """A `sqlite3.Connection` to `.podium/agent.db` in the workspace. All changes of a hook are one transaction that is
        committed when it returns; take it from here in each hook, since it is closed then."""
        if self._sql is None:
            from podium.agent.database import open_database

            self._sql = open_database(self.workspace / ".podium" / "agent.db")
        return self._sql

    @property
    def message_id(self) -> str | None:
        """The message being processed, None outside a hook: the idempotency key for effects elsewhere."""
        return self._output.scope.message_id if self._output.scope else None

    @property
    def attempt(self) -> int:
        """Which run of this message this is, from 1; 0 in hooks without one."""
        return self._output.scope.attempt if self._output.scope else 0

    @property
    def cancelled(self) -> bool:
        """Whether somebody asked to stop this turn. Return soon: 0.4 s later the hook is cancelled where it awaits, and an agent
        that goes on regardless is killed, which undoes the turn."""
        return self._output.scope is not None and self._output.scope.cancelled

    @property
    def steers(self) -> list[Any]:
        """Guidance that came during this turn and that no `steer` handler took, oldest first; yours to empty. When a message runs
        again, so does the guidance it had."""
        return self._output.scope.steers if self._output.scope else []

    async def ask(self, question: str, **about: Any) -> Any:
        """Ask the people who read along and return what one of them answers, however long it takes: the time a turn may take
        stands still meanwhile. `about` is shown with the question, such as `options=["left", "right"]`.

        When the message runs again, the same questions in the same order get the answers they had.
        """
        return await self._questions.ask(question, about)

    async def request_permission(self, action: str, **about: Any) -> Decision:
        """Ask whether `action` may be done; the same way as `ask`. The decision is true where it was granted."""
        return await self._questions.request(action, about)

    def get_config(self, path: str, default: Any = None) -> Any:
        """The configuration value at `path`, such as `model.temperature`; `default` where there is none."""
        value: Any = self.config
        for key in path.split("."):
            if not isinstance(value, dict) or key not in value:
                return default
            value = value[key]
        return value

    def keep_alive(self, reason: str = "the agent asked to stay awake") -> KeepAlive:
        """Stay awake until the returned object is released."""
        return KeepAlive(self._keep_alives, reason)

    @property
    def _awake_for(self) -> str:
        """The reason of a keep-alive that is held, empty where there is none."""
        return next(iter(self._keep_alives.values()), "")

    def _close_sql(self, *, commit: bool) -> None:
        """Commit or undo what was done with `sql` and close it; sqlite3.Error where the commit fails, which undoes it."""
        connection, self._sql = self._sql, None
        if connection is None:
            return
        try:
            if commit:
                connection.finish()
        finally:
            connection.close()
