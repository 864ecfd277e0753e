"""An agent whose hooks leave traces: each changes the state, so that one that ran twice, or not at all, shows."""

import asyncio
import os

from podium.agent import AgentContext, BaseAgent
from podium.agent.models.delta_state import DeltaState


class Sleeper(BaseAgent):
    """Falls asleep by itself, at the second time it is asked; `hold SECONDS` keeps a turn open, `crash` ends the process."""

    class State(DeltaState):
        woken: int = 0
        asked: int = 0
        slept: int = 0
        words: list = []

    def __init__(self) -> None:
        self.asked = 0

    async def on_init(self, ctx: AgentContext) -> None:
        ctx.state.woken += 1

    async def on_message(self, ctx: AgentContext, message: dict) -> None:
        verb, _, rest = message["text"].partition(" ")
        ctx.state.words.append(f"{verb} {message['attempt']}")
        stream = await ctx.send_message()
        if verb == "hold":
            await stream.stream_token("holding ")
            await asyncio.sleep(float(rest))
        if verb == "crash":
            await stream.stream_token("crashing ")
            await asyncio.sleep(float(rest))
            print("last words", flush=True)
            os._exit(7)
        await stream.stream_token(f"pid {os.getpid()}", final=True)

    async def on_idle_timeout(self, ctx: AgentContext) -> bool:
        ctx.state.asked += 1
        self.asked += 1
        return self.asked > 1

    async def on_shutdown(self, ctx: AgentContext) -> None:
        ctx.state.slept += 1
