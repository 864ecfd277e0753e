"""Turns per second, accepting a message, waking: on one coordinator, over real agents.

`python benchmarks/turns.py [--agents 50] [--seconds 8]`. The baseline of the disk is one writer that appends 4 KiB and
fdatasyncs, on the disk of the data directory; that of waking is starting the agent's interpreter with its imports.
"""

import argparse
import asyncio
import itertools
import statistics
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from tempfile import TemporaryDirectory

import aiohttp
import psutil
import uvloop
from disk import fdatasyncs_per_second
from report import Row, percentile, publish
from yarl import URL

from podium.auth import CALLER_HEADER, PLATFORM_TENANT, Caller, Signer
from podium.client import AsyncPodium

sys.path.insert(0, str(Path(__file__).parents[1] / "podium"))
from tests.support.platform import EXAMPLES, Platform, deploy, running_platform

Send = Callable[[str, str, str], Awaitable[None]]
_CALLER = Caller(tenant_id=PLATFORM_TENANT, admin=True)


class Direct:
    """Messages straight to the coordinator, signed as the gateway would."""

    def __init__(self, http: aiohttp.ClientSession, url: str, secrets_key: str) -> None:
        self._http = http
        self._url = url
        self._signer = Signer(secrets_key)

    async def send(self, agent: str, text: str, query: str) -> None:
        target = f"/api/v1/instances/{agent}/messages{query}"
        headers = {CALLER_HEADER: self._signer.sign(_CALLER, "POST", target)}
        async with self._http.post(URL(self._url + target, encoded=True), json={"text": text}, headers=headers) as answer:
            assert answer.status in (200, 202), await answer.text()
            await answer.read()


class Through:
    """Messages through the gateway."""

    def __init__(self, http: aiohttp.ClientSession, platform: Platform) -> None:
        self._http = http
        self._url = platform.url
        self._headers = {"authorization": f"Bearer {platform.key}"}

    async def send(self, agent: str, text: str, query: str) -> None:
        url = f"{self._url}/api/v1/instances/{agent}/messages{query}"
        async with self._http.post(url, json={"text": text}, headers=self._headers) as answer:
            assert answer.status in (200, 202), await answer.text()
            await answer.read()


async def turns_per_second(send: Send, agents: list[str], seconds: float) -> tuple[float, list[float]]:
    """One client per agent, each waiting for its reply before it sends again: (turns per second, ms of each)."""
    latencies: list[float] = []
    deadline = time.perf_counter() + seconds

    async def talk(agent: str) -> None:
        while (began := time.perf_counter()) < deadline:
            await send(agent, "x", "")
            latencies.append((time.perf_counter() - began) * 1000)

    began = time.perf_counter()
    await asyncio.gather(*(talk(agent) for agent in agents))
    return len(latencies) / (time.perf_counter() - began), latencies


async def accept_latencies(send: Send, agents: list[str], seconds: float, per_second: float) -> list[float]:
    """Milliseconds until a message is accepted durably (202), at a steady rate, agents taken in turn."""
    latencies: list[float] = []

    async def one(agent: str) -> None:
        began = time.perf_counter()
        await send(agent, "x", "?wait=0")
        latencies.append((time.perf_counter() - began) * 1000)

    tasks = set()
    turn = itertools.cycle(agents)
    for _ in range(int(seconds * per_second)):
        tasks.add(asyncio.create_task(one(next(turn))))
        await asyncio.sleep(1 / per_second)
    await asyncio.gather(*tasks)
    return latencies


async def wakes(client: AsyncPodium, agents: list[str]) -> list[float]:
    """Milliseconds from a request to a sleeping agent until its first event, one at a time."""
    latencies = []
    for agent in agents:
        await client.hibernate(agent)
        began = time.perf_counter()
        async for _ in client.stream(agent, "x"):
            latencies.append((time.perf_counter() - began) * 1000)
            break
    return latencies


def private_mib(process: psutil.Process) -> float:
    """Memory that is this process's alone."""
    return float(process.memory_full_info().uss) / 2**20


def idle_memory(platform: Platform, agents: list[str], coordinator_before_mib: float) -> tuple[float, float]:
    """MiB that each awake idle agent takes: its own process, and its share of the coordinator."""
    own = statistics.mean(private_mib(platform.agent(agent)) for agent in agents[:10])
    return own, (private_mib(platform.part("coordinator")) - coordinator_before_mib) / len(agents)


