"""What an agent can send besides text: each method is one element of the stream."""

import re
from typing import Any, Literal

from podium.agent.output import Output, Scope

_EVENT_NAME = re.compile(r"[a-z][a-z0-9_]{0,63}", re.ASCII)


class MessageStream:
    """One message of the agent, sent piece by piece."""

    def __init__(self, output: Output, scope: Scope, role: str) -> None:
        self._output = output
        self._scope = scope
        self._about: dict[str, Any] = {"part": scope.count("part")} | ({} if role == "agent" else {"role": role})
        self._final = False

    async def stream_token(self, text: str, final: bool = False) -> None:
        """Send the next piece of text; after `final` there can be none. Waits while readers of the platform are behind."""
        if self._final:
            raise RuntimeError("this message is final; send_message() begins another one")
        self._final = final
        if text or final:
            element = {"type": "text_final" if final else "text_delta", "text": text}
            await self._output.send(self._scope, element | self._about)


class Elements:
    """The senders of `AgentContext`. Values must be JSON. RuntimeError where no hook is running."""

    _output: Output

    async def send_message(self, text: str = "", role: str = "agent") -> MessageStream:
        """Begin a message of the agent, with `text` if there is some already."""
        stream = MessageStream(self._output, self._output.require_scope(), role)
        await stream.stream_token(text)
        return stream

    async def thinking(self, text: str = "", phase: Literal["start", "progress", "complete"] = "progress") -> None:
        """Show reasoning that is not part of the answer."""
        await self._element("thinking", phase=phase, text=text)

    async def tool_call(
        self, name: str, arguments: Any = None, *, call_id: str = "", phase: Literal["start", "delta", "complete"] = "complete"
    ) -> str:
        """Show that a tool is called; return the call's id for `tool_result`. With `start` and `delta` the arguments come piece
        by piece, under the id that `start` returned."""
        call_id = call_id or f"call_{self._output.require_scope().count('call')}"
        await self._element("tool_call", phase=phase, tool_call_id=call_id, tool_name=name, arguments=arguments)
        return call_id

    async def tool_result(self, call_id: str, result: Any, *, error: bool = False) -> None:
        """Show what a tool call returned, or how it failed."""
        await self._element("tool_result", phase="error" if error else "result", tool_call_id=call_id, result=result)

    async def code_block(self, code: str, language: str = "") -> None:
        """Show code."""
        await self._element("code_block", code=code, language=language)

    async def file_change(self, path: str, change: Literal["created", "modified", "deleted"] = "modified") -> None:
        """Say that a file of the workspace has changed; `path` is relative to it."""
        await self._element("file_change", path=path, change=change)

    async def terminal(self, text: str, *, terminal_id: str = "main", exit_code: int | None = None) -> None:
        """Show what a command prints; with `exit_code`, that it has ended."""
        ended: dict[str, Any] = {"phase": "stream"} if exit_code is None else {"phase": "complete", "exit_code": exit_code}
        await self._element("terminal_output", terminal_id=terminal_id, text=text, **ended)

    async def plan(self, steps: list[str], *, revised: bool = False) -> None:
        """Show what is going to be done, or how that has changed."""
        await self._element("plan", phase="revised" if revised else "created", steps=steps)

    async def plan_step(self, step: int, *, completed: bool = False) -> None:
        """Say that a step of the plan, counted from 0, has begun or is done."""
        await self._element("plan", phase="step_completed" if completed else "step_started", step=step)

    async def event(self, name: str, content: dict[str, Any] | None = None) -> None:
        """Send an event of your own; clients see it as `custom_{name}`."""
        if not _EVENT_NAME.fullmatch(name) or not {"name", "type"}.isdisjoint(content or {}):
            raise ValueError(f"event {name!r}: a name is lower-case letters, digits and _, and content has no `name` or `type`")
        await self._element("custom", name=name, **(content or {}))

    async def report_usage(self, **amounts: int | float) -> None:
        """Say what was used, such as `input_tokens=120`; the sum over the turn is part of its `complete`."""
        usage = self._output.require_scope().usage
        await self._element("usage", **amounts)
        for kind, amount in amounts.items():
            usage[kind] = usage.get(kind, 0) + amount

    async def _element(self, kind: str, /, **content: Any) -> None:
        await self._output.send(self._output.require_scope(), content | {"type": kind})
