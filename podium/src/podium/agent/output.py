"""Where an agent's output and state changes go: under the name of the message or hook that is running."""

import asyncio
from typing import Any

from podium.agent.connection import Connection
from podium.agent.models.delta_state import DeltaState, take_deltas
from podium.protocol.framing import FrameError
from podium.protocol.messages import StateDelta, StreamUpdate, ToolRequest

YIELD_AFTER_S = 0.002


class Scope:
    """One run of a hook that may send output. `attempt` is 0 for hooks that are no turn of a message."""

    def __init__(self, message_id: str, attempt: int = 0) -> None:
        self.message_id = message_id
        self.attempt = attempt
        self.cancelled = False
        self.usage: dict[str, int | float] = {}
        self.steers: list[Any] = []
        self._counts: dict[str, int] = {}

    def count(self, kind: str) -> int:
        """0, 1, 2 … for each `kind`: the same again when the message runs again."""
        number = self._counts.get(kind, 0)
        self._counts[kind] = number + 1
        return number


class Output:
    """Sends elements and deltas in the order in which they came about. `scope` is what runs now."""

    def __init__(self, connection: Connection, state: DeltaState) -> None:
        self.scope: Scope | None = None
        self._connection = connection
        self._state = state
        self._loop = asyncio.get_running_loop()
        self._yielded_at = 0.0

    def require_scope(self) -> Scope:
        """What runs now; RuntimeError where nothing does."""
        if self.scope is None:
            raise RuntimeError("there is nothing to answer: output belongs to a hook that is running, such as on_message")
        return self.scope

    async def send(self, scope: Scope, element: dict[str, Any]) -> None:
        """Send one element, after the state changes that came before it; waits while too much is unacknowledged."""
        await self._room(scope)
        self._connection.send(StreamUpdate(n=0, message_id=scope.message_id, element=element))
        await self._yield()

    async def request(self, scope: Scope, request_id: str, kind: str, content: dict[str, Any]) -> None:
        """Send a request the same way."""
        await self._room(scope)
        self._connection.send(ToolRequest(n=0, request_id=request_id, message_id=scope.message_id, kind=kind, content=content))

    def withdraw(self, scope: Scope, request_id: str, kind: str) -> None:
        """Take a request back; nothing happens where its turn has ended."""
        if scope is self.scope:
            self._connection.send(ToolRequest(n=0, request_id=request_id, message_id=scope.message_id, kind=kind, content={}))

    async def _room(self, scope: Scope) -> None:
        await self._connection.room()
        if scope is not self.scope:
            raise RuntimeError(f"the turn of message {scope.message_id} has ended: it can have no more output")
        self.flush(scope)

    def flush(self, scope: Scope, *, lazily: bool = False) -> None:
        """Send the state changes so far; ValueError where one does not fit into a frame."""
        deltas = take_deltas(self._state, lazily=lazily)
        if deltas:
            self._send_deltas(scope.message_id, deltas)

    def _send_deltas(self, message_id: str, deltas: list[dict[str, Any]]) -> None:
        try:
            self._connection.send(StateDelta(n=0, message_id=message_id, deltas=deltas))
        except FrameError as error:
            if len(deltas) == 1:
                path = deltas[0]["path"] or "the whole document"
                raise ValueError(f"the state at {path} is too large: {error}. Keep large things in files or ctx.sql") from None
            self._send_deltas(message_id, deltas[: len(deltas) // 2])
            self._send_deltas(message_id, deltas[len(deltas) // 2 :])

    async def _yield(self) -> None:
        # output that is computed without ever waiting must still leave while it is computed
        now = self._loop.time()
        if now - self._yielded_at > YIELD_AFTER_S:
            await asyncio.sleep(0)
            self._yielded_at = self._loop.time()
