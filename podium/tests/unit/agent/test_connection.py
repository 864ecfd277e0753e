"""The agent's end of the socket against a real one, without an agent."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from podium.agent.connection import KNOWN_IDS, Connection, ConnectionLost
from podium.protocol.framing import encode_frame
from podium.protocol.messages import IdleCheck, Log
from tests.support.coordinator_double import CoordinatorDouble


@pytest.fixture
def directory() -> Iterator[Path]:
    with TemporaryDirectory(prefix="podium-") as short:
        yield Path(short)


@pytest.fixture
async def coordinator(directory: Path) -> AsyncIterator[CoordinatorDouble]:
    double = CoordinatorDouble(directory)
    await double.listen()
    yield double
    await double.close()


@pytest.fixture
async def connection(coordinator: CoordinatorDouble) -> AsyncIterator[Connection]:
    connection = Connection(str(coordinator.socket), "launch-1")
    running = asyncio.create_task(connection.run())
    await coordinator.until(lambda: len(coordinator.hellos) == 1)
    yield connection
    running.cancel()
    await asyncio.wait({running})


def log(message: str) -> Log:
    return Log(n=0, level="info", message=message)


async def test_without_a_coordinator_it_gives_up(directory: Path) -> None:
    with pytest.raises(ConnectionLost, match=r"no coordinator on .* for 0.1 s"):
        await Connection(str(directory / "ipc.sock"), "launch-1", give_up_s=0.1).run()


async def test_one_that_hangs_up_without_a_word_is_no_coordinator(directory: Path) -> None:
    async def refuse(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.transport.abort()

    server = await asyncio.start_unix_server(refuse, directory / "ipc.sock")
    with pytest.raises(ConnectionLost):
        await Connection(str(directory / "ipc.sock"), "launch-1", give_up_s=0.1).run()
    server.close()
    await server.wait_closed()


async def test_one_that_has_nothing_to_say_is_a_coordinator(directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("podium.agent.connection.ACCEPTED_AFTER_S", 0.0)
    hellos = asyncio.Semaphore(0)

    async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1)
        hellos.release()
        writer.transport.abort()

    server = await asyncio.start_unix_server(silent, directory / "ipc.sock")
    running = asyncio.create_task(Connection(str(directory / "ipc.sock"), "launch-1", give_up_s=0.03).run())
    for _ in range(10):  # each time anew, which takes longer than 0.03 s together
        await asyncio.wait_for(hellos.acquire(), 20)
    running.cancel()
    await asyncio.wait({running})
    server.close()
    await server.wait_closed()


async def test_what_was_not_acknowledged_comes_again_in_order(coordinator: CoordinatorDouble, connection: Connection) -> None:
    coordinator.acknowledging = False
    connection.send(log("1"))
    connection.send(log("2"))
    await coordinator.until(lambda: len(coordinator.frames) == 2)
    coordinator.hang_up()
    connection.send(log("3"))
    await coordinator.until(lambda: len(coordinator.frames) == 3)
    assert [frame.message for frame in coordinator.of(Log)] == ["1", "2", "3"]
    assert coordinator.repeats == 2
    assert await connection.acknowledged(0.0) is False
    coordinator.acknowledge()
    assert await connection.acknowledged(10.0) is True


async def test_a_frame_is_received_once(coordinator: CoordinatorDouble, connection: Connection) -> None:
    for name in ("a", "a", "b"):
        coordinator.send(IdleCheck(id=name))
    assert [await connection.receive(), await connection.receive()] == [IdleCheck(id="a"), IdleCheck(id="b")]
    await coordinator.until(lambda: coordinator.acked_ids == ["a", "a", "b"])


async def test_only_so_many_ids_are_remembered(coordinator: CoordinatorDouble, connection: Connection) -> None:
    for number in range(KNOWN_IDS + 10):
        coordinator.send(IdleCheck(id=str(number)))
    await coordinator.until(lambda: len(coordinator.acked_ids) == KNOWN_IDS + 10)
    assert len(connection._known) == KNOWN_IDS


async def test_a_frame_nobody_knows_is_left_out(
    coordinator: CoordinatorDouble, connection: Connection, capsys: pytest.CaptureFixture[str]
) -> None:
    coordinator.write_bytes(encode_frame(b'{"type":"from_the_future","id":"x"}') + encode_frame(b"no json"))
    coordinator.send(IdleCheck(id="a"))
    assert await connection.receive() == IdleCheck(id="a")
    assert "from_the_future" in capsys.readouterr().err


async def test_a_broken_stream_is_begun_anew(coordinator: CoordinatorDouble, connection: Connection) -> None:
    coordinator.write_bytes(b"\xff" * 8)
    await coordinator.until(lambda: len(coordinator.hellos) == 2)
    coordinator.send(IdleCheck(id="a"))
    assert await connection.receive() == IdleCheck(id="a")


async def test_after_the_last_frame_nothing_is_sent(coordinator: CoordinatorDouble, connection: Connection) -> None:
    connection.send(log("last"))
    connection.seal()
    connection.send(log("late"))
    assert await connection.acknowledged(10.0)
    assert [frame.message for frame in coordinator.of(Log)] == ["last"]
