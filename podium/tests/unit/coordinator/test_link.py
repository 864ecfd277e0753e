"""The coordinator's end of an agent's socket: who may speak, in what order, and how much."""

import asyncio
import os
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from socket import AF_UNIX, socket
from stat import S_IMODE
from tempfile import TemporaryDirectory

import msgspec
import pytest

from podium.coordinator import link as link_module
from podium.coordinator.link import ACK_AFTER_BYTES, ACK_AFTER_FRAMES, MAX_STRANGERS, Link
from podium.protocol.framing import MAX_FRAME_BYTES, FrameError, FrameReader, encode_frame
from podium.protocol.messages import (
    PROTOCOL,
    AckId,
    AckN,
    AgentFailure,
    Complete,
    FromAgent,
    Hello,
    IdleCheck,
    Log,
    Ping,
    Pong,
    Shutdown,
    ToAgent,
)
from tests.support.launchers import needs_root
from tests.support.rights import NOBODY, nobody

LAUNCH = "launch-1"
DEADLINE_S = 20.0
_decoder: msgspec.json.Decoder[ToAgent] = msgspec.json.Decoder(ToAgent)


class Peer:
    """The other end of a connection, honest or not."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.writer = writer
        self._reader = reader
        self._frames = FrameReader()
        self._arrived: list[ToAgent] = []

    def send(self, *frames: FromAgent) -> None:
        self.raw(b"".join(encode_frame(msgspec.json.encode(frame)) for frame in frames))

    def raw(self, data: bytes) -> None:
        self.writer.write(data)

    async def receive(self) -> ToAgent:
        async with asyncio.timeout(DEADLINE_S):
            while not self._arrived:
                data = await self._reader.read(65536)
                assert data, "the coordinator has hung up"
                self._arrived += [_decoder.decode(payload) for payload in self._frames.feed(data)]
        return self._arrived.pop(0)

    async def hung_up(self) -> bool:
        """Whether the coordinator ends the connection without a word."""
        async with asyncio.timeout(DEADLINE_S):
            try:
                return await self._reader.read(1) == b""
            except ConnectionResetError:
                return True

    def close(self) -> None:
        self.writer.transport.abort()


@pytest.fixture
def directory() -> Iterator[Path]:
    with TemporaryDirectory(prefix="podium-") as short:
        Path(short).chmod(0o711)
        yield Path(short)


@pytest.fixture
async def link(directory: Path) -> AsyncIterator[Link]:
    made = Link(directory / "ipc.sock", LAUNCH, None)
    await made.open()
    yield made
    made.close()


@pytest.fixture
async def connect(link: Link) -> AsyncIterator[Callable[[], "asyncio.Future[Peer]"]]:
    peers = list[Peer]()

    async def stranger() -> Peer:
        peers.append(Peer(*await asyncio.open_unix_connection(str(link.path))))
        return peers[-1]

    yield lambda: asyncio.ensure_future(stranger())
    for peer in peers:
        peer.close()


Connect = Callable[[], "asyncio.Future[Peer]"]


def hello(launch_id: str = LAUNCH, protocol: int = PROTOCOL) -> Hello:
    return Hello(protocol=protocol, sdk="test/1", launch_id=launch_id)


def record(n: int, message: str = "") -> Log:
    return Log(n=n, level="info", message=message or str(n))


async def welcomed(link: Link, connect: Connect) -> Peer:
    peer = await connect()
    peer.send(hello())
    await until(link.connected.is_set)
    return peer


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(DEADLINE_S):
        while not condition():
            await asyncio.sleep(0.001)


async def received(link: Link, count: int) -> list[FromAgent]:
    frames = list[FromAgent]()
    async with asyncio.timeout(DEADLINE_S):
        while len(frames) < count:
            frames += await link.receive() or []
    return frames


async def broken(link: Link) -> FrameError:
    async with asyncio.timeout(DEADLINE_S):
        with pytest.raises(FrameError) as error:
            while await link.receive():
                pass
    return error.value


# ---- who may speak


async def test_the_right_agent_is_heard_and_answered(link: Link, connect: Connect) -> None:
    peer = await welcomed(link, connect)
    peer.send(record(1), record(2))
    assert await received(link, 2) == [record(1), record(2)]
    link.ack(2, soon=False)
    assert await peer.receive() == AckN(n=2)


async def test_another_launch_is_refused(link: Link, connect: Connect) -> None:
    peer = await connect()
    peer.send(hello("launch-2"), record(1))
    assert await peer.hung_up()
    assert not link.connected.is_set()
    assert link.received_n == 0


async def test_a_stranger_has_one_try(link: Link, connect: Connect) -> None:
    peer = await connect()
    peer.send(hello("launch-2"), hello(), record(1))
    assert await peer.hung_up()
    assert not link.connected.is_set()


async def test_a_protocol_of_the_future_is_refused(link: Link, connect: Connect) -> None:
    peer = await connect()
    peer.send(hello(protocol=PROTOCOL + 1))
    assert await peer.hung_up()


@pytest.mark.parametrize(
    "first",
    [
        encode_frame(msgspec.json.encode(record(1))),
        encode_frame(b"{}"),
        encode_frame(b"hello"),
        encode_frame(b"[" * 100_000),
        b"\0\0\0\0",
        (MAX_FRAME_BYTES + 1).to_bytes(4, "little"),
        b"GET / HTTP/1.1\r\n\r\n",
    ],
)
async def test_who_does_not_say_hello_first_is_dropped_and_breaks_nothing(link: Link, connect: Connect, first: bytes) -> None:
    peer = await connect()
    peer.raw(first)
    assert await peer.hung_up()
    agent = await welcomed(link, connect)
    agent.send(record(1))
    assert await received(link, 1) == [record(1)]


async def test_who_says_nothing_is_dropped(link: Link, connect: Connect, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(link_module, "HELLO_TIMEOUT_S", 0.01)
    assert await (await connect()).hung_up()
    slow = await connect()
    slow.raw(encode_frame(msgspec.json.encode(hello()))[:-1])
    assert await slow.hung_up()
    await until(lambda: link.strangers == 0)


async def test_who_has_said_hello_may_be_silent_for_ever(link: Link, connect: Connect, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(link_module, "HELLO_TIMEOUT_S", 0.5)
    agent = await welcomed(link, connect)
    assert await (await connect()).hung_up()  # that long at least
    agent.send(record(1))
    assert await received(link, 1) == [record(1)]


async def test_silent_strangers_do_not_pile_up(link: Link, connect: Connect) -> None:
    strangers = [await connect() for _ in range(MAX_STRANGERS)]
    await until(lambda: link.strangers == MAX_STRANGERS)
    assert await (await connect()).hung_up()
    strangers[0].close()
    await until(lambda: link.strangers == MAX_STRANGERS - 1)
    await welcomed(link, connect)


def test_the_socket_lets_nobody_else_in(directory: Path) -> None:
    async def check() -> None:
        link = Link(directory / "ipc.sock", LAUNCH, None)
        await link.open()
        assert S_IMODE(link.path.stat().st_mode) == 0o600
        link.close()

    asyncio.run(check())


@needs_root
async def test_another_uid_cannot_even_connect(link: Link) -> None:
    with socket(AF_UNIX) as other, nobody(), pytest.raises(PermissionError):
        other.connect(str(link.path))


@needs_root
async def test_another_uid_that_gets_through_is_refused(link: Link) -> None:
    link.path.chmod(0o666)
    other = socket(AF_UNIX)
    with nobody():
        other.connect(str(link.path))
    other.setblocking(False)
    peer = Peer(*await asyncio.open_unix_connection(sock=other))
    peer.send(hello(), record(1))
    assert await peer.hung_up()
    assert not link.connected.is_set()
    peer.close()


@needs_root
async def test_an_agent_with_a_uid_of_its_own_is_let_in_and_root_is_not(directory: Path) -> None:
    link = Link(directory / "ipc.sock", LAUNCH, NOBODY)
    await link.open()
    assert link.path.stat().st_uid == NOBODY
    root = Peer(*await asyncio.open_unix_connection(str(link.path)))
    root.send(hello())
    assert await root.hung_up()
    own = socket(AF_UNIX)
    with nobody():
        own.connect(str(link.path))
    own.setblocking(False)
    agent = Peer(*await asyncio.open_unix_connection(sock=own))
    agent.send(hello(), record(1))
    assert await received(link, 1) == [record(1)]
    for peer in (root, agent):
        peer.close()
    link.close()


# ---- numbers


async def test_what_is_known_is_dropped(link: Link, connect: Connect) -> None:
    peer = await welcomed(link, connect)
    peer.send(record(1), record(2), record(1), record(2), record(0), record(-5), record(3))
    assert await received(link, 3) == [record(1), record(2), record(3)]
    assert link.received_n == 3


async def test_a_number_left_out_breaks_the_protocol(link: Link, connect: Connect) -> None:
    peer = await welcomed(link, connect)
    peer.send(record(1), record(3))
    assert await link.receive() == [record(1)]
    assert "3 came after 1" in str(await broken(link))
    assert await peer.hung_up()


@pytest.mark.parametrize(
    "wrong",
    [
        b"\0\0\0\0",
        (MAX_FRAME_BYTES + 1).to_bytes(4, "little"),
        encode_frame(b'{"type": "unheard_of", "n": 1}'),
        encode_frame(b'{"type": "log", "n": "1", "level": "info", "message": ""}'),
        encode_frame(b'{"type": "log", "n": 99999999999999999999999, "level": "info", "message": ""}'),
        encode_frame(b'{"type": "stream_update", "n": 1, "message_id": "m", "element": ' + b"[" * 100_000),
        encode_frame(b"\xff\xfe"),
        encode_frame(msgspec.json.encode(hello())),
    ],
)
async def test_a_known_agent_that_breaks_the_rules_is_reported(link: Link, connect: Connect, wrong: bytes) -> None:
    peer = await welcomed(link, connect)
    peer.raw(wrong)
    assert isinstance(await broken(link), FrameError)
    assert await peer.hung_up()


async def test_fields_of_a_newer_sdk_are_ignored(link: Link, connect: Connect) -> None:
    peer = await welcomed(link, connect)
    peer.raw(encode_frame(b'{"type": "complete", "n": 1, "message_id": "m", "mood": "good"}'))
    assert await received(link, 1) == [Complete(n=1, message_id="m")]


async def test_a_failure_is_a_frame_like_others(link: Link, connect: Connect) -> None:
    peer = await welcomed(link, connect)
    failure = AgentFailure(n=1, code="agent_error", message="ValueError: no")
    peer.send(failure)
    assert await received(link, 1) == [failure]


# ---- acknowledging and repeating


async def test_frames_wait_for_the_agent(link: Link, connect: Connect) -> None:
    link.send(IdleCheck(id="a"))
    link.send(Ping())  # nobody to ask yet: it is not kept
    link.send(Shutdown(id="b", reason="idle"))
    peer = await welcomed(link, connect)
    assert [await peer.receive(), await peer.receive()] == [IdleCheck(id="a"), Shutdown(id="b", reason="idle")]


async def test_an_acknowledgement_that_can_wait_goes_with_the_next_frame(
    link: Link, connect: Connect, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(link_module, "ACK_AFTER_S", 1000)
    peer = await welcomed(link, connect)
    link.ack(1, soon=True)
    link.ack(2, soon=True)
    link.send(IdleCheck(id="a"))
    link.send(IdleCheck(id="b"))
    assert [await peer.receive() for _ in range(3)] == [AckN(n=2), IdleCheck(id="a"), IdleCheck(id="b")]


async def test_it_does_not_wait_for_ever_nor_for_many(link: Link, connect: Connect, monkeypatch: pytest.MonkeyPatch) -> None:
    peer = await welcomed(link, connect)
    link.ack(1, soon=True)
    assert await peer.receive() == AckN(n=1)
    monkeypatch.setattr(link_module, "ACK_AFTER_S", 1000)
    link.ack(ACK_AFTER_FRAMES, soon=True)
    link.ack(ACK_AFTER_FRAMES + 1, soon=True)
    assert await peer.receive() == AckN(n=ACK_AFTER_FRAMES + 1)


async def test_it_does_not_wait_while_the_agent_keeps_much(link: Link, connect: Connect, monkeypatch: pytest.MonkeyPatch) -> None:
    """An agent whose outbox is full waits for it."""
    monkeypatch.setattr(link_module, "ACK_AFTER_S", 1000)
    peer = await welcomed(link, connect)
    link.take(Log(n=1, level="info", message="x"), ACK_AFTER_BYTES - 1)
    link.ack(1, soon=True)
    link.take(Log(n=2, level="info", message="x"), 1)
    link.ack(2, soon=True)
    assert await peer.receive() == AckN(n=2)


async def test_an_acknowledgement_that_may_have_been_lost_is_given_again_first(link: Link, connect: Connect) -> None:
    peer = await welcomed(link, connect)
    link.send(IdleCheck(id="a"))
    link.ack(3, soon=False)
    assert [await peer.receive(), await peer.receive()] == [IdleCheck(id="a"), AckN(n=3)]
    link.connected.clear()
    peer.close()
    peer = await welcomed(link, connect)
    assert [await peer.receive(), await peer.receive()] == [AckN(n=3), IdleCheck(id="a")]


async def test_a_ping_is_answered_and_not_repeated(link: Link, connect: Connect) -> None:
    peer = await welcomed(link, connect)
    link.send(Ping())
    assert await peer.receive() == Ping()
    peer.send(Pong(), record(1))
    assert await received(link, 1) == [record(1)]


async def test_a_sign_of_life_and_whose_it_is(link: Link, connect: Connect) -> None:
    link.ping()
    assert (link.pid, link.heard_at) == (None, 0.0)
    peer = await welcomed(link, connect)
    assert link.pid == os.getpid()
    link.ping()
    assert isinstance(await peer.receive(), Ping)
    peer.send(Pong())
    await until(lambda: link.heard_at > 0)


async def test_an_agent_that_acknowledges_nothing_breaks_the_protocol(
    link: Link, connect: Connect, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(link_module, "MAX_UNHEARD_BYTES", 1000)
    peer = await welcomed(link, connect)
    for n in range(100):
        link.send(IdleCheck(id=f"i{n}"))
        assert await peer.receive() == IdleCheck(id=f"i{n}")
        link.send(IdleCheck(id=f"i{n}"))  # again, as to an agent that was taken over: it counts once
        peer.send(AckId(id=f"i{n}"))
        await peer.receive()
    peer.send(record(1))
    await received(link, 1)
    for n in range(100):
        link.send(IdleCheck(id=f"j{n}"))
    assert "1000 bytes were sent and not acknowledged" in str(await broken(link))


async def test_an_agent_that_has_broken_the_protocol_is_not_heard_again(
    link: Link, connect: Connect, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else one that goes on talking would never be ended, and held ever more of what it does not acknowledge."""
    monkeypatch.setattr(link_module, "MAX_UNHEARD_BYTES", 100)
    peer = await welcomed(link, connect)
    peer.send(record(1))
    await received(link, 1)
    for n in range(10):
        link.send(IdleCheck(id=f"i{n}"))
    again = await connect()
    again.send(hello(), record(2))
    assert await again.hung_up()
    assert "not acknowledged" in str(await broken(link))
    assert link.received_n == 1


