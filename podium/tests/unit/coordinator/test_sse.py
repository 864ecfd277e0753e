"""Event streams that stay open: comments where nothing else comes."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing

import pytest

from podium.coordinator.sse import heartbeat


class Source:
    """Frames that come when the test says so. None ends them, an exception breaks them."""

    def __init__(self) -> None:
        self.queue: asyncio.Queue[bytes | Exception | None] = asyncio.Queue()
        self.closed = False

    async def frames(self) -> AsyncGenerator[bytes, None]:
        try:
            while (frame := await self.queue.get()) is not None:
                if isinstance(frame, Exception):
                    raise frame
                yield frame
        finally:
            self.closed = True


async def content(stream: AsyncIterator[bytes]) -> bytes:
    """The next frame that is no comment."""
    while (frame := await anext(stream)).startswith(b":"):
        pass
    return frame


async def test_a_comment_comes_first_then_the_frames_then_the_end() -> None:
    source = Source()
    for frame in (b"a", b"b", None):
        source.queue.put_nowait(frame)
    assert [frame async for frame in heartbeat(source.frames(), 60)] == [b": podium\n\n", b"a", b"b"]
    assert source.closed


async def test_comments_come_while_there_is_nothing_and_no_frame_is_lost() -> None:
    source = Source()
    async with aclosing(heartbeat(source.frames(), 0.001)) as stream:
        assert await anext(stream) == b": podium\n\n"
        for number in range(3):
            assert await anext(stream) == b": \n\n"
            assert await anext(stream) == b": \n\n"
            source.queue.put_nowait(b"%d" % number)
            assert await content(stream) == b"%d" % number


async def test_a_reader_that_leaves_ends_the_source() -> None:
    source = Source()
    stream = heartbeat(source.frames(), 60)
    assert await anext(stream) == b": podium\n\n"
    source.queue.put_nowait(b"a")
    assert await anext(stream) == b"a"
    await stream.aclose()
    assert source.closed


async def test_a_reader_that_is_cancelled_while_it_waits_ends_the_source() -> None:
    source, frames = Source(), list[bytes]()

    async def read() -> None:
        async with aclosing(heartbeat(source.frames(), 60)) as stream:
            async for frame in stream:
                frames.append(frame)

    source.queue.put_nowait(b"a")
    reading = asyncio.create_task(read())
    while len(frames) < 2:
        await asyncio.sleep(0)
    reading.cancel()
    await asyncio.wait({reading})
    assert reading.cancelled()
    assert source.closed


async def test_what_breaks_the_source_breaks_the_stream() -> None:
    source = Source()
    source.queue.put_nowait(ConnectionError("gone"))
    stream = heartbeat(source.frames(), 60)
    await anext(stream)
    with pytest.raises(ConnectionError, match="gone"):
        await anext(stream)
    assert source.closed
