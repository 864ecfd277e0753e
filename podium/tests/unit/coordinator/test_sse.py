"""Event streams that stay open: comments where nothing else comes."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing

import pytest

from podium.coordinator.sse import heartbeat
from podium.protocol.pieces import Piece

BEAT = Piece(b": \n\n")


class Source:
    """Pieces that come when the test says so. None ends them, an exception breaks them."""

    def __init__(self) -> None:
        self.queue: asyncio.Queue[bytes | Exception | None] = asyncio.Queue()
        self.closed = False

    async def pieces(self) -> AsyncGenerator[Piece, None]:
        try:
            while (data := await self.queue.get()) is not None:
                if isinstance(data, Exception):
                    raise data
                yield Piece(data)
        finally:
            self.closed = True

    def stream(self, every_s: float) -> AsyncGenerator[Piece, None]:
        return heartbeat(self.pieces(), BEAT.data, every_s)


async def test_the_pieces_then_the_end() -> None:
    source = Source()
    for data in (b"a", b"b", None):
        source.queue.put_nowait(data)
    assert [piece.data async for piece in source.stream(60)] == [b"a", b"b"]
    assert source.closed


async def test_comments_come_while_there_is_nothing_and_nothing_is_lost() -> None:
    source = Source()
    async with aclosing(source.stream(0.001)) as stream:
        for number in range(3):
            assert await anext(stream) == BEAT
            assert await anext(stream) == BEAT
            source.queue.put_nowait(b"%d" % number)
            while (piece := await anext(stream)) == BEAT:
                pass
            assert piece.data == b"%d" % number


async def test_a_reader_that_leaves_ends_the_source() -> None:
    source = Source()
    stream = source.stream(60)
    source.queue.put_nowait(b"a")
    assert (await anext(stream)).data == b"a"
    await stream.aclose()
    assert source.closed


async def test_a_reader_that_is_cancelled_while_it_waits_ends_the_source() -> None:
    source, pieces = Source(), list[Piece]()

    async def read() -> None:
        async with aclosing(source.stream(60)) as stream:
            async for piece in stream:
                pieces.append(piece)

    source.queue.put_nowait(b"a")
    reading = asyncio.create_task(read())
    while not pieces:
        await asyncio.sleep(0)
    reading.cancel()
    await asyncio.wait({reading})
    assert reading.cancelled()
    assert source.closed


async def test_what_breaks_the_source_breaks_the_stream() -> None:
    source = Source()
    source.queue.put_nowait(ConnectionError("gone"))
    with pytest.raises(ConnectionError, match="gone"):
        await anext(source.stream(60))
    assert source.closed
