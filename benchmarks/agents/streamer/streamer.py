"""Streams as fast as it can, or at a steady pace with the time in each token."""

import asyncio
import time

from podium.agent import AgentContext, BaseAgent


class Streamer(BaseAgent):
    """`flood COUNT` or `paced COUNT PER_SECOND`."""

    async def on_message(self, ctx: AgentContext, message: dict) -> None:
        verb, *numbers = message["text"].split()
        stream = await ctx.send_message()
        await getattr(self, verb)(stream, *map(int, numbers))

    async def flood(self, stream, count: int) -> None:
        """Tokens of about the size a model's have."""
        for _ in range(count):
            await stream.stream_token("token ")

    async def paced(self, stream, count: int, per_second: int) -> None:
        """The monotonic time, which all processes of a machine share, in nanoseconds."""
        due = time.monotonic()
        for _ in range(count):
            due += 1 / per_second
            await asyncio.sleep(max(0.0, due - time.monotonic()))
            await stream.stream_token(str(time.monotonic_ns()))
