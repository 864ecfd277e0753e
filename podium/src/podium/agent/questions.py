"""Questions to people: asked over the socket, answered whenever somebody does."""

import asyncio
from typing import Any

from podium.agent.output import Output
from podium.protocol.messages import ASK, PERMISSION, WITHDRAW, Answer, ToolResponse


class Decision:
    """What was said to a permission request; true where it was granted. `reason` is what the person added, if anything."""

    def __init__(self, content: Any) -> None:
        about = content if isinstance(content, dict) else {"approved": content}
        self.approved = about.get("approved") is True
        self.reason = str(about.get("reason", ""))

    def __bool__(self) -> bool:
        return self.approved


class Questions:
    """The questions of the turn that runs."""

    def __init__(self, output: Output) -> None:
        self._output = output
        self._open: dict[str, asyncio.Future[Any]] = {}

    async def ask(self, question: str, about: dict[str, Any]) -> Any:
        """What somebody answers; RuntimeError where it cannot be asked."""
        return await self._asked(ASK, {"question": question, **about})

    async def request(self, action: str, about: dict[str, Any]) -> Decision:
        """Whether somebody allows it; RuntimeError where it cannot be asked."""
        return Decision(await self._asked(PERMISSION, {"action": action, **about}))

    def take(self, frame: Answer | ToolResponse) -> None:
        """An answer has come, or the platform's word that the question cannot be put."""
        future = self._open.get(frame.request_id)
        if future is None or future.done():
            return
        if isinstance(frame, Answer):
            future.set_result(frame.content)
        else:
            future.set_exception(RuntimeError(f"the question cannot be put: {frame.content}"))

    def cancel(self) -> None:
        """The turn is being stopped: nobody will answer any more."""
        for future in self._open.values():
            future.cancel()

    async def _asked(self, kind: str, content: dict[str, Any]) -> Any:
        scope = self._output.require_scope()
        if scope.attempt == 0:
            raise RuntimeError("questions belong to on_message: hooks of the agent's life do not wait for people")
        request_id = f"{scope.message_id}.{scope.count('question') + 1}"
        future = self._open[request_id] = asyncio.get_running_loop().create_future()
        try:
            await self._output.request(scope, request_id, kind, content)
            return await future
        except asyncio.CancelledError:
            self._output.withdraw(scope, request_id, WITHDRAW)
            raise
        finally:
            del self._open[request_id]
