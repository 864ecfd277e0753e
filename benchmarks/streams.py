"""Streamed events: how many a second from agent to WebSocket client, how late, and what neighbours and slow readers do to them.

`python benchmarks/streams.py [--events 200000]`. Agent, coordinator, gateway and client share this machine's cores, so that the
wall clock counts all four; the rows per core divide by the CPU time of one process alone.
"""

import argparse
import asyncio
import base64
import contextlib
import os
import statistics
import sys
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from urllib.parse import urlsplit

import msgspec
import psutil
import uvloop
from report import Row, percentile, publish

from podium.auth import CALLER_HEADER, PLATFORM_TENANT, Caller, Signer
from podium.client import AsyncPodium

sys.path.insert(0, str(Path(__file__).parents[1] / "podium"))
from tests.support.platform import Platform, deploy, running_platform

STREAMER = Path(__file__).parent / "agents" / "streamer"
ROUNDS = 3
PACED_EVENTS, PACED_PER_S = 400, 200
SLOW_READERS = 10
Headers = Callable[[str], dict[str, str]]


class Reader(asyncio.Protocol):
    """Reads a WebSocket as cheaply as Python can: walks over the frames, and looks only into the last one of what has come."""

    def __init__(self, head: bytes, parse_all: bool) -> None:
        self.count = 0
        self.latencies_ms: list[float] = []
        self.opened = asyncio.Event()
        self.complete = asyncio.Event()
        self.lost = False
        self._head = head
        self._parse_all = parse_all
        self._buffer = bytearray()
        self._first_seq: int | None = None
        self.transport: asyncio.Transport

    def connection_made(self, transport: Any) -> None:
        self.transport = transport
        transport.write(self._head)

    def connection_lost(self, exc: Exception | None) -> None:
        self.lost = True
        self.complete.set()

    def data_received(self, data: bytes) -> None:
        now_ns = time.monotonic_ns()
        self._buffer += data
        if not self.opened.is_set():
            head, end, rest = bytes(self._buffer).partition(b"\r\n\r\n")
            if not end:
                return
            assert b" 101 " in head, head
            self._buffer = bytearray(rest)
            self.opened.set()
        self._walk(self._buffer, now_ns)

    def _walk(self, buffer: bytearray, now_ns: int) -> None:
        start, have, last = 0, len(buffer), None
        while have - start >= 2:
            size, begin = buffer[start + 1], start + 2
            if size > 125:
                begin = start + (4 if size == 126 else 10)
                size = int.from_bytes(buffer[start + 2 : begin], "big")
            if have < begin + size:
                break
            if buffer[start] == 0x81 and b'"status"' not in buffer[begin : begin + 20]:
                self.count += 1
                last = (begin, begin + size)
                if self._parse_all:
                    self._took(msgspec.json.decode(buffer[begin : begin + size]), now_ns)
            start = begin + size
        if last:
            self._check(msgspec.json.decode(buffer[last[0] : last[1]]))
        del buffer[:start]

    def _took(self, frame: dict[str, Any], now_ns: int) -> None:
        text = frame.get("content", {}).get("text", "")
        if frame.get("event_type") == "update" and text:
            self.latencies_ms.append((now_ns - int(text)) / 1e6)

    def _check(self, frame: dict[str, Any]) -> None:
        self._first_seq = self._first_seq or frame["seq"] - self.count + 1
        assert frame["seq"] - self._first_seq + 1 == self.count, "a gap or a duplicate"
        if frame["event_type"] == "complete":
            self.complete.set()


