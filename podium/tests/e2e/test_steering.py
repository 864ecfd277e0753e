"""Turns that are stopped, guided and answered, with what dies meanwhile."""

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import pytest_asyncio

from podium.client import AsyncPodium
from podium.protocol import errors
from podium.protocol.api import MessageStatus
from podium.protocol.events import Event
from tests.e2e.test_failures import variant
from tests.support.platform import Platform, deploy, running_platform, until

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def platform() -> AsyncIterator[Platform]:
    """One that does not wait long for agents that heed no stop, nor before it starts a part again."""
    async with running_platform(STOP_GRACE="1500ms", RESTART_PAUSE="500ms") as running:
        yield running


async def ended(client: AsyncPodium, agent: str, message_id: str) -> MessageStatus:
    async def done() -> MessageStatus | None:
        status = await client.message(agent, message_id, wait_s=1)
        return status if status.status in ("complete", "failed") else None

    return await until(done)


async def event(client: AsyncPodium, agent: str, message_id: str, event_type: str, number: int = 1) -> Event:
    """The `number`th event of a type that a message has had."""

    async def find() -> Event:
        async for frame in client.events(agent):
            if isinstance(frame, Event) and frame.message_id == message_id and frame.event_type == event_type:
                found.append(frame)
                if len(found) == number:
                    return frame
        raise AssertionError("the stream has ended")

    found: list[Event] = []
    return await asyncio.wait_for(find(), 30)


async def begin(client: AsyncPodium, agent: str, text: str, message_id: str, event_type: str = "update") -> None:
    """Send a message and wait until its turn has said something."""
    with pytest.raises(TimeoutError):
        await client.send(agent, text, message_id=message_id, wait_s=0)
    await event(client, agent, message_id, event_type)


async def kill_coordinator(platform: Platform) -> None:
    coordinator = platform.part("coordinator")
    coordinator.kill()
    await until(lambda: platform.part("coordinator").pid != coordinator.pid)


# ---- stops


async def test_a_stopped_turn_keeps_what_it_has_done(client: AsyncPodium, agent: str) -> None:
    await begin(client, agent, "hang", "m1")
    assert (await client.stop(agent)).disposition == "injected"
    status = await ended(client, agent, "m1")
    assert status.reply
    assert (status.reply.stop_reason, status.reply.text) == ("stopped", "begun")
    assert (await client.state(agent)).state["count"] == 1
    with pytest.raises(errors.NoTurn):
        await client.stop(agent)


@pytest.mark.parametrize("verb", ["spin", "deny", "hang"])
async def test_an_agent_out_of_control_is_killed_and_its_turn_undone(
    platform: Platform, client: AsyncPodium, agent: str, verb: str
) -> None:
    await begin(client, agent, verb, "m1")
    if verb == "hang":
        platform.agent(agent).suspend()
    await client.stop(agent)
    status = await ended(client, agent, "m1")
    assert status.error
    assert (status.status, status.error.code, status.attempts) == ("failed", "stopped", 1)
    assert (await event(client, agent, "m1", "attempt_failed")).content["outcome"] == "abandoned"
    assert (await client.send(agent, "echo alive")).text == "alive"
    assert (await client.state(agent)).state["count"] == 1
    with pytest.raises(errors.TurnFailed):
        await client.send(agent, verb, message_id="m1")


@pytest.mark.parametrize("verb", ["hang", "spin"])
async def test_a_stop_outlives_the_coordinator(platform: Platform, client: AsyncPodium, agent: str, verb: str) -> None:
    await begin(client, agent, verb, "m1")
    assert (await client.stop(agent, receipt_id="x1")).disposition == "injected"
    await kill_coordinator(platform)
    status = await ended(client, agent, "m1")
    assert status.attempts == 1
    assert "stopped" in (status.reply.stop_reason if status.reply else "", status.error.code if status.error else "")
    assert (await client.stop(agent, receipt_id="x1")).disposition == "duplicate"
    assert (await client.send(agent, "echo alive")).text == "alive"


async def test_a_message_that_waits_can_be_stopped(client: AsyncPodium, agent: str) -> None:
    await begin(client, agent, "hang", "m1")
    waiting = asyncio.create_task(client.send(agent, "echo never", message_id="m2"))
    await until(lambda: known(client, agent, "m2"))
    await client.stop(agent, "m2")
    reply = await waiting
    assert (reply.stop_reason, reply.text) == ("stopped", "")
    assert [frame.event_type async for frame in client.stream(agent, "echo never", message_id="m2")] == ["complete"]
    await client.stop(agent, "m1")
    await ended(client, agent, "m1")
    assert (await client.send(agent, "rows")).text.count("m2") == 0


