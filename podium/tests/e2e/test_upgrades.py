"""An instance goes on under another deployment, back, and under none that does not start; configuration, labels, restarts."""

import asyncio
import json
import signal
from pathlib import Path

import httpx
import pytest
import pytest_asyncio

from podium.client import AsyncPodium
from podium.protocol.errors import Conflict, InvalidRequest, NotFound, TooLarge
from podium.protocol.events import Event
from podium.records.bounds import MAX_CONFIG_BYTES
from tests.support.platform import AGENTS, Platform, deploy, until
from tests.support.variants import variant

pytestmark = pytest.mark.asyncio(loop_scope="module")


class Line:
    """Versions of one agent type: `one`, `two`, and `broken`, which cannot be imported."""

    def __init__(self, one: str, two: str, broken: str) -> None:
        self.one, self.two, self.broken = one, two, broken


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("line")


@pytest_asyncio.fixture(loop_scope="module")
async def line(client: AsyncPodium, folder: Path) -> Line:
    says = "        return rest\n"
    sources = {
        "1.0.0": {},
        "2.0.0": {says: '        return f"two {rest}"\n'},
        "3.0.0": {"import hashlib": "import no_such_module"},
    }
    names = []
    for version, replace in sources.items():
        source = folder / f"line-{version}"
        if not source.exists():
            variant(folder, "line", version, replace)
        names.append(await deploy(client, source, folder))
    return Line(*names)


async def kinds(client: AsyncPodium, instance: str) -> list[tuple[str, str | None]]:
    found = []
    last = (await client.instance(instance)).cursor
    async for frame in client.events(instance):
        if isinstance(frame, Event):
            found.append((frame.event_type, frame.message_id))
            if str(frame.cursor) == last:
                return found
    raise AssertionError("the events ended")


async def test_a_running_agent_goes_on_under_another_deployment_and_back(
    client: AsyncPodium, line: Line, platform: Platform
) -> None:
    instance = (await client.create(line.one)).instance_id
    assert (await client.send(instance, "echo a")).text == "a"
    process = platform.agent(instance)
    upgraded = await client.update(instance, deployment=line.two)
    assert (upgraded.deployment_id, upgraded.upgrade, upgraded.status) == (line.two, None, "ready")
    assert not process.is_running()
    assert (await client.send(instance, "echo b")).text == "two b"
    state = (await client.state(instance)).state
    assert (state["words"], state["slept"]) == (["a", "b"], 1)
    back = await client.update(instance, deployment="line:1.0.0")
    assert back.deployment_id == line.one
    assert (await client.send(instance, "echo c")).text == "c"
    upgrades = [name for kind, name in await kinds(client, instance) if kind == "complete" and str(name).startswith("upgrade_")]
    assert len(upgrades) == len(set(upgrades)) == 2
    await client.delete(instance)


async def test_the_turn_in_flight_ends_under_the_deployment_it_began_with(client: AsyncPodium, line: Line) -> None:
    instance = (await client.create(line.one)).instance_id
    await client.send(instance, "echo x")
    turn = asyncio.create_task(client.send(instance, "tokens 30 0.02", message_id="long"))
    await until(lambda: _running(client, instance, "long"))
    waiting = asyncio.create_task(client.send(instance, "echo next", message_id="next"))
    asked = await client.update(instance, deployment=line.two, wait_s=0)
    assert (asked.deployment_id, asked.upgrade and asked.upgrade.status) == (line.one, "pending")
    assert (await turn).text.endswith("29 \nend")
    assert (await waiting).text in ("next", "two next")
    await until(lambda: _runs(client, instance, line.two))
    assert (await client.send(instance, "echo y")).text == "two y"
    assert (await client.message(instance, "long")).attempts == 1
    await client.delete(instance)


async def _running(client: AsyncPodium, instance: str, message_id: str) -> bool:
    try:
        return (await client.message(instance, message_id)).status == "running"
    except NotFound:
        return False


async def _runs(client: AsyncPodium, instance: str, deployment: str) -> bool:
    return (await client.instance(instance)).deployment_id == deployment


