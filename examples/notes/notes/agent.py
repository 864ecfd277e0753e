"""Keeps notes: `add TEXT`, `list`, `find WORD`, `done N`, `export`."""

import asyncio
import re
from typing import Any

from notes import store
from podium.agent import AgentContext, BaseAgent
from podium.agent.models.delta_state import DeltaState

HELP = "I keep notes. Say: add TEXT, list, find WORD, done N, or export."


class NotesAgent(BaseAgent):
    """Each method named after a command returns the answer to it."""

    class State(DeltaState):
        added: int = 0
        finished: int = 0
        last: str = ""

    async def on_message(self, ctx: AgentContext, message: dict[str, Any]) -> None:
        command, _, rest = message["text"].strip().partition(" ")
        methods = {"add": self.add, "list": self.list, "find": self.find, "done": self.done, "export": self.export}
        answer = methods.get(command.lower(), self.help)(ctx, rest.strip())
        ctx.state.last = command.lower()
        stream = await ctx.send_message()
        for token in re.findall(r"\S+\s*", answer):
            await stream.stream_token(token)
            await asyncio.sleep(ctx.get_config("pace_s", 0))
        await stream.stream_token("", final=True)

    def add(self, ctx: AgentContext, text: str) -> str:
        if not text:
            return "What shall I note? Say: add TEXT"
        number = store.add(ctx.sql, text)
        ctx.state.added += 1
        return f"Noted as number {number}."

    def list(self, ctx: AgentContext, _: str) -> str:
        return store.as_text(store.all_notes(ctx.sql)) or "There are no notes."

    def find(self, ctx: AgentContext, word: str) -> str:
        return store.as_text(store.containing(ctx.sql, word)) or f"No note has “{word}”."

    def done(self, ctx: AgentContext, number: str) -> str:
        if not number.isdecimal() or not store.finish(ctx.sql, int(number)):
            return f"There is no open note {number}."
        ctx.state.finished += 1
        return f"Done: {number}. {ctx.state.finished} of {ctx.state.added} notes are finished."

    def export(self, ctx: AgentContext, _: str) -> str:
        path = ctx.workspace / "notes.md"
        path.write_text(f"# {ctx.get_config('title', 'Notes')}\n\n{store.as_markdown(store.all_notes(ctx.sql))}", "utf-8")
        ctx.log.info("exported %d bytes to %s", path.stat().st_size, path.name)
        return "Everything is in notes.md now."

    def help(self, ctx: AgentContext, _: str) -> str:
        return HELP