async def test_after_a_reconnect_only_the_unacknowledged_is_repeated_in_order(link: Link, connect: Connect) -> None:
    peer = await welcomed(link, connect)
    for name in ("a", "b", "c"):
        link.send(IdleCheck(id=name))
        assert await peer.receive() == IdleCheck(id=name)
    peer.send(AckId(id="b"), AckId(id="unknown"), record(1))
    await received(link, 1)
    link.connected.clear()
    peer.close()
    peer = await welcomed(link, connect)
    assert [await peer.receive(), await peer.receive()] == [IdleCheck(id="a"), IdleCheck(id="c")]
    peer.send(record(1), record(2))  # 1 was not acknowledged, so the agent sends it again
    assert await received(link, 1) == [record(2)]


async def test_a_new_connection_takes_the_place_of_the_old_one(link: Link, connect: Connect) -> None:
    first = await welcomed(link, connect)
    link.connected.clear()
    second = await welcomed(link, connect)
    assert await first.hung_up()
    link.send(IdleCheck(id="a"))
    assert await second.receive() == IdleCheck(id="a")


# ---- bounds


@pytest.mark.parametrize(("bound", "most"), [("MAX_HELD_FRAMES", 8), ("MAX_HELD_BYTES", 100_000)])
async def test_an_agent_that_is_too_fast_has_to_wait(
    link: Link, connect: Connect, monkeypatch: pytest.MonkeyPatch, bound: str, most: int
) -> None:
    monkeypatch.setattr(link_module, bound, most)
    peer = await welcomed(link, connect)
    count = 400
    peer.send(*(record(n, "x" * 50_000) for n in range(1, count + 1)))  # 20 MB: more than sockets hold
    at_rest = await still(lambda: link.received_n)
    assert 0 < at_rest < count
    assert peer.writer.transport.get_write_buffer_size() > 0
    frames = await received(link, count)
    assert [frame.n for frame in frames if isinstance(frame, Log)] == list(range(1, count + 1))