class Bench:
    """A platform, two ways to its streams, and agents."""

    def __init__(self, platform: Platform, client: AsyncPodium, deployment: str, coordinator: str) -> None:
        self.platform = platform
        self.client = client
        signer = Signer((platform.data / "keys" / "secrets_key").read_text().strip())
        admin = Caller(tenant_id=PLATFORM_TENANT, admin=True)
        self._deployment = deployment
        self.through: tuple[str, Headers] = (platform.url, lambda _: {"Authorization": f"Bearer {platform.key}"})
        self.direct: tuple[str, Headers] = (coordinator, lambda path: {CALLER_HEADER: signer.sign(admin, "GET", path)})

    async def agent(self) -> str:
        """A new one, awake."""
        agent = (await self.client.create(self._deployment)).instance_id
        await self.client.send(agent, "flood 1")
        return agent

    @contextlib.asynccontextmanager
    async def reading(self, way: tuple[str, Headers], agent: str, *, parse_all: bool = False) -> AsyncIterator[Reader]:
        """A socket that is open and has seen `status`."""
        url, headers = way
        path, address = f"/agent/{agent}", urlsplit(url)
        fields = {
            "Host": "x", "Upgrade": "websocket", "Connection": "Upgrade", "Sec-WebSocket-Version": "13",
            "Sec-WebSocket-Key": base64.b64encode(os.urandom(16)).decode(), **headers(path),
        }  # fmt: skip
        lines = "".join(f"{name}: {value}\r\n" for name, value in fields.items())
        head = f"GET {path} HTTP/1.1\r\n{lines}\r\n".encode()
        loop = asyncio.get_running_loop()
        transport, reader = await loop.create_connection(lambda: Reader(head, parse_all), address.hostname, address.port)
        try:
            await reader.opened.wait()
            yield reader
        finally:
            transport.abort()

    async def flood(self, way: tuple[str, Headers], agent: str, events: int) -> dict[str, float]:
        """Events per second of the wall clock, and per CPU second of each process."""
        parts = {name: self.platform.part(name) for name in ("coordinator", "gateway")} | {"agent": self.platform.agent(agent)}
        async with self.reading(way, agent) as reader:
            before = {name: _cpu_s(part) for name, part in parts.items()}
            began = time.perf_counter()
            await asyncio.gather(self.client.send(agent, f"flood {events}", wait_s=300), reader.complete.wait())
            elapsed = time.perf_counter() - began
            assert not reader.lost
            count = reader.count
        used = {name: _cpu_s(part) - before[name] for name, part in parts.items()}
        return {"wall": count / elapsed} | {name: count / max(cpu_s, 0.01) for name, cpu_s in used.items()}

    async def paced(self, way: tuple[str, Headers], agent: str) -> list[float]:
        """Milliseconds from the agent's call until the client has the event."""
        async with self.reading(way, agent, parse_all=True) as reader:
            await asyncio.gather(
                self.client.send(agent, f"paced {PACED_EVENTS} {PACED_PER_S}", wait_s=300), reader.complete.wait()
            )
            assert not reader.lost
            return reader.latencies_ms

    @contextlib.asynccontextmanager
    async def flooding(self, agent: str) -> AsyncIterator[None]:
        """An agent that streams all the time, with one reader."""

        async def flood() -> None:
            while True:
                await self.client.send(agent, "flood 20000", wait_s=300)

        async with self.reading(self.through, agent):
            task = asyncio.create_task(flood())
            try:
                yield
            finally:
                task.cancel()
                await asyncio.wait({task})

    @contextlib.asynccontextmanager
    async def slow_readers(self, agent: str) -> AsyncIterator[None]:
        """Readers that open a stream and take nothing of it."""
        async with contextlib.AsyncExitStack() as stack:
            for _ in range(SLOW_READERS):
                reader = await stack.enter_async_context(self.reading(self.through, agent))
                reader.transport.pause_reading()
            yield


def _cpu_s(process: psutil.Process) -> float:
    times = process.cpu_times()
    return float(times.user + times.system)


async def measure(events: int) -> list[Row]:
    """All rows, on a platform of its own."""
    async with running_platform() as platform, platform.client() as client:
        with TemporaryDirectory() as folder:
            deployment = await deploy(client, STREAMER, Path(folder))
        bench = Bench(platform, client, deployment, (await client.coordinators())[0].url)
        agent, neighbour = await bench.agent(), await bench.agent()
        floods: dict[str, list[dict[str, float]]] = {"through": [], "direct": [], "beside": []}
        for _ in range(ROUNDS):
            floods["through"].append(await bench.flood(bench.through, agent, events))
            floods["direct"].append(await bench.flood(bench.direct, agent, events))
            async with bench.slow_readers(agent):
                floods["beside"].append(await bench.flood(bench.through, agent, events))
        through_ms, direct_ms, disturbed_ms = list[float](), list[float](), list[float]()
        for _ in range(ROUNDS):
            through_ms += await bench.paced(bench.through, agent)
            direct_ms += await bench.paced(bench.direct, agent)
            async with bench.flooding(neighbour):
                disturbed_ms += await bench.paced(bench.through, agent)
    middle = {name: {key: statistics.median(run[key] for run in runs) for key in runs[0]} for name, runs in floods.items()}
    return [*_throughput(middle), *_latency(through_ms, direct_ms, disturbed_ms)]


def _throughput(middle: dict[str, dict[str, float]]) -> list[Row]:
    through, direct, beside = middle["through"], middle["direct"], middle["beside"]
    per_core = min(through["coordinator"], through["gateway"])
    return [
        Row("streamed updates/s, one coordinator core + one gateway core", per_core, "1/s", "higher", must=50_000, aim=150_000),
        Row("… per CPU second of the coordinator", through["coordinator"], "1/s", "higher"),
        Row("… per CPU second of the gateway", through["gateway"], "1/s", "higher"),
        Row("… per CPU second of the agent", through["agent"], "1/s", "higher"),
        Row("streamed updates/s to a WebSocket client, all on this machine", through["wall"], "1/s", "higher"),
        Row("… directly from the coordinator", direct["wall"], "1/s", "higher", "gateway", direct["wall"] / through["wall"]),
        Row(
            f"… beside {SLOW_READERS} readers that take nothing", beside["wall"], "1/s", "higher", "without them",
            beside["wall"] / through["wall"],
        ),
    ]  # fmt: skip


def _latency(through_ms: list[float], direct_ms: list[float], disturbed_ms: list[float]) -> list[Row]:
    rows = []
    for name, share in (("p50", 0.5), ("p99", 0.99)):
        through, direct, disturbed = (percentile(values, share) for values in (through_ms, direct_ms, disturbed_ms))
        rows += [
            Row(f"agent → WebSocket client, {PACED_PER_S}/s: {name}", through, "ms", "lower", "coordinator", through / direct),
            Row(f"… added by the gateway: {name}", through - direct, "ms", "lower"),
            Row(f"… beside an agent that floods: {name}", disturbed, "ms", "lower", "alone", disturbed / through),
        ]
    return rows


def main() -> None:
    """Measure and publish."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--events", type=int, default=100_000)
    publish("streams", uvloop.run(measure(parser.parse_args().events)))


if __name__ == "__main__":
    main()
