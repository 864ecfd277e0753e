"""Processes are killed at named points and at any; what clients were told stays true."""

import asyncio
import os
import signal
from pathlib import Path
from tempfile import TemporaryDirectory

import psutil
import pytest

from podium.client import AsyncPodium
from podium.protocol.events import Event
from tests.support.oracle import Oracle
from tests.support.platform import AGENTS, Platform, deploy, running_platform, until

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest.mark.parametrize("point", ["begun", "streaming", "committed"])
async def test_the_agent_dies_in_a_turn(client: AsyncPodium, agent: str, point: str) -> None:
    oracle = Oracle(client, agent)
    watching = asyncio.create_task(oracle.watch())
    await oracle.send("echo before")
    assert (await oracle.stream(f"kill {point}")) == "survived"
    assert (await oracle.send("echo after")).text == "after"
    await oracle.check(twice=frozenset({"m1"}) if point == "committed" else frozenset())
    await oracle.check_watched()
    watching.cancel()
    failed = [event for event in oracle.seen if event.event_type == "attempt_failed"]
    assert [(event.content["outcome"], event.content["will_retry"]) for event in failed] == [("exit", True)]


@pytest.mark.parametrize("part", ["coordinator", "gateway", "launcher", "valkey"])
async def test_a_part_of_the_platform_dies_in_a_turn(client: AsyncPodium, agent: str, platform: Platform, part: str) -> None:
    oracle = Oracle(client, agent)
    watching = asyncio.create_task(oracle.watch())
    await oracle.send("echo before")
    victim = platform.part(part)
    streaming = asyncio.create_task(oracle.stream("tokens 40 0.02"))
    await until(lambda: len([event for event in oracle.seen if event.event_type == "update"]) > 5)
    victim.kill()
    assert (await streaming) == " ".join(map(str, range(40))) + " end"
    assert (await oracle.send("echo after")).text == "after"
    await until(lambda: platform.part(part).pid != victim.pid)
    await oracle.check()
    await oracle.check_watched()
    watching.cancel()
    failed = [event for event in oracle.seen if event.event_type == "attempt_failed"]
    assert [event.content["outcome"] for event in failed] == (["interrupted"] if part == "launcher" else [])


async def test_messages_of_many_clients_survive_a_dying_coordinator(client: AsyncPodium, agent: str, platform: Platform) -> None:
    async def send(n: int) -> str:
        return (await client.send(agent, f"echo {n}", message_id=f"m{n}")).text

    sending = [asyncio.create_task(send(n)) for n in range(40)]
    await until(lambda: sum(task.done() for task in sending) > 5)
    platform.part("coordinator").kill()
    assert await asyncio.gather(*sending) == [str(n) for n in range(40)]
    words = (await client.state(agent)).state["words"]
    assert sorted(words, key=int) == [str(n) for n in range(40)]


async def test_a_sleeping_agent_is_left_asleep_by_a_restart(client: AsyncPodium, agent: str, platform: Platform) -> None:
    await client.send(agent, "echo x")
    await client.hibernate(agent)
    old = platform.part("coordinator")
    old.kill()
    await until(lambda: platform.part("coordinator").pid != old.pid)
    assert (await client.instance(agent)).status == "hibernated"
    assert (await client.send(agent, "echo y")).checkpoint == (await client.instance(agent)).checkpoint


async def test_when_up_is_killed_its_children_end_and_the_next_up_goes_on() -> None:
    async with running_platform() as platform:
        with TemporaryDirectory() as folder:
            async with platform.client() as client:
                deployment = await deploy(client, AGENTS / "probe", Path(folder))
                await client.create(deployment, agent_id="survivor")
                oracle = Oracle(client, "survivor")
                await oracle.send("echo one")
                children = psutil.Process(platform.pid).children(recursive=True)
                assert len(children) >= 5
                streaming = asyncio.create_task(oracle.stream("tokens 30 0.02"))
                await asyncio.sleep(0.2)
                os.kill(platform.pid, signal.SIGKILL)
                await platform.wait()
                await until(lambda: not [child for child in children if child.is_running() and child.status() != "zombie"])
                await platform.up()
                assert (await streaming).endswith("end")
                await oracle.check()


async def test_a_reader_behind_a_dead_gateway_has_no_gap(client: AsyncPodium, agent: str, platform: Platform) -> None:
    seen: list[Event] = []

    async def read() -> None:
        async for frame in client.events(agent, after="1.0"):
            if isinstance(frame, Event):
                seen.append(frame)

    reading = asyncio.create_task(read())
    for n in range(3):
        await client.send(agent, "tokens 5 0.001", message_id=f"t{n}")
        platform.part("gateway").kill()
    await client.send(agent, "echo last", message_id="last")
    await until(lambda: seen and seen[-1].message_id == "last" and seen[-1].event_type == "complete")
    reading.cancel()
    assert [event.seq for event in seen] == list(range(1, len(seen) + 1))
