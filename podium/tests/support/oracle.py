"""A client that knows every acknowledged turn, and what must be true of an instance whatever was killed meanwhile."""

import asyncio
import json
from collections import Counter

from podium.client import AsyncPodium
from podium.protocol.api import Reply
from podium.protocol.events import Event


class Oracle:
    """Sends messages to one probe, one after the other, through everything; then compares."""

    def __init__(self, client: AsyncPodium, agent: str) -> None:
        self.client = client
        self.agent = agent
        self.sent: list[str] = []
        self.replies: dict[str, Reply] = {}
        self.seen: list[Event] = []

    async def send(self, text: str) -> Reply:
        """One message, until its reply is there."""
        message_id = f"m{len(self.sent)}"
        self.sent.append(text)
        reply = await self.client.send(self.agent, text, message_id=message_id)
        self.replies[message_id] = reply
        return reply

    async def stream(self, text: str) -> str:
        """One message, streamed; the text a reader is left with."""
        message_id = f"m{len(self.sent)}"
        self.sent.append(text)
        pieces: list[str] = []
        async for frame in self.client.stream(self.agent, text, message_id=message_id):
            assert isinstance(frame, Event), frame
            if frame.event_type == "attempt_failed":
                pieces.clear()
            if frame.event_type == "update":
                pieces.append(frame.content["text"])
        self.replies[message_id] = await self.client.send(self.agent, text, message_id=message_id)
        return "".join(pieces)

    async def watch(self) -> None:
        """Read the instance's events from the first, through everything, until cancelled."""
        async for frame in self.client.events(self.agent, after="1.0"):
            if isinstance(frame, Event):
                self.seen.append(frame)

    async def check(self, *, twice: frozenset[str] = frozenset()) -> None:
        """Nothing acknowledged is lost, nothing has run twice unannounced, no event is missing or doubled.

        `twice` names messages killed between the commit of their SQL and their turn: their rows may stand twice.
        """
        state = (await self.client.state(self.agent)).state
        assert state["words"] == [text.partition(" ")[2] for text in self.sent]
        assert state["count"] == len(self.sent)
        line = await self._line()
        assert [event.seq for event in line] == list(range(1, len(line) + 1))
        completes = Counter(event.message_id for event in line if event.event_type == "complete")
        assert {m: completes[m] for m in self.replies} == dict.fromkeys(self.replies, 1)
        for message_id in self.replies:
            starts = [e for e in line if e.message_id == message_id and e.event_type == "stream_start"]
            failures = [e for e in line if e.message_id == message_id and e.event_type == "attempt_failed"]
            assert len(starts) == len(failures) + 1, message_id
        rows = Counter(row[0] for row in json.loads((await self.client.send(self.agent, "rows", message_id="rows")).text))
        for message_id in self.replies:
            assert rows[message_id] == 1 or (message_id in twice and rows[message_id] == 2), (message_id, rows)

    async def check_watched(self) -> None:
        """What a reader saw that was there all the time is the line, each event once and in order."""
        line = await self._line()
        async with asyncio.timeout(30):
            while not self.seen or self.seen[-1].seq < line[-1].seq:
                await asyncio.sleep(0.02)
        assert [(e.epoch, e.seq, e.content) for e in self.seen] == [(e.epoch, e.seq, e.content) for e in line]

    async def _line(self) -> list[Event]:
        head = int((await self.client.instance(self.agent)).cursor.partition(".")[2])
        line: list[Event] = []
        async for frame in self.client.events(self.agent):
            if isinstance(frame, Event):
                line.append(frame)
                if frame.seq >= head:
                    return line
        raise AssertionError("the stream ended")
