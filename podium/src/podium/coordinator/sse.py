"""Server-sent events that stay open: a comment now and then, so that nobody between takes silence for death."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator

HEARTBEAT_S = 15.0


async def heartbeat(frames: AsyncIterator[bytes], every_s: float = HEARTBEAT_S) -> AsyncGenerator[bytes, None]:
    """`frames`, with a comment first and whenever nothing came for `every_s` seconds."""
    yield b": podium\n\n"
    following: asyncio.Future[bytes] | None = None
    try:
        while True:
            following = following or asyncio.ensure_future(anext(frames))
            await asyncio.wait({following}, timeout=every_s)
            if not following.done():
                yield b": \n\n"
                continue
            done, following = following, None
            try:
                yield done.result()
            except StopAsyncIteration:
                return
    finally:
        if following:
            following.cancel()
            await asyncio.wait({following})
        if isinstance(frames, AsyncGenerator):
            await frames.aclose()