async def still(value: Callable[[], int]) -> int:
    """The value once it has stopped moving: nothing came in many turns of the loop, though the peer has more to say."""
    async with asyncio.timeout(DEADLINE_S):
        before, unmoved = value(), 0
        while unmoved < 50 or not before:
            await asyncio.sleep(0.001)
            unmoved = unmoved + 1 if value() == before else 0
            before = value()
    return before


# ---- the end


async def test_what_has_arrived_can_be_received_after_the_end(link: Link, connect: Connect) -> None:
    peer = await welcomed(link, connect)
    peer.send(record(1))
    await until(lambda: link.received_n == 1)
    link.close()
    link.close()
    assert await link.receive() == [record(1)]
    assert await link.receive() is None
    assert await peer.hung_up()
    assert not link.path.exists()


async def test_the_end_wakes_who_waits(link: Link) -> None:
    waiting = asyncio.create_task(link.receive())
    await asyncio.sleep(0)
    link.close()
    assert await waiting is None


async def test_silence_is_when_the_connection_is_gone(link: Link, connect: Connect) -> None:
    await link.silent()
    peer = await welcomed(link, connect)
    waiting = asyncio.create_task(link.silent())
    peer.send(record(1))
    assert await received(link, 1) == [record(1)]
    assert not waiting.done()
    peer.send(record(2))
    peer.writer.close()
    async with asyncio.timeout(DEADLINE_S):
        await waiting
    assert await link.receive() == [record(2)]


async def test_a_socket_left_by_a_crash_is_replaced(directory: Path) -> None:
    with socket(AF_UNIX) as left:
        left.bind(str(directory / "ipc.sock"))
    link = Link(directory / "ipc.sock", LAUNCH, None)
    await link.open()
    peer = Peer(*await asyncio.open_unix_connection(str(link.path)))
    peer.send(hello(), record(1))
    assert await received(link, 1) == [record(1)]
    peer.close()
    link.close()


async def test_a_socket_that_cannot_be_made_is_said(directory: Path) -> None:
    with pytest.raises(OSError, match="No such file"):
        await Link(directory / "missing" / "ipc.sock", LAUNCH, None).open()
    assert os.listdir(directory) == []
