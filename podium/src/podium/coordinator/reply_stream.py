"""The events of one message as they come, until its `complete` or last `error`; ended early where the agent cannot be started.

A start that fails before the first event is an error of the request (503 `instance_failed`); after the headers have gone all that
is left is a last `status`, and a client that asks again gets the error.
"""

import asyncio
from collections.abc import AsyncIterator

from podium.coordinator.instance import Instance
from podium.protocol.api import MessageStatus
from podium.protocol.errors import PodiumError
from podium.protocol.events import Event, Status, sse

PATIENCE_S = 20.0


class ReplyStream:
    """Read once: `begin`, then `frames`. Holds the instance loaded until `frames` has ended."""

    def __init__(self, instance: Instance, message_id: str, after_seq: int) -> None:
        self._instance = instance
        self._message_id = message_id
        self._outcome: asyncio.Future[MessageStatus] = instance.expect(message_id)
        self._events = instance.stream.read(after_seq, lambda event: event.message_id == message_id)
        self._next: asyncio.Future[list[Event]] | None = None

    async def begin(self) -> None:
        """Return with the first events there, or after PATIENCE_S without; InstanceFailed where the start failed meanwhile."""
        await self._wait(PATIENCE_S)
        if self._failed():
            error = self._outcome.exception()
            await self.close()
            assert isinstance(error, PodiumError)
            raise error

    async def frames(self) -> AsyncIterator[bytes]:
        """Server-sent events."""
        try:
            async with self._instance.using():
                while not self._failed():
                    following = await self._wait(None)
                    if not following.done():
                        continue
                    self._next = None
                    events = following.result()
                    yield b"".join(sse(event) for event in events)
                    if any(event.event_type in ("complete", "error") for event in events):
                        return
                yield sse(Status(cursor=str(self._instance.stream.head), status=self._instance.status.value))
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
        await self._events.aclose()

    async def _wait(self, timeout_s: float | None) -> "asyncio.Future[list[Event]]":
        """Until events are there or the start has failed."""
        self._next = self._next or asyncio.ensure_future(anext(self._events))
        ends: set[asyncio.Future[object]] = {self._next}  # type: ignore[arg-type]
        if not self._outcome.done():
            ends.add(self._outcome)  # type: ignore[arg-type]
        await asyncio.wait(ends, timeout=timeout_s, return_when=asyncio.FIRST_COMPLETED)
        return self._next

    def _failed(self) -> bool:
        has_events = self._next is not None and self._next.done()
        return self._outcome.done() and self._outcome.exception() is not None and not has_events
