"""The coordinator dies at named points and another takes over: agents live on, and nothing happens twice or not at all."""

import asyncio
import json
import os
import signal
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
import pytest_asyncio

from podium.client import AsyncPodium
from podium.protocol.api import LogRecord
from podium.protocol.events import Event
from tests.support.oracle import Oracle
from tests.support.platform import AGENTS, Platform, deploy, running_platform, until
from tests.support.variants import variant

pytestmark = pytest.mark.asyncio(loop_scope="module")


class Rig:
    """A platform whose coordinator dies where it is told to."""

    def __init__(self, platform: Platform, client: AsyncPodium, plan: Path) -> None:
        self.platform = platform
        self.client = client
        self.plan = plan

    async def restart(self, plan: str = "") -> None:
        """Kill the coordinator; the next one follows `plan`."""
        self.plan.write_text(f"{plan}\n" if plan else "")
        old = self.platform.part("coordinator").pid
        os.kill(old, signal.SIGKILL)
        await self.back(old)

    async def back(self, old: int) -> None:
        """Until another coordinator than `old` answers."""
        await until(lambda: self.platform.part("coordinator").pid != old)
        await until(self._answers)

    async def _answers(self) -> bool:
        return (await self.client.instances()) is not None

    async def dies(self, plan: str, doing: Callable[[], Awaitable[object]]) -> None:
        """The coordinator dies by `plan` while `doing`, which returns all the same."""
        await self.restart(plan)
        old = self.platform.part("coordinator").pid
        await doing()
        await self.back(old)

    async def failures(self, agent: str) -> list[dict]:
        """What every `attempt_failed` so far says."""
        line: list[Event] = []
        head = int((await self.client.instance(agent)).cursor.partition(".")[2])
        async for frame in self.client.events(agent):
            if isinstance(frame, Event):
                line.append(frame)
                if frame.seq >= head:
                    break
        assert [event.seq for event in line] == list(range(1, len(line) + 1))
        return [event.content for event in line if event.event_type == "attempt_failed"]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def rig() -> AsyncIterator[Rig]:
    with TemporaryDirectory() as folder:
        plan = Path(folder) / "plan"
        plan.touch()
        async with running_platform(PODIUM_CRASH_AT=f"@{plan}", RESTART_PAUSE="100ms") as platform, platform.client() as client:
            await deploy(client, AGENTS / "probe", Path(folder))
            await deploy(client, AGENTS / "sleeper", Path(folder))
            yield Rig(platform, client, plan)


@pytest_asyncio.fixture(loop_scope="module")
async def probe(rig: Rig) -> AsyncIterator[str]:
    instance = await rig.client.create("probe")
    yield instance.instance_id
    await rig.client.delete(instance.instance_id)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def sleeper(rig: Rig) -> AsyncIterator[str]:
    instance = await rig.client.create("sleeper")
    yield instance.instance_id
    await rig.client.delete(instance.instance_id)


# ---- messages


@pytest.mark.parametrize(
    "point", ["accepted:1", "begun:1", "handed-over:1", "grouped:4", "acknowledged:3", "ending:1", "ended:1"]
)
async def test_a_turn_goes_on_in_the_same_process_and_ends_once(rig: Rig, probe: str, point: str) -> None:
    oracle = Oracle(rig.client, probe)
    watching = asyncio.create_task(oracle.watch())
    await oracle.send("echo before")
    pid = rig.platform.agent(probe).pid
    await rig.dies(point, lambda: oracle.stream("tokens 10 0.02"))
    assert (await oracle.send("echo after")).text == "after"
    assert rig.platform.agent(probe).pid == pid
    assert await rig.failures(probe) == []
    await oracle.check()
    await oracle.check_watched()
    watching.cancel()


@pytest.mark.parametrize("point", ["failing:1", "killing:1"])
async def test_an_attempt_that_fails_is_closed_once_and_tried_again(rig: Rig, probe: str, point: str) -> None:
    oracle = Oracle(rig.client, probe)
    await rig.dies(point, lambda: oracle.send("fail 1"))
    assert oracle.replies["m0"].text == "attempt 2"
    [failed] = await rig.failures(probe)
    assert failed["outcome"] in ("exception", "exit", "interrupted")  # exit: it could not wait for the next coordinator
    await oracle.check()


