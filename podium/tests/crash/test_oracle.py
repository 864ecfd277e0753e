"""Many agents at work while everything under them dies: in the end all is as the clients were told.

`SEED=` repeats a run as far as the machine allows; `N=` (as in `make test-crash N=2000`) sets how many points it takes. A point
is one agent that had a message on its way when a fault happened.
"""

import asyncio
import contextlib
import json
import os
import random
import time
from collections.abc import AsyncIterator
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from podium.client import AsyncPodium
from podium.protocol.events import Event
from tests.crash.progress import told
from tests.support.faults import Faults
from tests.support.judge import Found, judge
from tests.support.ledger import Ledger, Ticks
from tests.support.load import Load, read_and_leave, read_on
from tests.support.platform import AGENTS, Platform, chaos_platform, deploy
from tests.support.small_disk import SmallDisk, small_disk

AGENTS_AT_ONCE = 10
POINTS = int(os.environ.get("N") or 250)
SEED = int(os.environ.get("SEED") or 0) or random.randrange(1, 1_000_000)


@pytest.mark.timeout(1800 + POINTS)
async def test_everything_acknowledged_survives_everything() -> None:
    rng = random.Random(SEED)
    began = time.monotonic()
    told(f"crash oracle: SEED={SEED}")
    async with a_platform() as (platform, boot, disk), platform.client() as client:
        ledgers = await agents(client)
        faults = Faults(platform, ledgers, random.Random(rng.random()), boot, disk)
        try:
            await drive(client, ledgers, rng, faults)
            await asyncio.gather(*(compare(client, ledger) for ledger in ledgers))
        except BaseException:
            print(platform.output[-100_000:])
            raise
        finally:
            messages = sum(len(ledger.sent) for ledger in ledgers)
            kinds = ", ".join(f"{kind} {count}" for kind, count in sorted(faults.by_kind.items()))
            told(f"crash oracle: {faults.points} points, {messages} messages, {time.monotonic() - began:.0f} s ({kinds})")
    assert faults.points >= POINTS
    if disk is None:
        told("crash oracle: NOT CHECKED without root: full disks and power cuts")


@contextlib.asynccontextmanager
async def a_platform() -> AsyncIterator[tuple[Platform, Path, SmallDisk | None]]:
    """A platform on a disk of its own where that can be had."""
    with TemporaryDirectory(prefix="podium-crash-") as folder, contextlib.ExitStack() as stack:
        Path(folder).chmod(0o711)
        disk = stack.enter_context(small_disk()) if os.getuid() == 0 else None
        boot = Path(folder) / "boot_id"
        boot.write_text("first-boot")
        async with chaos_platform(disk.path if disk else Path(folder), boot) as platform:
            yield platform, boot, disk


async def agents(client: AsyncPodium) -> list[Ledger]:
    """Instances of the probe, each with an empty ledger."""
    ticks = Ticks()
    with TemporaryDirectory() as folder:
        deployment = await deploy(client, AGENTS / "probe", Path(folder))
    return [Ledger((await client.create(deployment, agent_id=f"a{n}")).instance_id, ticks) for n in range(AGENTS_AT_ONCE)]


async def drive(client: AsyncPodium, ledgers: list[Ledger], rng: random.Random, faults: Faults) -> None:
    """Clients and readers at work while faults happen; what any of them finds ends it all."""
    loads = [Load(client, ledger, random.Random(rng.random())) for ledger in ledgers]
    async with asyncio.TaskGroup() as group:
        reading = [group.create_task(read_on(client, ledger)) for ledger in ledgers]
        reading += [group.create_task(read_and_leave(client, ledger, random.Random(rng.random()))) for ledger in ledgers]
        working = [group.create_task(load.run()) for load in loads]
        await faults.until_points(POINTS)
        for load in loads:
            load.stop()
        await asyncio.wait(working)
        for ledger in ledgers:
            await caught_up(client, ledger)
        for task in reading:
            task.cancel()


async def caught_up(client: AsyncPodium, ledger: Ledger) -> None:
    """Its readers have seen what there is; it rests, so that nothing more comes."""
    await client.hibernate(ledger.agent)
    head = int((await client.instance(ledger.agent)).cursor.partition(".")[2])
    async with asyncio.timeout(60):
        while not all(reader.line and reader.line[-1].seq >= head for reader in ledger.readers):
            await asyncio.sleep(0.02)


async def compare(client: AsyncPodium, ledger: Ledger) -> None:
    """The platform's own word against the ledger."""
    state = (await client.state(ledger.agent)).state
    head = int((await client.instance(ledger.agent)).cursor.partition(".")[2])
    line: list[Event] = []
    async with contextlib.aclosing(client.events(ledger.agent, after="0.0")) as frames:
        async for frame in frames:
            if isinstance(frame, Event):
                line.append(frame)
                if frame.seq >= head:
                    break
    history = await client.messages(ledger.agent)
    rows = [tuple(row) for row in json.loads((await client.send(ledger.agent, "rows")).text)]
    judge(ledger, Found(line=line, history=history, state=state, rows=rows[:-1]))