def interpreter_mib(platform: Platform) -> float:
    """Memory of the agents' interpreter with what the SDK's runtime needs, and nothing else."""
    [python] = list(platform.data.glob("environments/*/bin/python"))[:1]
    code = "import podium.agent.runtime, sys; print(flush=True); sys.stdin.read()"
    with subprocess.Popen([python, "-I", "-B", "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout
        process.stdout.readline()
        taken = private_mib(psutil.Process(process.pid))
        process.communicate()
    return taken


def interpreter_start_ms(platform: Platform) -> float:
    """Starting the agents' interpreter and importing what the SDK's runtime needs, nothing else."""
    [python] = list(platform.data.glob("environments/*/bin/python"))[:1]
    times = []
    for _ in range(10):
        began = time.perf_counter()
        subprocess.run([python, "-I", "-B", "-c", "import podium.agent.runtime"], check=True)
        times.append((time.perf_counter() - began) * 1000)
    return percentile(times, 0.5)


async def measure(agent_count: int, seconds: float) -> list[Row]:
    """All rows, on a platform of its own."""
    async with running_platform() as platform, platform.client() as client, aiohttp.ClientSession() as http:
        with TemporaryDirectory() as folder:
            deployment = await deploy(client, EXAMPLES / "counter", Path(folder))
        await client.send((await client.create(deployment)).instance_id, "x")
        coordinator_mib = private_mib(platform.part("coordinator"))
        created = [await client.create(deployment) for _ in range(agent_count)]
        agents = [instance.instance_id for instance in created]
        await asyncio.gather(*(client.send(agent, "x") for agent in agents))
        agent_mib, share_mib = idle_memory(platform, agents, coordinator_mib)
        bare_mib = interpreter_mib(platform)
        url = (await client.coordinators())[0].url
        direct = Direct(http, url, (platform.data / "keys" / "secrets_key").read_text().strip()).send
        through = Through(http, platform).send

        disk = fdatasyncs_per_second(platform.data, 2)
        rate, turn_ms = await turns_per_second(direct, agents, seconds)
        gateway_rate, _ = await turns_per_second(through, agents, seconds)
        accept = await accept_latencies(direct, agents, seconds, 200)
        gateway_accept = await accept_latencies(through, agents, seconds, 200)
        wake = await wakes(client, agents[:20])
        start_ms = interpreter_start_ms(platform)
    fsync_ms = 1000 / disk
    disk_name, start_name = f"fdatasync {fsync_ms:.2f} ms", f"interpreter + SDK {start_ms:.0f} ms"
    p50, p99, fsyncs = percentile(accept, 0.5), percentile(accept, 0.99), f"{disk:,.0f} fdatasync/s"
    return [
        Row("durable turns per second on one coordinator", rate, "1/s", "higher", fsyncs, rate / disk, 1000, 5000),
        Row("durable turns per second through the gateway", gateway_rate, "1/s", "higher", "coordinator", gateway_rate / rate),
        _beside("turn, 50 clients: p50", percentile(turn_ms, 0.5), disk_name, fsync_ms),
        _beside("accept of a message, fsynced: p50", p50, disk_name, fsync_ms, 10, 3),
        _beside("accept of a message, fsynced: p99", p99, disk_name, fsync_ms, 50, 20),
        _beside("accept of a message through the gateway: p50", percentile(gateway_accept, 0.5), "coordinator", p50),
        _beside("accept of a message through the gateway: p99", percentile(gateway_accept, 0.99), "coordinator", p99),
        _beside("wake of a sleeping agent on its host: p50", percentile(wake, 0.5), start_name, start_ms),
        _beside("wake of a sleeping agent on its host: p95", percentile(wake, 0.95), start_name, start_ms),
        Row(
            "memory of an idle agent's process",
            agent_mib,
            "MiB",
            "lower",
            f"interpreter + SDK {bare_mib:.1f} MiB",
            agent_mib / bare_mib,
        ),
        Row("memory of the coordinator per awake agent", share_mib, "MiB", "lower", "", None),
    ]


def _beside(name: str, ms: float, against: str, base_ms: float, must: float | None = None, aim: float | None = None) -> Row:
    return Row(name, ms, "ms", "lower", against, ms / base_ms, must, aim)


def main() -> None:
    """Measure and publish."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--agents", type=int, default=50)
    parser.add_argument("--seconds", type=float, default=8)
    arguments = parser.parse_args()
    publish("turns", uvloop.run(measure(arguments.agents, arguments.seconds)))


if __name__ == "__main__":
    main()
