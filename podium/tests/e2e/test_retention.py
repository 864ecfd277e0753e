"""A log that keeps few events: readers behind it are told, and nobody waits for what is gone."""

from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from podium.client import AsyncPodium
from podium.protocol.events import Event, Reset, Status
from tests.support.platform import AGENTS, deploy, running_platform

pytestmark = pytest.mark.asyncio(loop_scope="module")


async def begun(client: AsyncPodium, agent: str, cursor: str) -> list[object]:
    """The first two frames after a cursor that say something of the line."""
    frames: list[object] = []
    async for frame in client.events(agent, after=cursor):
        if not isinstance(frame, Status):
            frames.append(frame)
        if len(frames) == 2:
            break
    return frames


async def test_events_beyond_the_limit_are_dropped_and_said() -> None:
    async with running_platform(MAX_EVENTS="100") as platform, platform.client() as client:
        with TemporaryDirectory() as folder:
            deployment = await deploy(client, AGENTS / "probe", Path(folder))
        await client.create(deployment, agent_id="talker")
        first = await client.send("talker", "tokens 3000 0", message_id="first")
        await client.send("talker", "echo x")
        reset, event = await begun(client, "talker", "1.1")
        assert isinstance(reset, Reset)
        assert isinstance(event, Event)
        assert event.seq == reset.first_seq > 1000
        assert await client.send("talker", "tokens 3000 0", message_id="first") == first
        kept = [frame async for frame in client.stream("talker", "tokens 3000 0", message_id="first")]
        assert isinstance(kept[0], Reset)
        for n in range(20):
            await client.send("talker", "tokens 200 0", message_id=f"more{n}")
        gone = [frame async for frame in client.stream("talker", "tokens 3000 0", message_id="first")]
        assert [type(frame) for frame in gone] == [Reset]
