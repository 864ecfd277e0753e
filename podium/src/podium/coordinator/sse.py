"""Server-sent events that stay open: a comment now and then, so that nobody between takes silence for death."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator

import msgspec

from podium.protocol.api import LogRecord

HEARTBEAT_S = 15.0
_encoder = msgspec.json.Encoder()


def record_frame(record: LogRecord) -> bytes:
    """A log record as one server-sent event, whose `id` is the record's number."""
    return b"id: %d\nevent: log\ndata: %s\n\n" % (record.id, _encoder.encode(record))


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
