"""Server-sent events that stay open: a comment now and then, so that nobody between takes silence for death."""

import asyncio
from collections.abc import AsyncGenerator

import msgspec

from podium.protocol.api import LogRecord
from podium.protocol.pieces import Piece

HEARTBEAT_S = 15.0
_encoder = msgspec.json.Encoder()


def record_frame(record: LogRecord) -> bytes:
    """A log record as one server-sent event, whose `id` is the record's number."""
    return b"id: %d\nevent: log\ndata: %s\n\n" % (record.id, _encoder.encode(record))


async def heartbeat(
    pieces: AsyncGenerator[Piece, None], beat: bytes, every_s: float = HEARTBEAT_S
) -> AsyncGenerator[Piece, None]:
    """`pieces`, with `beat` whenever nothing came for `every_s` seconds."""
    following: asyncio.Future[Piece] | None = None
    try:
        while True:
            following = following or asyncio.ensure_future(anext(pieces))
            await asyncio.wait({following}, timeout=every_s)
            if not following.done():
                yield Piece(beat)
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
        await pieces.aclose()
