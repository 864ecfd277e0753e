"""An answer of pieces: plain for clients, packed for gateways, ended when either side leaves."""

import asyncio
from collections.abc import AsyncGenerator
from typing import Any

import pytest

from podium.protocol.ids import Cursor
from podium.protocol.pieces import MEDIA_TYPE, Piece, PieceReader
from podium.server.streaming import PieceResponse

PIECES = [Piece(b"one", Cursor(1, 2)), Piece(b""), Piece(b"two", Cursor(2, 1), moves=True, fences=True), Piece(b"end", last=True)]


class Server:
    """The ASGI server's side of one request. `left` is the client's leaving."""

    def __init__(self) -> None:
        self.sent: list[dict[str, Any]] = []
        self.left = asyncio.Event()

    async def receive(self) -> dict[str, Any]:
        await self.left.wait()
        return {"type": "http.disconnect"}

    async def send(self, message: Any) -> None:
        self.sent.append(message)

    @property
    def headers(self) -> dict[str, str]:
        return {name.decode(): value.decode() for name, value in self.sent[0]["headers"]}

    @property
    def body(self) -> bytes:
        return b"".join(message.get("body", b"") for message in self.sent)


async def some() -> AsyncGenerator[Piece, None]:
    for piece in PIECES:
        yield piece


@pytest.mark.parametrize(("packed", "media_type"), [(False, "text/event-stream"), (True, MEDIA_TYPE)])
async def test_a_stream_that_no_proxy_keeps(packed: bool, media_type: str) -> None:
    server = Server()
    await PieceResponse(some(), "sse", packed=packed)({}, server.receive, server.send)
    assert server.headers["content-type"].startswith(media_type)
    assert (server.headers["cache-control"], server.headers["x-accel-buffering"]) == ("no-store", "no")
    assert "content-length" not in server.headers
    assert (PieceReader().feed(server.body) if packed else server.body) == (PIECES if packed else b"onetwoend")
    assert server.sent[-1] == {"type": "http.response.body", "body": b"", "more_body": False}


async def test_a_client_that_leaves_ends_the_source() -> None:
    server, ended = Server(), asyncio.Event()

    async def endless() -> AsyncGenerator[Piece, None]:
        try:
            yield PIECES[0]
            await asyncio.Event().wait()
        finally:
            ended.set()

    answering = asyncio.create_task(PieceResponse(endless(), "sse", packed=False)({}, server.receive, server.send))
    while len(server.sent) < 2:
        await asyncio.sleep(0)
    server.left.set()
    await answering
    assert ended.is_set()


async def test_what_breaks_the_source_breaks_the_answer() -> None:
    async def broken() -> AsyncGenerator[Piece, None]:
        yield PIECES[0]
        raise ConnectionError("gone")

    server = Server()
    with pytest.raises(ConnectionError, match="gone"):
        await PieceResponse(broken(), "sse", packed=False)({}, server.receive, server.send)
    assert server.sent[-1]["more_body"]
