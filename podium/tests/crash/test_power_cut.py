"""The power goes at any moment: what was promised to be durable is there afterwards."""

import asyncio
import os
import random
import subprocess
import sys
from pathlib import Path

from podium.agent.database import open_database
from podium.protocol.events import Event
from podium.state.sqlite import SqliteState
from tests.crash.progress import told
from tests.support.small_disk import SmallDisk, needs_root, small_disk
from tests.support.state_writer import SEGMENT_BYTES
from tests.support.states import create_state, open_states

CUTS = 20
PROMISES = {"accepted": 3, "turn": 4, "failed": 3}
"""How many words a line of the writer has."""
SEED = int(os.environ.get("SEED") or 0) or random.randrange(1, 1_000_000)


@needs_root
def test_sql_that_was_committed_before_complete_is_there_after_a_power_cut() -> None:
    with small_disk() as disk:
        path = disk.path / ".podium" / "agent.db"
        for n in range(3):
            sql = open_database(path)
            sql.execute("CREATE TABLE IF NOT EXISTS t (n)")
            sql.execute("INSERT INTO t VALUES (?)", (n,))
            sql.finish()
            sql.close()
            disk.cut_power()
            disk.power_on()
            sql = open_database(path)
            assert [row[0] for row in sql.execute("SELECT n FROM t")] == list(range(n + 1))
            sql.close()


@needs_root
async def test_whatever_the_state_has_promised_is_there_after_power_cuts() -> None:
    rng = random.Random(SEED)
    told(f"power cuts: SEED={SEED}")
    promised: dict[str, list[list[str]]] = {}
    with small_disk() as disk:
        folder = disk.path / "states"
        folder.mkdir()
        subprocess.run(["sync", "-f", str(disk.path)], check=True)
        for n in range(CUTS):
            said = await write_until_cut(disk, folder, rng.randrange(1_000_000), rng.uniform(0.0, 0.4))
            for kind, name, *rest in said:
                promised.setdefault(name, []).append([kind, *rest])
            async with asyncio.timeout(20):
                await check(folder, promised, f"boot-{n}")
    told(f"power cuts: {CUTS} cuts, {sum(map(len, promised.values()))} promises")


@needs_root
async def test_what_a_killed_coordinator_had_promised_outlives_the_journal_that_its_follower_forgets() -> None:
    """Killed, begun anew, and only then the power goes: the journal is empty by then, the files themselves must hold it all."""
    rng = random.Random(SEED)
    promised: dict[str, list[list[str]]] = {}
    with small_disk() as disk:
        folder = disk.path / "states"
        folder.mkdir()
        subprocess.run(["sync", "-f", str(disk.path)], check=True)
        for n in range(5):
            said = await write_until_killed(folder, rng.randrange(1_000_000), rng.uniform(0.0, 0.7))
            for kind, name, *rest in said:
                promised.setdefault(name, []).append([kind, *rest])
            await (await open_states(folder, segment_bytes=SEGMENT_BYTES)).close()
            disk.cut_power()
            await asyncio.to_thread(disk.power_on)
            async with asyncio.timeout(20):
                await check(folder, promised, f"boot-{n}")


async def write_until_killed(folder: Path, seed: int, after_s: float) -> list[list[str]]:
    """Write, kill the writer in the middle of it, and return what was promised before."""
    argv = [sys.executable, "-m", "tests.support.state_writer", str(folder), str(seed)]
    writer = await asyncio.create_subprocess_exec(*argv, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    assert writer.stdout
    said = [await asyncio.wait_for(writer.stdout.readline(), 30)]
    await asyncio.sleep(after_s)
    writer.kill()
    said += (await writer.stdout.read()).splitlines()
    await writer.wait()
    return promises(said)


async def write_until_cut(disk: SmallDisk, folder: Path, seed: int, after_s: float) -> list[list[str]]:
    """Write, cut the power in the middle of it, and return what was promised before."""
    argv = [sys.executable, "-m", "tests.support.state_writer", str(folder), str(seed)]
    writer = await asyncio.create_subprocess_exec(*argv, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    assert writer.stdout
    said = [await asyncio.wait_for(writer.stdout.readline(), 30)]
    await asyncio.sleep(after_s)
    disk.cut_power()
    writer.kill()
    said += (await writer.stdout.read()).splitlines()
    await writer.wait()
    await asyncio.to_thread(disk.power_on)
    return promises(said)


def promises(said: list[bytes]) -> list[list[str]]:
    """What a writer promised; what it logged when the disk was gone is among what it said."""
    words = [line.decode(errors="replace").split() for line in said]
    return [line for line in words if line and len(line) == PROMISES.get(line[0])]


async def check(folder: Path, promised: dict[str, list[list[str]]], boot_id: str) -> None:
    """Each state holds all that was promised, and is what a whole number of its changes makes."""
    states = await open_states(folder, segment_bytes=SEGMENT_BYTES)
    for name in promised:
        state = await create_state(states, folder / f"{name}.db", boot_id=boot_id)
        found = {status.message_id: status.status for status in (await state.messages(0, 100_000))[0]}
        for kind, message_id, *_ in promised[name]:
            assert message_id in found, f"{name}: {message_id} was accepted and is lost"
            if kind != "accepted":
                assert found[message_id] == {"turn": "complete", "failed": "failed"}[kind], f"{name} {message_id}: {kind} is lost"
        document, overview = await state.document(), await state.overview()
        assert document.state.get("total", 0) == sum(status == "complete" for status in found.values())
        assert document.checkpoint == sum(status in ("complete", "failed") for status in found.values())
        seqs = [event.seq for event in await every_event(state)]
        assert seqs == list(range(1, overview.head.seq + 1))
        await state.close(clean=False)
    await states.close()


async def every_event(state: SqliteState) -> list[Event]:
    events: list[Event] = []
    while page := await state.events_after(events[-1].seq if events else 0, 1000):
        events += page
    return events