async def test_many_deaths_in_one_turn(rig: Rig, probe: str) -> None:
    oracle = Oracle(rig.client, probe)
    await oracle.send("echo before")
    pid = rig.platform.agent(probe).pid
    streaming = asyncio.create_task(oracle.stream("tokens 150 0.03"))
    for _ in range(3):
        await rig.restart()
    assert (await streaming).endswith("149 end")
    assert rig.platform.agent(probe).pid == pid
    assert await rig.failures(probe) == []
    await oracle.check()


async def test_an_agent_that_was_upgraded_and_configured_lives_on_as_what_it_became(rig: Rig, tmp_path: Path) -> None:
    newer = await deploy(rig.client, variant(tmp_path, "probe", "1.1.0", {}), tmp_path)
    instance = (await rig.client.create("probe:1.0.0", config={"kept": 1, "changed": 1, "gone": 1})).instance_id
    oracle = Oracle(rig.client, instance)
    await oracle.send("echo one")
    await rig.client.update(instance, deployment=newer)
    await oracle.send("echo two")
    pid = rig.platform.agent(instance).pid
    await rig.restart()
    await rig.client.update(instance, config={"changed": 2, "gone": None})
    await oracle.send("echo three")
    await rig.restart()
    seen = json.loads((await oracle.send("look")).text)
    assert seen["config"] == {"greeting": "hello", "kept": 1, "changed": 2}
    assert rig.platform.agent(instance).pid == pid
    assert await rig.failures(instance) == []
    await oracle.check()
    await rig.client.delete(instance)


# ---- starts


@pytest.mark.parametrize(
    ("point", "adopted"), [("launching:1", False), ("launched:1", True), ("ended:1", True), ("started:1", True)]
)
async def test_a_start_goes_on(rig: Rig, sleeper: str, point: str, adopted: bool) -> None:
    await until(lambda: _is(rig, sleeper, "hibernated"))
    before = (await rig.client.state(sleeper)).state
    await rig.restart(point)
    old = rig.platform.part("coordinator").pid
    sending = asyncio.create_task(rig.client.send(sleeper, "hello"))
    await until(lambda: rig.platform.part("coordinator").pid != old)
    pid = rig.platform.agent(sleeper).pid if adopted else None
    reply = await sending
    assert pid is None or reply.text == f"pid {pid}"
    assert await rig.failures(sleeper) == []
    await until(lambda: _is(rig, sleeper, "hibernated"))
    after = (await rig.client.state(sleeper)).state
    assert after["woken"] == before["woken"] + 1
    assert after["words"] == [*before["words"], "hello 1"]


# ---- falling asleep


@pytest.mark.parametrize("point", ["handed-over:3", "ending:3", "ended:3", "handed-over:5", "ended:5", "parking:1", "parked:1"])
async def test_an_agent_falls_asleep_over_it_and_each_hook_counts_once(rig: Rig, sleeper: str, point: str) -> None:
    """After the start and the message the third hand-over asks whether it may sleep, the fifth to shut down."""
    await until(lambda: _is(rig, sleeper, "hibernated"))
    before = (await rig.client.state(sleeper)).state
    await rig.dies(point, lambda: rig.client.send(sleeper, "hello"))
    await until(lambda: _is(rig, sleeper, "hibernated"))
    after = (await rig.client.state(sleeper)).state
    assert {name: after[name] - before[name] for name in ("woken", "asked", "slept")} == {"woken": 1, "asked": 2, "slept": 1}
    assert after["words"] == [*before["words"], "hello 1"]
    assert await rig.failures(sleeper) == []


async def test_a_sleep_whose_process_ended_meanwhile_needs_no_new_start(rig: Rig, probe: str) -> None:
    await rig.client.send(probe, "echo x")
    await rig.restart("ended:1")
    old = rig.platform.part("coordinator").pid
    sleeping = asyncio.create_task(rig.client.hibernate(probe))
    await until(lambda: rig.platform.part("coordinator").pid != old)
    await sleeping
    instance = await rig.client.instance(probe)
    assert (instance.status, (await rig.client.state(probe)).state["slept"]) == ("hibernated", 1)
    with pytest.raises(LookupError):
        rig.platform.agent(probe)


# ---- what ended meanwhile


