"""Readers that take nothing of what they are sent: nobody waits for them, and they are cut off."""

import asyncio
import socket as sockets
from collections.abc import AsyncIterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest
import pytest_asyncio

from tests.support.platform import AGENTS, Platform, deploy, running_platform, until
from tests.support.ws_client import WsClient, socket

pytestmark = pytest.mark.asyncio(loop_scope="module")
REPEATS = 25
"""More in all than the buffers of a connection and of the kernel hold."""


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def impatient() -> AsyncIterator[Platform]:
    async with running_platform(READER_TIMEOUT="1s") as running:
        yield running


def stuck(platform: Platform, agent: str, carrier: str) -> sockets.socket:
    """A connection that has asked for the stream and reads nothing."""
    address = urlsplit(platform.url)
    connection = sockets.create_connection((address.hostname, address.port))
    connection.setsockopt(sockets.SOL_SOCKET, sockets.SO_RCVBUF, 4096)
    path, more = f"/api/v1/instances/{agent}/events", ""
    if carrier == "websocket":
        nonce = "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n"
        path, more = f"/agent/{agent}", f"Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n{nonce}"
    connection.sendall(f"GET {path} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {platform.key}\r\n{more}\r\n".encode())
    return connection


def connections(platform: Platform, ports: set[int]) -> int:
    """How many of the connections from these ports the gateway still has."""
    return sum(1 for each in platform.part("gateway").net_connections("tcp") if each.raddr and each.raddr.port in ports)


async def test_they_delay_nobody_and_are_cut_off(impatient: Platform, tmp_path: Path) -> None:
    async with impatient.client() as client:
        agent = (await client.create(await deploy(client, AGENTS / "probe", tmp_path))).instance_id
        await client.send(agent, "echo before")
        dead = [stuck(impatient, agent, carrier) for carrier in ("sse", "websocket", "sse", "websocket")]
        ports = {connection.getsockname()[1] for connection in dead}
        await until(lambda: connections(impatient, ports) == len(dead))
        async with socket(impatient, agent) as ws:
            await ws.frame()
            async with asyncio.TaskGroup() as tasks:
                reading = tasks.create_task(_read(ws))
                for _ in range(REPEATS):
                    await client.send(agent, "pour 900000")
            seqs = reading.result()
            assert seqs == list(range(seqs[0], seqs[0] + len(seqs)))
        await until(lambda: connections(impatient, ports) == 0)
        assert (await client.send(agent, "echo after")).text == "after"
        for connection in dead:
            connection.close()


async def _read(ws: WsClient) -> list[int]:
    return [event["seq"] for _ in range(REPEATS) for event in await ws.events_until("complete")]
