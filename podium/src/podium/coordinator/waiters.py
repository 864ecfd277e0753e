"""Clients that wait for a message's end or for the instance to settle."""

import asyncio
from collections import defaultdict

from podium.protocol.api import MessageStatus
from podium.protocol.errors import PodiumError


class Waiters:
    """Futures by message id; any number for one message."""

    def __init__(self) -> None:
        self._waiting: defaultdict[str, set[asyncio.Future[MessageStatus]]] = defaultdict(set)

    def __len__(self) -> int:
        return len(self._waiting)

    def __contains__(self, message_id: str) -> bool:
        return message_id in self._waiting

    def add(self, message_id: str) -> asyncio.Future[MessageStatus]:
        """A future for the end of this message."""
        future: asyncio.Future[MessageStatus] = asyncio.get_running_loop().create_future()
        self._waiting[message_id].add(future)
        return future

    def remove(self, message_id: str, future: asyncio.Future[MessageStatus]) -> None:
        """Its client has left."""
        waiting = self._waiting.get(message_id, set())
        waiting.discard(future)
        if not waiting:
            self._waiting.pop(message_id, None)

    def settle(self, message_id: str, status: MessageStatus) -> None:
        """The message is done."""
        for future in self._waiting.pop(message_id, ()):
            if not future.done():
                future.set_result(status)

    def fail(self, error: PodiumError) -> None:
        """Nobody's message will be done soon: tell them why."""
        everybody = [future for futures in self._waiting.values() for future in futures]
        self._waiting.clear()
        for future in everybody:
            if not future.done():
                future.set_exception(error)
                future.exception()  # it may have left without looking: that is no error of ours to report
