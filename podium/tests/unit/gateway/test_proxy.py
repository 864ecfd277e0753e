"""Forwarding to a coordinator that hangs, breaks off, or is not the owner any more."""

import asyncio
from collections.abc import AsyncIterator, Callable

import msgspec
import pytest

from podium.auth import Caller, Signer
from podium.gateway.proxy import Forward, Proxy
from podium.gateway.upstream import Upstream
from podium.protocol.errors import Moved, NotFound, PodiumError, TooMany, Unavailable
from tests.support.routing import World

ADMIN = Caller(tenant_id="platform", admin=True)
ANSWER_TIMEOUT_S = 0.2
RETRY_FOR_S = 0.3
OK = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\nconnection: close\r\ncontent-length: 2\r\n\r\n{}"
CUT = OK[:-1]


class Scripted:
    """A coordinator that says these bytes, one after the other, the last for ever; None is silence."""

    def __init__(self) -> None:
        self.answers: list[bytes | None] = [OK]
        self.requests = 0
        self.url = ""
        self._open: set[asyncio.Task[None]] = set()

    async def run(self) -> AsyncIterator["Scripted"]:
        server = await asyncio.start_server(self._connected, "127.0.0.1", 0)
        self.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        yield self
        server.close()
        for task in self._open:
            task.cancel()
        await asyncio.gather(*self._open, return_exceptions=True)

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task
        self._open.add(task)
        try:
            await reader.readuntil(b"\r\n\r\n")
            self.requests += 1
            answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
            if answer is None:
                await asyncio.Event().wait()
            else:
                writer.write(answer)
                await writer.drain()
        finally:
            self._open.discard(task)
            writer.close()


def problem(error: PodiumError) -> bytes:
    body = msgspec.json.encode(error.problem("req_1"))
    pause = f"retry-after: {error.retry_after_s}\r\n" if error.retry_after_s is not None else ""
    head = f"HTTP/1.1 {error.status} No\r\ncontent-type: application/problem+json\r\nconnection: close\r\n{pause}"
    return f"{head}content-length: {len(body)}\r\n\r\n".encode() + body


@pytest.fixture
async def coordinator() -> AsyncIterator[Scripted]:
    async for scripted in Scripted().run():
        yield scripted


@pytest.fixture
async def upstream() -> AsyncIterator[Upstream]:
    upstream = Upstream(Signer("a key for tests of a proxy"), ANSWER_TIMEOUT_S)
    yield upstream
    await upstream.close()


@pytest.fixture
async def proxy(coordinator: Scripted, upstream: Upstream) -> Proxy:
    world = World()
    await world.coordinator("c1", coordinator.url)
    await world.owner("agent_1", "c1")

    async def place(_: Caller, name: str) -> None:
        raise AssertionError(f"{name} has an owner")

    return Proxy(world.router, upstream, place, 1024)


GET = Forward("GET", "/x", {})


async def asked(proxy: Proxy, forward: Forward = GET) -> bytes | None:
    return (await proxy.reach(ADMIN, "agent_1", forward, None, RETRY_FOR_S)).checked().body


async def test_a_coordinator_that_hangs_is_given_up(coordinator: Scripted, proxy: Proxy) -> None:
    coordinator.answers = [None]
    with pytest.raises(Unavailable, match="silent") as caught:
        await asked(proxy)
    assert caught.value.retry_after_s == 1
    assert coordinator.requests > 1


async def test_what_hung_once_is_asked_again(coordinator: Scripted, proxy: Proxy) -> None:
    coordinator.answers = [None, OK]
    assert await asked(proxy) == b"{}"


async def test_what_waits_by_itself_is_not_taken_for_hanging(coordinator: Scripted, proxy: Proxy) -> None:
    coordinator.answers = [None]
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(4 * (ANSWER_TIMEOUT_S + RETRY_FOR_S)):
            await asked(proxy, Forward("POST", "/x", {}, b"{}", wait_s=300))
    assert coordinator.requests == 1


async def test_a_body_that_moves_is_not_taken_for_hanging(coordinator: Scripted, proxy: Proxy) -> None:
    async def slowly() -> AsyncIterator[bytes]:
        for _ in range(8):
            await asyncio.sleep(ANSWER_TIMEOUT_S / 4)
            yield b"x"

    coordinator.answers = [OK]
    assert await asked(proxy, Forward("PUT", "/x", {}, slowly)) == b"{}"


async def test_a_call_to_a_coordinator_that_hangs_ends(upstream: Upstream, coordinator: Scripted) -> None:
    coordinator.answers = [None]
    with pytest.raises(ConnectionError):
        await upstream.call(ADMIN, "GET", coordinator.url, "/admin/status")


@pytest.mark.parametrize("cut", [CUT, problem(NotFound("there is no such message"))[:-9]], ids=["answer", "problem"])
async def test_a_short_answer_that_breaks_off_is_asked_for_again(cut: bytes, coordinator: Scripted, proxy: Proxy) -> None:
    coordinator.answers = [cut, OK]
    assert await asked(proxy) == b"{}"


async def test_an_owner_that_says_it_moved_for_ever_is_asked_with_pauses(coordinator: Scripted, proxy: Proxy) -> None:
    coordinator.answers = [problem(Moved("it is owned by c2", retry_after_s=1))]
    with pytest.raises(Unavailable, match="owned by c2"):
        await asked(proxy)
    assert coordinator.requests < 20


async def test_a_limit_of_the_coordinator_keeps_its_retry_after(coordinator: Scripted, upstream: Upstream, proxy: Proxy) -> None:
    coordinator.answers = [problem(TooMany("full", retry_after_s=5, limit=2, current=2))]
    ways: list[Callable[[], object]] = [lambda: asked(proxy), lambda: upstream.call(ADMIN, "POST", coordinator.url, "/instances")]
    for way in ways:
        with pytest.raises(TooMany) as caught:
            await way()  # type: ignore[misc]
        assert (caught.value.retry_after_s, caught.value.extra) == (5, {"limit": 2, "current": 2})