@pytest.mark.parametrize("asleep", [False, True])
async def test_one_that_does_not_start_leaves_the_old_one_running_and_says_why(
    client: AsyncPodium, line: Line, asleep: bool
) -> None:
    instance = (await client.create(line.one)).instance_id
    assert (await client.send(instance, "echo a")).text == "a"
    if asleep:
        await client.hibernate(instance)
    asked = await client.update(instance, deployment=line.broken)
    if asleep:
        assert (asked.status, asked.upgrade and asked.upgrade.status) == ("hibernated", "pending")
    assert (await client.send(instance, "echo b")).text == "b"
    failed = await client.instance(instance)
    assert (failed.deployment_id, failed.status) == (line.one, "ready")
    assert failed.upgrade
    assert failed.upgrade.status == "failed"
    assert "no_such_module" in str(failed.upgrade.reason)
    await client.hibernate(instance)
    assert (await client.send(instance, "echo c")).text == "c"  # the failure is remembered: no start is wasted
    errors = [name for kind, name in await kinds(client, instance) if kind == "error"]
    assert len(errors) == 1
    with pytest.raises(Conflict, match=instance):
        await client.delete_deployment(line.broken)
    assert (await client.update(instance, deployment=line.one)).upgrade is None
    assert (await client.update(instance, deployment=line.two)).deployment_id == line.two
    assert (await client.state(instance)).state["words"] == ["a", "b", "c"]
    await client.delete(instance)


async def test_a_sleeping_agent_is_upgraded_when_it_wakes(client: AsyncPodium, line: Line) -> None:
    instance = (await client.create(line.one)).instance_id
    await client.send(instance, "echo a")
    await client.hibernate(instance)
    asked = await client.update(instance, deployment=line.two)
    assert (asked.status, asked.deployment_id, asked.upgrade and asked.upgrade.status) == ("hibernated", line.one, "pending")
    assert (await client.send(instance, "echo b")).text == "two b"
    assert (await client.instance(instance)).upgrade is None
    await client.delete(instance)


async def test_a_failed_agent_is_helped_by_another_deployment(client: AsyncPodium, line: Line) -> None:
    instance = (await client.create(line.broken)).instance_id

    async def has_failed() -> bool:
        return (await client.instance(instance)).status == "failed"

    await until(has_failed)
    assert (await client.update(instance, deployment=line.one)).deployment_id == line.one
    assert (await client.send(instance, "echo a")).text == "a"
    await client.delete(instance)


@pytest.mark.parametrize("after_s", [0.0, 0.05, 0.2, 0.5])
async def test_an_upgrade_survives_a_coordinator_that_dies(
    client: AsyncPodium, line: Line, platform: Platform, after_s: float
) -> None:
    instance = (await client.create(line.one)).instance_id
    await client.send(instance, "echo a")
    asking = asyncio.create_task(client.update(instance, deployment=line.two))
    await asyncio.sleep(after_s)
    platform.part("coordinator").send_signal(signal.SIGKILL)
    await asking
    await until(lambda: _runs(client, instance, line.two))
    assert (await client.send(instance, "echo b")).text == "two b"
    assert (await client.state(instance)).state["words"] == ["a", "b"]
    events = await kinds(client, instance)
    assert len([name for kind, name in events if kind == "complete" and str(name).startswith("upgrade_")]) == 1
    await client.delete(instance)


async def test_what_is_no_version_of_its_type_is_refused(client: AsyncPodium, line: Line, tmp_path: Path) -> None:
    instance = (await client.create(line.one)).instance_id
    other = await deploy(client, AGENTS / "probe", tmp_path)
    with pytest.raises(InvalidRequest, match="agent type"):
        await client.update(instance, deployment=other)
    with pytest.raises(NotFound):
        await client.update(instance, deployment="line:9.9.9")
    with pytest.raises(NotFound):
        await client.update("nobody", deployment=line.one)
    await client.delete(instance)
    with pytest.raises(NotFound):
        await client.update(instance, labels={"a": "b"})


