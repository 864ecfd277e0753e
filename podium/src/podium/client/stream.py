"""Streams that outlive their connections: they go on from the cursor, so that no event is lost or seen twice."""

from collections.abc import AsyncGenerator
from contextlib import aclosing

from podium.client.errors import Unreachable
from podium.client.frames import read_frames
from podium.client.line import Line, LineBroken
from podium.client.retry import Retry
from podium.client.transport import Request, Transport, pause, post
from podium.protocol.api import MessageStatus, SendMessage
from podium.protocol.errors import InternalError, PodiumError
from podium.protocol.events import Event, Frame, Reset, Status, Truncate
from podium.protocol.ids import Cursor

DONE = frozenset({"complete", "failed"})


class _Reader:
    """One line, read over as many connections as it takes."""

    def __init__(self, transport: Transport, cursor: Cursor | None, resume_for_s: float) -> None:
        self.line = Line(cursor)
        self._transport = transport
        self._retry = Retry(resume_for_s)
        self._broken_at: Cursor | None = None

    async def connection(self, request: Request, *, whole: bool) -> AsyncGenerator[Frame, None]:
        """The news of one connection; ends with it, after the pause that is due before the next one."""
        failure: PodiumError = Unreachable(f"{self._transport.url} ended the stream")
        try:
            async with self._transport.stream(request) as chunks:
                self._retry.reached()
                async with aclosing(read_frames(chunks)) as frames:
                    async for frame in frames:
                        news = self.line.take(frame, whole=whole)
                        if isinstance(news, Event):
                            self._retry.progressed()
                        if news is not None:
                            yield news
        except LineBroken as broken:
            failure = self._once(broken)
        except PodiumError as error:
            failure = error
        await pause(self._retry, failure)

    def _once(self, broken: LineBroken) -> PodiumError:
        """Reading again heals what was lost on the way; twice at the same place it is the line itself."""
        if self._broken_at is not None and self._broken_at == self.line.cursor:
            return InternalError(f"the events are not in order: {broken}")
        self._broken_at = self.line.cursor
        return Unreachable(str(broken))


async def read_events(
    transport: Transport, instance_path: str, after: Cursor | None, resume_for_s: float
) -> AsyncGenerator[Frame, None]:
    """All frames after a cursor, without an end."""
    reader = _Reader(transport, after, resume_for_s)
    while True:
        async with aclosing(reader.connection(_events(instance_path, reader.line.cursor), whole=True)) as frames:
            async for frame in frames:
                yield frame


class MessageStream:
    """One message's events, from its first to its `complete` or last `error`."""

    def __init__(self, transport: Transport, instance_path: str, message: SendMessage, resume_for_s: float) -> None:
        assert message.id is not None
        self._transport = transport
        self._path = instance_path
        self._message = message
        self._id = message.id
        self._reader = _Reader(transport, None, resume_for_s)
        self._first_seq: int | None = None
        self._lost = False
        self._done = False

    async def frames(self) -> AsyncGenerator[Event | Truncate | Reset, None]:
        """Send the message, then each frame once. While nothing of it was seen the message itself is repeated, under its id."""
        while not self._done:
            posting, self._lost = self._first_seq is None, False
            request = self._post() if posting else _events(self._path, self._reader.line.cursor)
            async with aclosing(self._reader.connection(request, whole=not posting)) as frames:
                async for frame in frames:
                    if await self._concerns(frame):
                        assert not isinstance(frame, Status)
                        yield frame
                    if self._done or self._lost:
                        break

    async def _concerns(self, frame: Frame) -> bool:
        """Take note of a frame; whether it is one to pass on."""
        if isinstance(frame, Event):
            return await self._event(frame)
        if isinstance(frame, Truncate):
            return self._truncate(frame)
        if isinstance(frame, Reset):
            self._done = (await self._status()).status in DONE
            return True
        return False

    async def _event(self, event: Event) -> bool:
        if event.message_id != self._id:
            return False
        if self._first_seq is None:
            self._first_seq = event.seq
        if event.event_type == "error" and event.content.get("retryable") is True:
            self._done = (await self._status()).status in DONE
        else:
            self._done = event.event_type in ("complete", "error")
        return True

    def _truncate(self, frame: Truncate) -> bool:
        """Where nothing is left of the message its acceptance may be lost too: it has to be sent again."""
        seen = self._first_seq is not None
        if self._first_seq is not None and frame.after_seq < self._first_seq:
            self._first_seq, self._lost = None, True
        return seen

    async def _status(self) -> MessageStatus:
        answer = await self._transport.call(Request(method="GET", path=f"{self._path}/messages/{self._id}"))
        return answer.read(MessageStatus)

    def _post(self) -> Request:
        return post(f"{self._path}/messages", key=self._id, body=self._message)


def _events(instance_path: str, cursor: Cursor | None) -> Request:
    return Request(method="GET", path=f"{instance_path}/events", params={"after": str(cursor) if cursor else None})
