"""Clients that keep one agent at work in all the ways there are, and write down what they were told."""

import asyncio
import random
from collections.abc import Awaitable, Callable
from contextlib import aclosing
from typing import Any, TypeVar

from podium.client import AsyncPodium
from podium.protocol.errors import PodiumError, TurnFailed
from podium.protocol.events import Event
from tests.support.ledger import Ledger, Sent

T = TypeVar("T")
PATIENCE_S = 120.0
"""How long anything may take, through all faults: what takes longer hangs."""


class Load:
    """Works on `ledger.agent` until told to stop; the same `rng` does the same things in the same order."""

    def __init__(self, client: AsyncPodium, ledger: Ledger, rng: random.Random) -> None:
        self._client = client
        self._ledger = ledger
        self._rng = rng
        self._agent = ledger.agent
        self._stopping = False
        self.doing = ""

    def stop(self) -> None:
        """Finish what was begun, and begin nothing more."""
        self._stopping = True

    async def run(self) -> None:
        """Until stopped."""
        acts = [self._one, self._one, self._streamed, self._streamed, self._burst, self._twice, self._asleep, self._later]
        while not self._stopping:
            act = self._rng.choice(acts)
            self.doing = act.__name__
            try:
                async with asyncio.timeout(PATIENCE_S):
                    await act()
            except TimeoutError:
                raise AssertionError(f"{self._agent}: {act.__name__} hangs; {await self._picture()}") from None

    async def _picture(self) -> str:
        """What the platform says of the messages that have no end."""
        waiting = [message for message in self._ledger.sent.values() if message.done is None]
        said = []
        for message in waiting:
            try:
                said.append(await self._client.message(self._agent, message.message_id))
            except PodiumError as error:
                said.append(error)
        faults = [fault.kind for fault in self._ledger.faults[-3:]]
        return f"waiting for {waiting}\n{said}\n{await self._client.instance(self._agent)}\nlast faults: {faults}"

    def _text(self) -> str:
        n, pick = len(self._ledger.sent), self._rng.random()
        if pick < 0.4:
            return f"tokens {self._rng.randint(3, 30)} {self._rng.choice([0, 0.002, 0.01])} w{n}"
        if pick < 0.48:
            return f"fail {self._rng.randint(1, 2)} w{n}"
        if pick < 0.5:
            return f"fail 9 w{n}"
        if pick < 0.53:
            return f"die 1 w{n}"
        if pick < 0.6:
            return f"kill {self._rng.choice(['begun', 'streaming', 'committed'])} w{n}"
        return f"echo w{n}"

    # ---- what clients do

    async def _one(self) -> None:
        await self._send(self._ledger.begin(self._text()))

    async def _streamed(self) -> None:
        await self._stream(self._ledger.begin(self._text()))

    async def _burst(self) -> None:
        """Several at once: their order is the inbox's."""
        messages = [self._ledger.begin(self._text()) for _ in range(self._rng.randint(2, 5))]
        ways = [self._rng.choice([self._send, self._stream]) for _ in messages]
        await asyncio.gather(*(way(message) for way, message in zip(ways, messages, strict=True)))

    async def _twice(self) -> None:
        """One id from two clients at once."""
        message = self._ledger.begin(self._text())
        await asyncio.gather(self._send(message), self._send(message), self._stream(message))

    async def _asleep(self) -> None:
        """Put to sleep, look at it, and wake it by a message or by asking."""
        await self._persist(lambda: self._client.hibernate(self._agent, wait_s=5))
        if self._rng.random() < 0.3:
            await self._persist(lambda: self._client.wake(self._agent, wait_s=5))
        await self._send(self._ledger.begin(f"echo w{len(self._ledger.sent)}"))

    async def _later(self) -> None:
        """Accepted now, asked for afterwards; acknowledged ones keep their order."""
        messages = []
        for _ in range(self._rng.randint(2, 4)):
            message = self._ledger.begin(self._text())
            try:
                await self._persist(lambda m=message: self._client.send(self._agent, m.text, message_id=m.message_id, wait_s=0))
            except TimeoutError:
                self._ledger.acknowledged(message)
            except TurnFailed:
                pass
            messages.append(message)
        await asyncio.gather(*(self._send(message) for message in messages))

    # ---- how

    async def _send(self, message: Sent) -> None:
        try:
            reply = await self._persist(lambda: self._client.send(self._agent, message.text, message_id=message.message_id))
        except TurnFailed as failed:
            self._ledger.finished(message, failed=failed.code)
        else:
            self._ledger.finished(message, reply=reply)

    async def _stream(self, message: Sent) -> None:
        """What a reader of the message's own stream is left with is what the reply says."""
        text, last = await self._persist(lambda: self._streamed_once(message))
        self._ledger.acknowledged(message)
        await self._send(message)
        assert (last == "complete") == (message.reply is not None), f"{self._agent} {message.message_id} streamed {last}"
        if message.reply:
            assert text == message.reply.text, f"{self._agent} {message.message_id} streamed {text!r}, not {message.reply.text!r}"

    async def _streamed_once(self, message: Sent) -> tuple[str, str]:
        seen: list[Event] = []
        async with aclosing(self._client.stream(self._agent, message.text, message_id=message.message_id)) as frames:
            async for frame in frames:
                if isinstance(frame, Event):
                    self._ledger.saw(frame)
                    seen.append(frame)
                else:
                    seen = [event for event in seen if event.seq <= getattr(frame, "after_seq", 0)]
        parts: dict[Any, list[str]] = {}
        for event in seen:
            if event.event_type == "update" and event.attempt == seen[-1].attempt:
                parts.setdefault(event.content.get("part"), []).append(event.content["text"])
        return "\n".join("".join(pieces) for pieces in parts.values()), seen[-1].event_type

    async def _persist(self, call: Callable[[], Awaitable[T]]) -> T:
        """What a patient user does: try again, with the same id, what may pass by itself."""
        while True:
            try:
                return await call()
            except PodiumError as error:
                if isinstance(error, TurnFailed) or not error.retryable:
                    raise
                await asyncio.sleep(0.2)


async def read_on(client: AsyncPodium, ledger: Ledger) -> None:
    """A reader that stays, until cancelled."""
    reader = ledger.reader()
    async with aclosing(client.events(ledger.agent, after=reader.cursor)) as frames:
        async for frame in frames:
            reader.take(frame)


async def read_and_leave(client: AsyncPodium, ledger: Ledger, rng: random.Random) -> None:
    """A reader that leaves and comes back with its cursor, until cancelled."""
    reader = ledger.reader()
    while True:
        left = rng.randint(1, 12)
        async with aclosing(client.events(ledger.agent, after=reader.cursor)) as frames:
            async for frame in frames:
                reader.take(frame)
                left -= isinstance(frame, Event)
                if left <= 0:
                    break
