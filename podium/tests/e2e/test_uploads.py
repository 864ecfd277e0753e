"""Files put and removed through the API: between turns, without waking, once per key, never through a link."""

import asyncio
import os
from pathlib import Path

import httpx
import pytest

from podium.client import AsyncPodium
from podium.protocol.errors import InvalidRequest, NotAFile, NotFound
from podium.protocol.events import Event
from tests.support.platform import Platform, until

pytestmark = pytest.mark.asyncio(loop_scope="module")


def http(platform: Platform, **headers: str) -> httpx.AsyncClient:
    return httpx.AsyncClient(base_url=platform.url, headers={"Authorization": f"Bearer {platform.key}"} | headers, timeout=60)


def url(agent: str, path: str) -> str:
    return f"/api/v1/instances/{agent}/files/{path}"


async def checkpoint(client: AsyncPodium, agent: str) -> int:
    return (await client.instance(agent)).checkpoint


async def test_a_file_is_put_read_replaced_and_removed(client: AsyncPodium, agent: str, platform: Platform) -> None:
    await client.send(agent, "echo x")
    async with http(platform) as api:
        first = await api.put(url(agent, "notes/a.txt"), content=b"one")
        assert (first.status_code, first.json()["change"]) == (201, "created")
        assert (await api.get(url(agent, "notes/a.txt"))).headers["etag"] == first.headers["etag"]
        second = await api.post(url(agent, "notes/a.txt"), content=b"two")
        assert (second.status_code, second.json()["change"]) == (200, "modified")
        assert await client.file(agent, "notes/a.txt") == b"two"
        assert (await client.send(agent, "read notes/a.txt")).text == b"two".hex()
        assert [(await api.delete(url(agent, "notes/a.txt"))).status_code for _ in range(2)] == [204, 204]
    with pytest.raises(NotFound):
        await client.file(agent, "notes/a.txt")


async def test_what_changes_a_file_is_a_turn_and_an_event(client: AsyncPodium, agent: str) -> None:
    await client.send(agent, "echo x")
    before = await checkpoint(client, agent)
    put = await client.put_file(agent, "a.txt", b"1")
    await client.delete_file(agent, "a.txt")
    await client.delete_file(agent, "a.txt")  # nothing to remove: no turn
    assert await checkpoint(client, agent) == before + 2
    last = (await client.instance(agent)).cursor
    changes = []
    async for frame in client.events(agent):
        if isinstance(frame, Event) and frame.event_type == "file_change":
            changes.append((frame.content["path"], frame.content["change"]))
            assert frame.message_id == put.message_id or len(changes) == 2
        if isinstance(frame, Event) and str(frame.cursor) == last:
            break
    assert changes == [("a.txt", "created"), ("a.txt", "deleted")]


async def test_a_sleeping_agent_is_not_woken(client: AsyncPodium, agent: str, platform: Platform) -> None:
    await client.send(agent, "echo x")
    await client.hibernate(agent)
    assert (await client.put_file(agent, "a.txt", b"asleep")).change == "created"
    found = await client.instance(agent)
    assert (found.status, found.queued) == ("hibernated", 0)
    with pytest.raises(LookupError):
        platform.agent(agent)
    assert await client.file(agent, "a.txt") == b"asleep"
    assert (await client.send(agent, "read a.txt")).text == b"asleep".hex()


async def test_it_waits_for_the_end_of_the_turn(client: AsyncPodium, agent: str) -> None:
    turn = asyncio.create_task(client.send(agent, "tokens 30 0.02", message_id="long"))

    async def running() -> bool:
        return (await client.message(agent, "long")).status == "running"

    async def there() -> bool:
        try:
            return (await running()) or True
        except NotFound:
            return False

    await until(there)
    await until(running)
    queued = await client.put_file(agent, "a.txt", b"late", wait_s=0)
    assert queued.change == "queued"
    with pytest.raises(NotFound):
        await client.file(agent, "a.txt")
    again = await client.put_file(agent, "b.txt", b"later")
    assert again.change == "created"
    assert (await turn).text.endswith("end")
    assert (await client.file(agent, "a.txt"), await client.file(agent, "b.txt")) == (b"late", b"later")