async def test_configuration_is_merged_and_reaches_the_running_process(client: AsyncPodium, agent: str) -> None:
    await client.send(agent, "echo x")
    patched = await client.update(agent, config={"model": {"name": "small", "heat": 1}, "loud": True})
    assert patched.config == {"model": {"name": "small", "heat": 1}, "loud": True}
    patched = await client.update(agent, config={"model": {"heat": None}, "loud": None})
    assert patched.config == {"model": {"name": "small"}}

    async def told() -> bool:
        config, changes = json.loads((await client.send(agent, "config")).text)
        return config.get("model") == {"name": "small"} and "loud" not in config and len(changes) == 2

    await until(told)
    await client.hibernate(agent)
    assert (await client.update(agent, config={"model": "big"})).status == "hibernated"
    config, changes = json.loads((await client.send(agent, "config")).text)
    assert (config["model"], changes) == ("big", [])
    with pytest.raises(TooLarge):
        await client.update(agent, config={"a": "x" * MAX_CONFIG_BYTES})


async def test_labels_are_merged_and_searched(client: AsyncPodium, agent: str) -> None:
    await client.update(agent, labels={"team": "one", "stage": "test"})
    assert (await client.update(agent, labels={"stage": None})).labels == {"team": "one"}
    assert [found.instance_id for found in await client.instances(labels=["team=one"])] == [agent]


async def test_many_changes_at_once_are_all_kept(client: AsyncPodium, agent: str) -> None:
    await asyncio.gather(*(client.update(agent, config={f"k{n}": n}) for n in range(6)))
    assert (await client.instance(agent)).config == {f"k{n}": n for n in range(6)}


async def test_a_body_that_is_not_right_is_refused(client: AsyncPodium, agent: str, platform: Platform) -> None:
    async with httpx.AsyncClient(base_url=platform.url, headers={"Authorization": f"Bearer {platform.key}"}) as http:
        for body in ('{"secrets": {"a": "b"}}', '{"config": 1}', "[]", "{", '{"labels": {" ": "x"}}'):
            answer = await http.patch(f"/api/v1/instances/{agent}", content=body)
            assert (answer.status_code, answer.json()["code"]) == (400, "invalid_request"), body


async def test_a_restart_is_a_new_process_between_two_turns(client: AsyncPodium, agent: str, platform: Platform) -> None:
    turn = asyncio.create_task(client.send(agent, "tokens 20 0.02", message_id="long"))
    await until(lambda: _running(client, agent, "long"))
    process = platform.agent(agent)
    restarted = await client.restart(agent)
    assert restarted.status in ("ready", "running")
    assert platform.agent(agent).pid != process.pid
    assert (await turn).text.endswith("19 \nend")
    assert (await client.message(agent, "long")).attempts == 1
    assert (await client.state(agent)).state["slept"] == 1


async def test_a_restart_now_gives_the_turn_up_and_runs_it_again(client: AsyncPodium, agent: str) -> None:
    turn = asyncio.create_task(client.send(agent, "tokens 50 0.02", message_id="long"))
    await until(lambda: _running(client, agent, "long"))
    await client.restart(agent, now=True)
    assert (await turn).text.endswith("49 \nend")
    assert (await client.message(agent, "long")).attempts == 2
    outcomes = [e.content["outcome"] async for e in _all(client, agent) if e.event_type == "attempt_failed"]
    assert outcomes == ["interrupted"]


async def _all(client: AsyncPodium, instance: str):  # type: ignore[no-untyped-def]
    last = (await client.instance(instance)).cursor
    async for frame in client.events(instance):
        if isinstance(frame, Event):
            yield frame
            if str(frame.cursor) == last:
                return


async def test_a_restart_is_carried_out_once_for_its_key_and_wakes(client: AsyncPodium, agent: str, platform: Platform) -> None:
    await client.send(agent, "echo x")
    await client.hibernate(agent)
    headers = {"Authorization": f"Bearer {platform.key}", "Idempotency-Key": "again"}
    async with httpx.AsyncClient(base_url=platform.url, headers=headers, timeout=60) as http:
        answers = [await http.post(f"/api/v1/instances/{agent}/restart", json={}) for _ in range(2)]
    assert [answer.status_code for answer in answers] == [200, 202]
    pid = platform.agent(agent).pid
    await client.send(agent, "echo y")
    assert platform.agent(agent).pid == pid
