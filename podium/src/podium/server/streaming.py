"""An answer that is a stream of pieces: as the client gets them, or packed for a gateway that keeps the client's stream open.

Each piece is one `send`, which waits while the reader's buffer is full. Unlike Starlette's own, a stream whose reader leaves is
closed before the answer is over: what it holds is given back.
"""

import asyncio
from collections.abc import AsyncGenerator

from starlette.responses import StreamingResponse
from starlette.types import Receive, Scope, Send

from podium.protocol.forms import MEDIA_TYPES, Carrier
from podium.protocol.pieces import MEDIA_TYPE, Piece, pack


class PieceResponse(StreamingResponse):
    """Sends `pieces` until they end or the reader leaves; no proxy buffers them."""

    def __init__(self, pieces: AsyncGenerator[Piece, None], carrier: Carrier, *, packed: bool) -> None:
        headers = {"cache-control": "no-store", "x-accel-buffering": "no"}
        super().__init__((), media_type=MEDIA_TYPE if packed else MEDIA_TYPES[carrier], headers=headers)
        self._pieces = pieces
        self._packed = packed

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Write the answer."""
        sending, leaving = asyncio.create_task(self._send(send)), asyncio.create_task(_left(receive))
        try:
            await asyncio.wait({sending, leaving}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in (sending, leaving):
                task.cancel()
            await asyncio.wait({sending, leaving})
        if not sending.cancelled():
            sending.result()

    async def _send(self, send: Send) -> None:
        try:
            await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
            async for piece in self._pieces:
                data = pack(piece) if self._packed else piece.data
                await send({"type": "http.response.body", "body": data, "more_body": True})
            await send({"type": "http.response.body", "body": b"", "more_body": False})
        finally:
            await self._pieces.aclose()


async def _left(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