async def test_an_exit_that_fell_in_between_counts(rig: Rig, sleeper: str) -> None:
    """The second and last attempt ends while there is no coordinator: the message is given up, and the exit is explained."""
    sending = asyncio.create_task(rig.client.send(sleeper, "crash 0.5"))
    coordinator = rig.platform.part("coordinator")
    await until(lambda: _failed(rig, sleeper, 1))
    await until(lambda: _is(rig, sleeper, "running"))
    agent = rig.platform.agent(sleeper)
    coordinator.suspend()
    await until(lambda: not agent.is_running() or agent.status() == "zombie")
    await rig.restart()
    with pytest.raises(Exception, match="exited with code 7"):
        await sending
    assert [(failed["outcome"], failed["will_retry"]) for failed in await rig.failures(sleeper)] == [
        ("exit", True),
        ("exit", False),
    ]
    last = (await rig.client.instance(sleeper)).last_exit
    assert last is not None
    assert (last.code, last.reason) == (7, "the agent's process exited with code 7")
    assert "last words" in last.log


async def test_a_turn_that_ran_out_of_time_meanwhile_is_ended(rig: Rig, sleeper: str) -> None:
    sending = asyncio.create_task(rig.client.send(sleeper, "hold 60"))
    await until(lambda: _is(rig, sleeper, "running"))
    await rig.restart()
    with pytest.raises(Exception, match="longer than 3 s"):
        await sending
    assert [failed["outcome"] for failed in await rig.failures(sleeper)][-2:] == ["timeout", "timeout"]


async def test_output_is_logged_once_and_followed_over_restarts(rig: Rig, probe: str) -> None:
    followed: list[LogRecord] = []

    async def follow() -> None:
        async for record in rig.client.follow_logs(probe):
            followed.append(record)

    following = asyncio.create_task(follow())
    for n in range(3):
        await rig.client.send(probe, f"say words {n}")
        await rig.restart()
    await rig.client.send(probe, "say words 3")

    async def found() -> bool:
        messages = [record.message for record in (await rig.client.logs(probe, limit=1000)).items]
        return sorted(message for message in messages if "words" in message) == sorted(
            [*(f"words {n}" for n in range(4)), *(f"logged words {n}" for n in range(4))]
        )

    await until(found)
    await until(lambda: {"words 3", "logged words 3"} <= {record.message for record in followed})
    following.cancel()
    assert [record.id for record in followed] == [record.id for record in (await rig.client.logs(probe, limit=1000)).items]


async def test_when_the_launcher_dies_with_the_coordinator_the_turn_runs_again(rig: Rig, probe: str) -> None:
    oracle = Oracle(rig.client, probe)
    await oracle.send("echo before")
    streaming = asyncio.create_task(oracle.stream("tokens 40 0.02"))
    await until(lambda: _is(rig, probe, "running"))
    agent, launcher = rig.platform.agent(probe), rig.platform.part("launcher")
    rig.platform.part("coordinator").suspend()
    launcher.kill()
    await until(lambda: not agent.is_running() or agent.status() == "zombie")
    await rig.restart()
    assert (await streaming).endswith("39 end")
    assert [failed["outcome"] for failed in await rig.failures(probe)] == ["interrupted"]
    await oracle.check()


async def test_a_coordinator_that_stands_still_loses_nothing(rig: Rig, probe: str) -> None:
    oracle = Oracle(rig.client, probe)
    await oracle.send("echo before")
    pid = rig.platform.agent(probe).pid
    streaming = asyncio.create_task(oracle.stream("tokens 30 0.02"))
    coordinator = rig.platform.part("coordinator")
    await until(lambda: _is(rig, probe, "running"))
    coordinator.suspend()
    await asyncio.sleep(1)
    coordinator.resume()
    await streaming
    assert rig.platform.agent(probe).pid == pid
    await oracle.check()


# ---- processes nobody may keep


async def test_a_deleted_agents_process_does_not_live_on(rig: Rig) -> None:
    instance = (await rig.client.create("probe")).instance_id
    await rig.client.send(instance, "echo x")
    agent = rig.platform.agent(instance)
    await rig.restart("killing:1")
    old = rig.platform.part("coordinator").pid
    await rig.client.delete(instance)
    await rig.back(old)
    await until(lambda: not agent.is_running() or agent.status() == "zombie")
    await until(lambda: not (rig.platform.data / "instances" / instance).exists())


async def _is(rig: Rig, agent: str, status: str) -> bool:
    return (await rig.client.instance(agent)).status == status


async def _failed(rig: Rig, agent: str, count: int) -> bool:
    return len(await rig.failures(agent)) == count
