"""A client's stream, held open while coordinators come and go.

It is passed on in pieces, unread; each names the cursor behind it. When the coordinator goes away the gateway asks again, there
or elsewhere, to go on behind the last piece that it has passed on. Nothing is passed on twice, nothing of an epoch below one
already seen: a coordinator that does not know yet that it is not the owner any more is left, and the records are asked again.
"""

import asyncio
import time
from collections.abc import AsyncGenerator, Awaitable, Callable

import aiohttp

from podium.protocol.errors import InvalidRequest, Moved, PodiumError, TooMany, Unavailable
from podium.protocol.events import Status
from podium.protocol.forms import Form
from podium.protocol.ids import Cursor
from podium.protocol.pieces import MEDIA_TYPE, Piece, PieceReader

HOLD_FOR_S = 60.0
"""How long a client is kept waiting for a coordinator."""
HEARTBEAT_S = 15.0
SILENCE_S = 40.0
"""A coordinator says something every 15 s: one that was silent for so long is gone without a word."""
PAUSE_S = 0.1
CLOSED = "closed"
Reopen = Callable[[Cursor | None], Awaitable[aiohttp.ClientResponse]]
_PASSING = (ConnectionError, TimeoutError, aiohttp.ClientError, Unavailable, Moved, TooMany, InvalidRequest)
"""What may be over soon. The cursor is our own: a coordinator that calls it invalid is not the owner any more."""


class HeldStream:
    """Read `pieces` once. `failure` is why it ended early, where it did."""

    def __init__(self, first: aiohttp.ClientResponse, reopen: Reopen, form: Form) -> None:
        self.failure: PodiumError | None = None
        self._upstream: aiohttp.ClientResponse | None = first
        self._reopen = reopen
        self._form = form
        self._cursor: Cursor | None = None
        self._epoch = 0

    async def pieces(self) -> AsyncGenerator[Piece, None]:
        """What the client gets; the last is marked."""
        try:
            while True:
                async for piece in self._from_upstream():
                    yield piece
                    if piece.last:
                        return
                async for piece in self._again():
                    yield piece
        except PodiumError as error:
            self.failure = error
            yield Piece(self._form.frame(self._farewell(error)), last=True)
        finally:
            self.leave()

    async def _from_upstream(self) -> AsyncGenerator[Piece, None]:
        """What one connection brings, until it ends."""
        assert self._upstream
        reader = PieceReader()
        try:
            while True:
                async with asyncio.timeout(SILENCE_S):
                    chunk = await self._upstream.content.readany()
                if not chunk:
                    return
                if pieces := reader.feed(chunk):
                    yield self._joined(pieces)
        except (ConnectionError, TimeoutError, aiohttp.ClientError):
            return
        finally:
            self.leave()

    def _joined(self, pieces: list[Piece]) -> Piece:
        """As one, taking note of where the reader stands behind it. ConnectionError for what no owner would send."""
        cursor, epoch = self._cursor, self._epoch
        for piece in pieces:
            if piece.cursor is None:
                continue
            if not piece.moves and (piece.cursor.epoch < epoch or (cursor and piece.cursor.seq <= cursor.seq)):
                raise ConnectionError("this is not the owner any more")
            if piece.fences or not piece.moves:
                epoch = piece.cursor.epoch
            cursor = piece.cursor
        self._cursor, self._epoch = cursor, epoch
        return Piece(b"".join([piece.data for piece in pieces]), last=pieces[-1].last)

    async def _again(self) -> AsyncGenerator[Piece, None]:
        """Connect again; heartbeats until that is done. A PodiumError where it cannot be."""
        opening = asyncio.create_task(self._connect())
        try:
            while not opening.done():
                await asyncio.wait({opening}, timeout=HEARTBEAT_S)
                if not opening.done():
                    yield Piece(self._form.heartbeat)
            self._upstream = opening.result()
        finally:
            if not opening.done():
                opening.cancel()
                await asyncio.wait({opening})

    async def _connect(self) -> aiohttp.ClientResponse:
        deadline = time.monotonic() + HOLD_FOR_S
        while True:
            await asyncio.sleep(PAUSE_S)
            try:
                async with asyncio.timeout(deadline - time.monotonic()):
                    return await self._reopen(self._cursor)
            except _PASSING as error:
                if time.monotonic() >= deadline:
                    raise Unavailable(
                        f"no coordinator could go on with this stream for {HOLD_FOR_S:g} s: connect again later with the cursor",
                        retry_after_s=5,
                    ) from error

    def _farewell(self, error: PodiumError) -> Status:
        return Status(cursor=str(self._cursor or Cursor(0, 0)), status=CLOSED, code=error.code, reason=error.detail)

    def leave(self) -> None:
        """Close the connection to the coordinator; idempotent."""
        if self._upstream:
            self._upstream.close()
            self._upstream = None


def is_pieces(response: aiohttp.ClientResponse) -> bool:
    """Whether an answer is a stream that can be held."""
    return response.content_type == MEDIA_TYPE
