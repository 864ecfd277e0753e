"""Agents are hostile: whatever one sends or leaves behind, the platform and its neighbours go on."""

import os
from pathlib import Path

import psutil
import pytest

from podium.client import AsyncPodium
from podium.protocol.errors import TurnFailed
from podium.protocol.events import Event
from tests.support.platform import AGENTS, Platform, deploy, until

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest.mark.parametrize("rule", ["garbage", "gap", "error_then_complete", "foreign_output", "foreign_questions"])
async def test_breaking_a_rule_fails_that_message_and_nothing_else(
    client: AsyncPodium, platform: Platform, agent: str, tmp_path: Path, rule: str
) -> None:
    rogue = (await client.create(await deploy(client, AGENTS / "rogue", tmp_path))).instance_id
    coordinator = platform.part("coordinator").pid
    with pytest.raises(TurnFailed):
        await client.send(rogue, rule, message_id="bad")
    assert (await client.send(rogue, "behave")).text == "done"
    assert (await client.send(agent, "echo fine")).text == "fine"
    assert platform.part("coordinator").pid == coordinator
    line = [frame async for frame in client.stream(rogue, rule, message_id="bad")]
    for event in line:
        assert isinstance(event, Event)
        assert "stolen" not in str(event.content)
        assert len(str(event.content)) < 10_000
    assert [event.event_type for event in line][-2:] == ["attempt_failed", "error"]
    await client.delete(rogue)


async def test_a_hello_of_another_launch_is_refused(client: AsyncPodium, tmp_path: Path) -> None:
    rogue = (await client.create(await deploy(client, AGENTS / "rogue", tmp_path))).instance_id
    assert (await client.send(rogue, "another_launch")).text == "done"
    await client.delete(rogue)


@pytest.mark.skipif(os.getuid() != 0, reason="NOT CHECKED without root: agents have no uid of their own")
async def test_what_an_agent_leaves_behind_is_ended_with_it(client: AsyncPodium, platform: Platform, tmp_path: Path) -> None:
    rogue = (await client.create(await deploy(client, AGENTS / "rogue", tmp_path))).instance_id
    await client.send(rogue, "survivors")
    uid = platform.agent(rogue).uids().real
    assert len([process for process in psutil.process_iter() if process.uids().real == uid]) >= 4
    await client.hibernate(rogue)
    await until(lambda: not [process for process in psutil.process_iter() if process.uids().real == uid])
    await client.delete(rogue)
