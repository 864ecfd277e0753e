"""Connections are cut at random bytes while agents stream, and gateway and coordinator die now and then: no gap, no duplicate.

`make test-reconnects N=10000` makes that many cuts; `RECONNECTS_SEED` repeats a run's choices.
"""

import asyncio
import contextlib
import itertools
import os
import random
from pathlib import Path
from tempfile import TemporaryDirectory

import psutil
import pytest

from podium.client import AsyncPodium, Unreachable
from tests.support.platform import AGENTS, Platform, deploy, running_platform
from tests.support.raw_reader import CuttingReader

CUTS = int(os.environ.get("RECONNECTS", "300"))
SEED = int(os.environ.get("RECONNECTS_SEED", str(random.randrange(2**32))))
READERS_OF_EACH_KIND = 4
AGENT_COUNT = 2
CUTS_BETWEEN_KILLS = 75


@pytest.mark.timeout(120 + CUTS // 10)
async def test_random_reconnects() -> None:
    print(f"RECONNECTS={CUTS} RECONNECTS_SEED={SEED}")
    chance = random.Random(SEED)
    async with running_platform() as platform, platform.client() as client:
        with TemporaryDirectory() as folder:
            deployment = await deploy(client, AGENTS / "probe", Path(folder))
        agents = [(await client.create(deployment)).instance_id for _ in range(AGENT_COUNT)]
        readers = {
            agent: [
                CuttingReader(platform.url, platform.key, agent, carrier, random.Random(chance.random()))
                for carrier in ("sse", "websocket")
                for _ in range(READERS_OF_EACH_KIND)
            ]
            for agent in agents
        }
        enough = asyncio.Event()
        async with asyncio.TaskGroup() as tasks:
            for agent in agents:
                tasks.create_task(_talk(client, agent, enough))
            await _cut_and_kill(platform, [reader for group in readers.values() for reader in group], chance)
            enough.set()
        for agent, group in readers.items():
            await _compare(client, agent, group)
        print(f"{sum(reader.cuts for group in readers.values() for reader in group)} cuts, "
              f"{sum(len(group[0].seen) for group in readers.values())} events in {AGENT_COUNT} lines")  # fmt: skip


async def _talk(client: AsyncPodium, agent: str, enough: asyncio.Event) -> None:
    """Keep the agent streaming; leave nothing behind that could still be on its way."""
    for n in itertools.takewhile(lambda _: not enough.is_set(), itertools.count()):
        while True:
            try:
                await client.send(agent, "tokens 300 0.002", message_id=f"m{n}")
            except Unreachable:  # killed so often that its supervisor lets it wait
                continue
            break


async def _cut_and_kill(platform: Platform, readers: list[CuttingReader], chance: random.Random) -> None:
    async def read(reader: CuttingReader) -> None:
        while sum(each.cuts for each in readers) < CUTS:
            await reader.once()

    async def kill() -> None:
        due = CUTS_BETWEEN_KILLS
        while due < CUTS:
            while sum(each.cuts for each in readers) < due:
                await asyncio.sleep(0.02)
            due += CUTS_BETWEEN_KILLS * max(1, CUTS // 3000)
            with contextlib.suppress(LookupError, psutil.Error):
                platform.part(chance.choice(("gateway", "coordinator"))).kill()

    async with asyncio.TaskGroup() as group:
        for reader in readers:
            group.create_task(read(reader))
        group.create_task(kill())


async def _compare(client: AsyncPodium, agent: str, readers: list[CuttingReader]) -> None:
    """All have seen the same line, which is the whole."""
    last = int((await client.instance(agent)).cursor.partition(".")[2])
    for reader in readers:
        async with asyncio.timeout(60):
            while not reader.seen or reader.seen[-1][1] < last:
                await reader.once(until_seq=last)
        assert [seq for _, seq, _ in reader.seen] == list(range(1, last + 1))
        assert reader.seen == readers[0].seen