async def test_the_same_key_puts_once_and_another_body_is_refused(client: AsyncPodium, agent: str, platform: Platform) -> None:
    async with http(platform, **{"Idempotency-Key": "once"}) as api:
        answers = [await api.put(url(agent, "a.txt"), content=content) for content in (b"1", b"1", b"2")]
        other = await api.put(url(agent, "b.txt"), content=b"1")
    assert [answer.status_code for answer in answers] == [201, 201, 422]
    assert answers[0].headers["etag"] == answers[1].headers["etag"]
    assert other.status_code == 422


async def test_hostile_paths_and_what_is_no_file_are_refused(client: AsyncPodium, agent: str, platform: Platform) -> None:
    await client.send(agent, "write plain.txt 1")
    workspace = platform.data / "instances" / agent / "chronicle" / "mount"
    (workspace / "link").symlink_to(platform.data / "keys")
    (workspace / "folder").mkdir()
    for path in ("link", "folder", "link/admin_api_key", "plain.txt/x"):
        with pytest.raises(NotAFile):
            await client.put_file(agent, path, b"x")
    with pytest.raises(NotAFile):
        await client.delete_file(agent, "folder")
    async with http(platform) as api:
        for path in ("a/%2e%2e/%2e%2e/x", "%2fetc/x", "x%00y", "a" * 256, ".podium-upload.x", ""):
            answer = await api.put(url(agent, path), content=b"x")
            assert answer.status_code in (400, 404, 405), path
    assert sorted(os.listdir(platform.data / "keys")) == ["admin_api_key", "secrets_key"]
    assert (await client.send(agent, "echo on")).text == "on"
    with pytest.raises(InvalidRequest):
        await client.put_file(agent, "../x", b"")


async def test_what_is_put_belongs_to_the_agent(client: AsyncPodium, agent: str, platform: Platform) -> None:
    await client.put_file(agent, "made/by/us.txt", b"old")
    assert (await client.send(agent, "write made/by/us.txt changed")).text == "written"
    assert await client.file(agent, "made/by/us.txt") == b"changed"
    workspace = platform.data / "instances" / agent / "chronicle" / "mount"
    owners = {path.stat().st_uid for path in [workspace, *workspace.rglob("*")]}
    assert len(owners) == 1


async def test_many_at_once_keep_their_order_and_leave_nothing_behind(
    client: AsyncPodium, agent: str, platform: Platform
) -> None:
    await asyncio.gather(*(client.put_file(agent, f"f{n}", b"same") for n in range(12)))
    assert sorted(entry.path for entry in await client.files(agent) if entry.path.startswith("f")) == sorted(
        f"f{n}" for n in range(12)
    )
    assert list((platform.data / "instances" / agent / "spool").iterdir()) == []


async def test_a_large_file_goes_through_and_a_larger_one_is_refused(client: AsyncPodium, agent: str, platform: Platform) -> None:
    content = os.urandom(8 * 1024 * 1024)
    await client.put_file(agent, "large", content)
    assert await client.file(agent, "large") == content
    async with http(platform) as api:
        answer = await api.put(url(agent, "larger"), content=b"\0" * (64 * 1024 * 1024 + 1))
    assert (answer.status_code, answer.json()["code"], answer.json()["limit"]) == (413, "too_large", 64 * 1024 * 1024)
    assert list((platform.data / "instances" / agent / "spool").iterdir()) == []


async def test_an_instance_that_is_not_there(client: AsyncPodium, tmp_path: Path) -> None:
    with pytest.raises(NotFound):
        await client.put_file("nobody", "a", b"")