async def known(client: AsyncPodium, agent: str, message_id: str) -> bool:
    return any(message.message_id == message_id for message in await client.messages(agent))


# ---- guidance


async def test_guidance_is_given_again_after_a_failed_attempt(client: AsyncPodium, agent: str) -> None:
    with pytest.raises(errors.NoTurn):
        await client.steer(agent, "too early")
    await begin(client, agent, "listen 2 1", "m1")
    assert (await client.steer(agent, "left", receipt_id="s1")).disposition == "injected"
    assert (await client.steer(agent, "left", receipt_id="s1")).disposition == "duplicate"
    await client.steer(agent, {"speed": 2})
    status = await ended(client, agent, "m1")
    assert status.reply
    assert json.loads(status.reply.text.split("\n")[1]) == [2, ["left", {"speed": 2}]]


async def test_guidance_waits_for_the_turn_of_a_message_that_waits(client: AsyncPodium, agent: str) -> None:
    await client.hibernate(agent)
    with pytest.raises(TimeoutError):
        await client.send(agent, "listen 1 0", message_id="m1", wait_s=0)
    assert (await client.steer(agent, "right")).disposition in ("queued", "injected")
    status = await ended(client, agent, "m1")
    assert status.reply
    assert json.loads(status.reply.text.split("\n")[1]) == [1, ["right"]]


# ---- questions


async def test_an_answer_is_found_after_the_agent_was_killed(client: AsyncPodium, agent: str) -> None:
    await begin(client, agent, "ask 2 left?", "m1", "tool_question_requested")
    assert (await client.instance(agent)).awake_because == "waiting for an answer to m1.1"
    assert (await client.answer(agent, "m1.1", {"to": "the left"}, receipt_id="a1")).disposition == "injected"
    status = await ended(client, agent, "m1")
    assert status.reply
    assert json.loads(status.reply.text) == [3, {"to": "the left"}]
    resolved = [
        (frame.attempt, frame.content.get("recorded", False))
        async for frame in client.stream(agent, "ask 2 left?", message_id="m1")
        if isinstance(frame, Event) and frame.event_type == "tool_approval_resolved"
    ]
    assert resolved == [(1, False), (2, True), (3, True)]
    assert (await client.answer(agent, "m1.1", {"to": "the left"}, receipt_id="a1")).disposition == "duplicate"
    with pytest.raises(errors.AlreadyAnswered):
        await client.answer(agent, "m1.1", "other")


async def test_a_question_outlives_the_coordinator(platform: Platform, client: AsyncPodium, agent: str) -> None:
    await begin(client, agent, "ask 0 left?", "m1", "tool_question_requested")
    process = platform.agent(agent)
    await kill_coordinator(platform)
    await client.answer(agent, "m1.1", "yes")
    status = await ended(client, agent, "m1")
    assert status.reply
    assert json.loads(status.reply.text) == [1, "yes"]
    assert platform.agent(agent).pid == process.pid


async def test_an_answer_outlives_the_coordinator(platform: Platform, client: AsyncPodium, agent: str) -> None:
    """It is given by the next one where this one may not have come to it."""
    await begin(client, agent, "ask 0 left?", "m1", "tool_question_requested")
    process = platform.agent(agent)
    process.suspend()
    await client.answer(agent, "m1.1", "yes")
    await kill_coordinator(platform)
    process.resume()
    status = await ended(client, agent, "m1")
    assert status.reply
    assert json.loads(status.reply.text) == [1, "yes"]


async def test_permissions_are_asked_for_at_once_and_stay_apart(client: AsyncPodium, agent: str) -> None:
    await begin(client, agent, "permit a b", "m1", "tool_permission_requested")
    second = await event(client, agent, "m1", "tool_permission_requested", 2)
    assert second.content == {"action": "delete", "path": "b", "request_id": "m1.2"}
    with pytest.raises(errors.InvalidRequest):
        await client.answer(agent, "m1.2", "yes")
    await client.answer(agent, "m1.2", True)
    await client.answer(agent, "m1.1", {"approved": False, "reason": "mine"})
    status = await ended(client, agent, "m1")
    assert status.reply
    assert json.loads(status.reply.text) == [[False, "mine"], [True, ""]]


async def test_a_stop_ends_the_wait_for_an_answer(client: AsyncPodium, agent: str) -> None:
    await begin(client, agent, "ask 0 left?", "m1", "tool_question_requested")
    await client.stop(agent)
    status = await ended(client, agent, "m1")
    assert status.reply and status.reply.stop_reason == "stopped"
    assert (await event(client, agent, "m1", "tool_approval_resolved")).content == {"request_id": "m1.1", "withdrawn": True}
    with pytest.raises(errors.QuestionClosed):
        await client.answer(agent, "m1.1", "late")
    with pytest.raises(errors.NotFound):
        await client.answer(agent, "m1.2", "to nothing")


