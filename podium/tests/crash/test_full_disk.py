"""The disk fills while agents work: what cannot be kept is refused with a reason, and what was promised stays."""

import asyncio
import os
from collections.abc import AsyncIterator
from pathlib import Path
from tempfile import TemporaryDirectory

import httpx
import pytest
import pytest_asyncio

from podium.client import AsyncPodium
from podium.client.pack import pack
from podium.protocol.events import Event
from tests.support.platform import AGENTS, Platform, chaos_platform, deploy
from tests.support.small_disk import SmallDisk, needs_root, small_disk

pytestmark = [needs_root, pytest.mark.asyncio(loop_scope="module")]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def machine() -> AsyncIterator[tuple[Platform, SmallDisk]]:
    """A platform whose data lies on a small disk of its own."""
    with TemporaryDirectory(prefix="podium-full-") as folder, small_disk() as disk:
        boot = Path(folder) / "boot_id"
        boot.write_text("boot")
        async with chaos_platform(disk.path, boot) as platform:
            yield platform, disk


@pytest_asyncio.fixture(loop_scope="module")
async def client(machine: tuple[Platform, SmallDisk]) -> AsyncIterator[AsyncPodium]:
    async with machine[0].client() as opened:
        yield opened


@pytest_asyncio.fixture(loop_scope="module")
async def agent(client: AsyncPodium, tmp_path: Path) -> AsyncIterator[str]:
    instance = await client.create(await deploy(client, AGENTS / "probe", tmp_path))
    await client.send(instance.instance_id, "echo before", message_id="before")
    yield instance.instance_id
    await client.delete(instance.instance_id)


async def post(platform: Platform, path: str, **rest: object) -> httpx.Response:
    async with httpx.AsyncClient(base_url=platform.url, headers={"Authorization": f"Bearer {platform.key}"}, timeout=60) as http:
        return await http.post(path, **rest)


async def test_a_message_is_refused_with_503_and_taken_when_there_is_room(
    machine: tuple[Platform, SmallDisk], client: AsyncPodium, agent: str
) -> None:
    platform, disk = machine
    path = f"/api/v1/instances/{agent}/messages?wait=0"
    taken = []
    disk.fill()
    try:
        for n in range(1000):
            answer = await post(platform, path, json={"text": f"echo {n}" + "x" * 10_000, "id": f"full{n}"})
            if answer.status_code != 202:
                break
            taken.append(f"full{n}")
        assert (answer.status_code, answer.json()["code"], answer.json()["retryable"]) == (503, "unavailable", True), answer.text
        assert "Retry-After" in answer.headers
    finally:
        disk.release()
    for message_id in taken:  # acknowledged is not lost
        assert (await client.message(agent, message_id, wait_s=60)).status in ("complete", "failed")
    assert (await client.send(agent, "echo after")).text == "after"


async def test_a_turn_in_flight_waits_or_is_run_again(
    machine: tuple[Platform, SmallDisk], client: AsyncPodium, agent: str
) -> None:
    _, disk = machine
    seen: list[Event] = []

    async def stream() -> None:
        async for frame in client.stream(agent, "tokens 100 0.01", message_id="long"):
            assert isinstance(frame, Event)
            seen.append(frame)
            if len(seen) == 20:
                disk.fill()
            if len(seen) == 40:
                disk.release()

    streaming = asyncio.create_task(stream())
    await asyncio.sleep(2)
    disk.release()
    await streaming
    assert [event.seq for event in seen] == list(range(seen[0].seq, seen[0].seq + len(seen)))
    assert seen[-1].event_type == "complete"
    words = (await client.state(agent)).state["words"]
    assert words == ["before", "100 0.01"]


async def test_a_sleeping_agent_wakes_once_there_is_room(
    machine: tuple[Platform, SmallDisk], client: AsyncPodium, agent: str
) -> None:
    platform, disk = machine
    await client.hibernate(agent)
    disk.fill()
    try:
        answer = await post(platform, f"/api/v1/instances/{agent}/wake?wait=2", json={})
        assert answer.status_code in (200, 202, 503), answer.text
    finally:
        disk.release()
    assert (await client.send(agent, "echo awake")).text == "awake"


async def test_a_bundle_that_does_not_fit_leaves_nothing(
    machine: tuple[Platform, SmallDisk], client: AsyncPodium, tmp_path: Path
) -> None:
    platform, disk = machine
    source = tmp_path / "large"
    source.mkdir()
    for file in (AGENTS / "probe").glob("*.*"):
        (source / file.name).write_text(file.read_text().replace('type = "probe"', 'type = "large"'))
    (source / "data.bin").write_bytes(os.urandom(3_000_000))
    pack(source, tmp_path / "large.tar.gz")
    before = sorted(str(path) for path in (platform.data / "objects").rglob("*"))
    upload = {"files": {"file": (tmp_path / "large.tar.gz").read_bytes()}, "data": {"agent_type": "large", "version": "1.0.0"}}
    disk.fill()
    try:
        answer = await post(platform, "/api/v1/deployments", **upload)
        assert (answer.status_code, answer.json()["code"]) == (503, "unavailable"), answer.text
    finally:
        disk.release()
    left = [path for path in sorted(str(p) for p in (platform.data / "objects").rglob("*")) if path not in before]
    assert not [path for path in left if Path(path).is_file() and "owner" not in path], left
    assert (await post(platform, "/api/v1/deployments", **upload)).status_code == 201
