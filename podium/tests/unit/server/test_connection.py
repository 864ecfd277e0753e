"""Bounds of a connection: each refused client is told why, in a problem document, and everybody else is served as before."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Any, NamedTuple

import msgspec
import pytest
import uvicorn
from starlette.requests import Request
from starlette.responses import Response

from podium.server.connection import MAX_HEADERS, ConnectionLimits, connections
from podium.server.dispatch import Dispatcher
from podium.web import endpoint, json_response, read_body
from tests.support.platform import until

LIMITS = ConnectionLimits(connections=3, head_bytes=4096, head_timeout_s=0.3, body_timeout_s=0.3)
GET = b"GET /echo HTTP/1.1\r\nhost: x\r\n\r\n"
DEADLINE_S = 20.0


class Served(NamedTuple):
    port: int
    server: uvicorn.Server

    async def open(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        return await asyncio.open_connection("127.0.0.1", self.port)

    async def say(self, *pieces: bytes) -> bytes:
        """Send, and read until the server closes."""
        reader, writer = await self.open()
        try:
            for piece in pieces:
                writer.write(piece)
                await writer.drain()
            return await asyncio.wait_for(reader.read(), DEADLINE_S)
        finally:
            writer.close()


async def _echo(request: Request) -> Response:
    return json_response({"bytes": len(await read_body(request, 1 << 20))})


@contextlib.asynccontextmanager
async def serving(limits: ConnectionLimits) -> AsyncIterator[Served]:
    app = Dispatcher()
    for method in ("GET", "POST"):
        app.add(method, "/echo", endpoint(_echo))
    config = uvicorn.Config(
        app, port=0, log_config=None, loop="none", ws="none", lifespan="on", http=connections(limits),
        timeout_keep_alive=30, timeout_graceful_shutdown=1,
    )  # fmt: skip
    server = uvicorn.Server(config)
    server.capture_signals = contextlib.nullcontext  # type: ignore[method-assign,assignment]
    task = asyncio.create_task(server.serve())
    await until(lambda: server.started)
    yield Served(server.servers[0].sockets[0].getsockname()[1], server)
    server.should_exit = True
    await task


@pytest.fixture
async def served() -> AsyncIterator[Served]:
    async with serving(LIMITS) as made:
        yield made


def problem_of(answer: bytes, status: int, code: str) -> dict[str, Any]:
    head, _, body = answer.partition(b"\r\n\r\n")
    lines = head.decode().lower().split("\r\n")
    assert lines[0].startswith(f"http/1.1 {status}"), answer
    assert "content-type: application/problem+json" in lines
    assert "connection: close" in lines
    document: dict[str, Any] = msgspec.json.decode(body)
    assert (document["code"], document["status"]) == (code, status)
    assert f"x-request-id: {document['request_id']}" in lines
    return document


async def still_serves(served: Served) -> None:
    assert b"200 OK" in await served.say(GET.replace(b"\r\n\r\n", b"\r\nconnection: close\r\n\r\n"))


@pytest.mark.parametrize(
    "garbage",
    [
        b"\x16\x03\x01\x02\x00\x01\x00", b"hello\r\n\r\n", b"GET /\xc3\xa9 HTTP/1.1\r\nhost: x\r\n\r\n",
        b"GET /echo HTTP/1.1\r\nbad header: x\r\n\r\n", b"GET /echo HTTP/1.1\r\nhost: a\r\n b: c\x00\r\n\r\n",
        b"POST /echo HTTP/1.1\r\ncontent-length: -1\r\n\r\n", b"POST /echo HTTP/1.1\r\ncontent-length: 5x\r\n\r\nhello",
        b"POST /echo HTTP/1.1\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\nab",
        b"POST /echo HTTP/1.1\r\ncontent-length: 1\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
        b"POST /echo HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\nzz\r\nhello\r\n",
        b"POST /echo HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\n-5\r\nhello\r\n",
        b"POST /echo HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\nffffffffffffffffff\r\nhello\r\n",
        b"CONNECT example.org:443 HTTP/1.1\r\n\r\n",
    ],
)  # fmt: skip
async def test_what_is_not_http_is_refused(served: Served, garbage: bytes) -> None:
    problem_of(await served.say(garbage), 400, "invalid_request")
    await still_serves(served)


async def test_a_body_longer_than_it_said_is_no_second_request(served: Served) -> None:
    answer = await served.say(b"POST /echo HTTP/1.1\r\nhost: x\r\ncontent-length: 2\r\n\r\nhello, is this a request?\r\n\r\n")
    assert answer.count(b"HTTP/1.1 ") <= 2
    assert b"HTTP/1.1 400" in answer or b"200 OK" in answer
    await still_serves(served)


@pytest.mark.parametrize(
    "head",
    [
        b"GET /echo?" + b"a" * 5000 + b" HTTP/1.1\r\nhost: x\r\n\r\n",
        b"GET /echo HTTP/1.1\r\nx: " + b"a" * 5000 + b"\r\n\r\n",
        b"GET /echo HTTP/1.1\r\n" + b"".join(b"x%d: %s\r\n" % (i, b"a" * 100) for i in range(60)) + b"\r\n",
        b"GET /echo HTTP/1.1\r\nx: " + b"a" * 5000,
        b"GET /echo HTTP/1.1\r\n" + b"x: y\r\n" * (MAX_HEADERS + 1) + b"\r\n",
    ],
)
async def test_a_large_head_is_refused_at_once(served: Served, head: bytes) -> None:
    document = problem_of(await served.say(head), 431, "head_too_large")
    assert document["limit"] in (LIMITS.head_bytes, MAX_HEADERS)
    await still_serves(served)


@pytest.mark.parametrize("head", [b"G", b"GET /echo HTTP/1.1\r\n", b"GET /echo HTTP/1.1\r\nhost: x\r\nx"])
async def test_a_head_that_does_not_come_is_given_up(served: Served, head: bytes) -> None:
    document = problem_of(await served.say(head), 408, "too_slow")
    assert "REQUEST_HEAD_TIMEOUT" in document["detail"]
    await still_serves(served)


async def test_a_head_that_drips_is_given_up_all_the_same(served: Served) -> None:
    reader, writer = await served.open()
    for byte in b"GET /echo HTTP/1.1\r\n" + b"x: y\r\n" * 1000:
        writer.write(bytes([byte]))
        await asyncio.sleep(0.01)
        if reader.at_eof() or served.server.server_state.connections == set():
            break
    problem_of(await asyncio.wait_for(reader.read(), DEADLINE_S), 408, "too_slow")
    writer.close()


async def test_trailers_are_no_headers_and_have_their_bound(served: Served) -> None:
    chunked = b"POST /echo HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\nconnection: close\r\n\r\n1\r\nx\r\n0\r\n"
    assert b'{"bytes":1}' in await served.say(chunked, b"x-late: 1\r\n\r\n")
    problem_of(await served.say(chunked, b"x-late: 1234567890\r\n" * 500), 431, "head_too_large")
    await still_serves(served)


async def test_who_says_nothing_is_let_go_without_a_word(served: Served) -> None:
    assert await served.say() == b""
    assert await served.say(b"\r\n") == b""


@pytest.mark.parametrize(
    "request_head",
    [
        b"POST /echo HTTP/1.1\r\nhost: x\r\ncontent-length: 10\r\n\r\nhello",
        b"POST /echo HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhel",
    ],
)
async def test_a_body_that_does_not_come_is_given_up(served: Served, request_head: bytes) -> None:
    document = problem_of(await served.say(request_head), 408, "too_slow")
    assert "REQUEST_BODY_TIMEOUT" in document["detail"]
    await still_serves(served)


async def test_a_body_that_comes_may_take_long(served: Served) -> None:
    reader, writer = await served.open()
    writer.write(b"POST /echo HTTP/1.1\r\nhost: x\r\ncontent-length: 16384\r\nconnection: close\r\n\r\n")
    for _ in range(16):
        writer.write(b"x" * 1024)
        await asyncio.sleep(0.05)  # 20 KiB/s, for longer than the timeout
    assert b'{"bytes":16384}' in await asyncio.wait_for(reader.read(), DEADLINE_S)
    writer.close()


async def test_beyond_their_number_connections_are_refused_until_one_goes(served: Served) -> None:
    held = [await served.open() for _ in range(LIMITS.connections)]
    for _, writer in held:
        writer.write(GET)
    for reader, _ in held:
        await reader.readuntil(b"}")
    document = problem_of(await served.say(GET), 429, "too_many")
    assert (document["limit"], document["current"], document["retryable"]) == (LIMITS.connections, LIMITS.connections, True)
    held[0][1].close()
    await until(lambda: len(served.server.server_state.connections) < LIMITS.connections)
    await still_serves(served)
    for _, writer in held:
        writer.close()


async def test_one_connection_serves_many_requests_however_they_are_cut(served: Served) -> None:
    reader, writer = await served.open()
    stream = (GET + b"POST /echo HTTP/1.1\r\nhost: x\r\ncontent-length: 5\r\n\r\nhello") * 20
    for start in range(0, len(stream), 7):
        writer.write(stream[start : start + 7])
        await asyncio.sleep(0)
    for size in [0, 5] * 20:
        head = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), DEADLINE_S)
        assert b"200 OK" in head
        assert await reader.readuntil(b"}") == b'{"bytes":%d}' % size
    writer.close()


async def test_a_client_that_pauses_between_requests_is_kept(served: Served) -> None:
    reader, writer = await served.open()
    for _ in range(3):
        writer.write(GET)
        await asyncio.wait_for(reader.readuntil(b"}"), DEADLINE_S)
        await asyncio.sleep(LIMITS.head_timeout_s * 1.5)
    assert not reader.at_eof()
    writer.close()