async def test_the_time_of_a_turn_stands_still_while_it_waits(platform: Platform, client: AsyncPodium, tmp_path: Path) -> None:
    """One turn waits for an answer while others of its deployment are ended by their time limit, under two coordinators."""
    limit = 'turn_timeout = "2s"\nmax_attempts = 1'
    deployment = await deploy(client, variant(tmp_path, "patient", {'turn_timeout = "20s"': limit}), tmp_path)
    asking, hanging = [(await client.create(deployment)).instance_id for _ in range(2)]
    await begin(client, asking, "ask 0 left?", "m1", "tool_question_requested")
    with pytest.raises(errors.TurnFailed, match="longer than"):
        await client.send(hanging, "hang")
    await kill_coordinator(platform)
    with pytest.raises(errors.TurnFailed, match="longer than"):
        await client.send(hanging, "hang")
    await client.answer(asking, "m1.1", "yes")
    status = await ended(client, asking, "m1")
    assert status.reply
    assert json.loads(status.reply.text) == [1, "yes"]
    for instance in (asking, hanging):
        await client.delete(instance)


# ---- over plain HTTP


async def test_an_id_is_one_value_in_body_and_header(platform: Platform, agent: str) -> None:
    headers = {"authorization": f"Bearer {platform.key}"}
    base = f"{platform.url}/api/v1/instances/{agent}"
    async with httpx.AsyncClient(headers=headers, timeout=60) as http:

        async def post(path: str, body: Any, **more: str) -> tuple[int, str]:
            answer = await http.post(f"{base}/{path}", json=body, headers={"Idempotency-Key": more["key"]} if more else {})
            found = answer.json()
            return answer.status_code, found.get("code") or found.get("disposition") or found["text"]

        said = {"text": "echo a", "id": "m1"}
        assert await post("messages", said) == (200, "a")
        assert await post("messages", said, key="m1") == (200, "a")
        assert await post("messages", said, key="other") == (400, "invalid_request")
        assert await post("stop", {}) == (409, "no_turn")
        assert await post("stop", {"message_id": "m1"}) == (409, "no_turn")
        assert await post("stop", {"message_id": "m9"}) == (404, "not_found")
        assert (await http.post(f"{base}/messages?wait=0", json={"text": "listen 3 0", "id": "m2"})).status_code == 202
        assert (await post("steer", {"content": 1, "id": "s1"}))[0] == 200
        assert await post("steer", {"content": 1, "id": "s1"}) == (200, "duplicate")
        assert await post("steer", {"content": 2, "id": "s1"}) == (422, "idempotency_mismatch")
        assert (await post("steer", {"content": 2}, key="s2"))[0] == 200
        assert await post("steer", {"content": 2}, key="s2") == (200, "duplicate")
        assert await post("steer", {}) == (400, "invalid_request")
        assert await post("answer", {"request_id": "m2.1", "content": 1}) == (404, "not_found")
        assert (await post("steer", {"content": None}))[0] == 200
        assert await post("messages", {"text": "listen 3 0", "id": "m2"}) == (200, "listening\n[1, [1, 2, null]]")


# ---- what keeps it awake, what a message carries


async def test_why_it_is_awake(client: AsyncPodium, tmp_path: Path) -> None:
    source = variant(tmp_path, "sleepy", {'idle_timeout = "never"': 'idle_timeout = "50ms"'})
    instance = (await client.create(await deploy(client, source, tmp_path))).instance_id
    await client.send(instance, "stay for the test")

    async def deferred() -> bool:
        return (await client.instance(instance)).awake_because == "the agent wants to be: for the test"

    await until(deferred)
    await client.hibernate(instance)
    assert (await client.instance(instance)).awake_because is None
    await client.delete(instance)


async def test_a_message_carries_attachments_and_what_was_said_before(client: AsyncPodium, agent: str) -> None:
    attachments = [{"name": f"{n}.txt", "content": "x" * 100} for n in range(64)]
    message = json.loads((await client.send(agent, "whole", attachments=attachments)).text)
    assert message["attachments"] == attachments
    assert message["messages"] == []
    with pytest.raises(errors.InvalidRequest, match="attachments"):
        await client.send(agent, "whole", attachments=[{}] * 65)
    with pytest.raises(errors.TooLarge):
        await client.send(agent, "whole", attachments=[{"content": "x" * (1 << 20)}])
    with pytest.raises(errors.TooLarge):
        await begin(client, agent, "hang", "m1")
        await client.steer(agent, "x" * (65 << 10))
