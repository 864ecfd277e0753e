"""The events of one message as they come, until its `complete` or last `error`; ended early where the agent cannot be started.

A start that fails before the first event is an error of the request (503 `instance_failed`); after the headers have gone all that
is left is a last `status`, and a client that asks again gets the error. So does the stream of a message whose last event is no
longer kept.
"""

import asyncio
from collections.abc import AsyncGenerator

from podium.coordinator import feed
from podium.coordinator.batch import Batch
from podium.coordinator.instance import Instance
from podium.coordinator.sse import HEARTBEAT_S
from podium.coordinator.stream import Position
from podium.protocol.api import MessageStatus
from podium.protocol.errors import PodiumError
from podium.protocol.events import Encoded
from podium.protocol.forms import Form
from podium.protocol.pieces import Piece

PATIENCE_S = 20.0
ENDS = frozenset({"complete", "error"})


class ReplyStream:
    """Read once: `begin`, then `pieces`. Holds the instance loaded until `pieces` has ended.

    `until_seq` is where a message ends at the latest that is done already.
    """

    def __init__(self, instance: Instance, message_id: str, position: Position, form: Form, until_seq: int | None = None) -> None:
        self._instance = instance
        self._message_id = message_id
        self._position = position
        self._form = form
        self._outcome: asyncio.Future[MessageStatus] = instance.expect(message_id)
        self._batches = instance.stream.read(position.after_seq, HEARTBEAT_S)
        self._next: asyncio.Future[Batch] | None = None
        self._ready: list[Encoded] = []
        self._until_seq = until_seq
        self._over = until_seq is not None and position.after_seq >= until_seq

    async def begin(self) -> None:
        """Return with the first events there, or after PATIENCE_S without; InstanceFailed where the start failed meanwhile."""
        try:
            async with asyncio.timeout(PATIENCE_S):
                while not self._failed() and not self._ready and not self._over:
                    await self._wait()
        except TimeoutError:
            return
        except StopAsyncIteration:
            await self.close()
            return
        except BaseException:
            await self.close()
            raise
        if not self._ready and not self._over:
            error = self._outcome.exception()
            await self.close()
            assert isinstance(error, PodiumError)
            raise error

    async def pieces(self) -> AsyncGenerator[Piece, None]:
        """The message's events; the last piece says that it is the last."""
        try:
            async with self._instance.using():
                for piece in feed.told(self._instance, self._position, self._form):
                    yield piece
                while True:
                    if self._ready:
                        piece = self._piece()
                        yield piece
                        if piece.last:
                            return
                    if self._over or self._failed():
                        break
                    if not await self._wait():
                        yield Piece(self._form.heartbeat)
                yield Piece(self._form.frame(feed.status(self._instance)), last=True)
        except StopAsyncIteration:
            return
        finally:
            await self.close()

    async def close(self) -> None:
        """Stop reading; idempotent."""
        self._instance.forget(self._message_id, self._outcome)
        if self._next:
            self._next.cancel()
            await asyncio.wait({self._next})
            self._next = None
        await self._batches.aclose()

    def _piece(self) -> Piece:
        """What has come; nothing after the end of the message."""
        events, self._ready = self._ready, []
        ends = [index for index, event in enumerate(events) if event.event_type in ENDS]
        events = events[: ends[0] + 1] if ends else events
        return Piece(b"".join(map(self._form.event, events)), events[-1].cursor, last=bool(ends))

    async def _wait(self) -> bool:
        """Until the line goes on or the start has failed; False where there was silence. StopAsyncIteration at its end."""
        self._next = self._next or asyncio.ensure_future(anext(self._batches))
        ends: set[asyncio.Future[object]] = {self._next}  # type: ignore[arg-type]
        if not self._outcome.done():
            ends.add(self._outcome)  # type: ignore[arg-type]
        await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
        if not self._next.done():
            return True
        done, self._next = self._next, None
        batch = done.result()
        self._ready += [event for event in batch.events if event.message_id == self._message_id]
        self._over = bool(batch) and self._until_seq is not None and batch.last.seq >= self._until_seq
        return bool(batch)

    def _failed(self) -> bool:
        return self._outcome.done() and self._outcome.exception() is not None and not self._ready
