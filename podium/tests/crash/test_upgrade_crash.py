"""A coordinator dies at each step of an upgrade; in the end the new deployment runs, after one upgrade, or the old one does."""

import asyncio
import signal
from collections.abc import AsyncIterator
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
import pytest_asyncio

from podium.client import AsyncPodium
from podium.protocol.events import Event
from tests.support.platform import Platform, deploy, running_platform, until
from tests.support.variants import variant

pytestmark = pytest.mark.asyncio(loop_scope="module")
POINTS = ("handed-over", "ending", "killing", "replacing", "launching", "launched", "started", "ended", "acknowledged")


class Site:
    """A platform whose coordinator dies where `arm` says."""

    def __init__(self, platform: Platform, plan: Path, one: str, two: str, broken: str) -> None:
        self.platform, self.one, self.two, self.broken = platform, one, two, broken
        self._plan = plan

    async def arm(self, point: str) -> None:
        """The next coordinator dies when it passes the point first."""
        self._plan.write_text(f"{point}:1\n")
        old = self.platform.part("coordinator")
        old.send_signal(signal.SIGKILL)
        await until(lambda: self.platform.part("coordinator").pid != old.pid and not self._plan.read_text().strip())


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def site() -> AsyncIterator[Site]:
    with TemporaryDirectory() as folder:
        plan = Path(folder) / "plan"
        plan.touch()
        async with running_platform(PODIUM_CRASH_AT=f"@{plan}", RESTART_PAUSE="100ms") as platform, platform.client() as client:
            names = []
            for version, replace in (("1.0.0", {}), ("2.0.0", {}), ("3.0.0", {"import hashlib": "import no_such_module"})):
                names.append(await deploy(client, variant(Path(folder), "line", version, replace), Path(folder)))
            yield Site(platform, plan, *names)


async def ended(client: AsyncPodium, instance: str) -> list[str]:
    """How its upgrades ended, as the events say."""
    last = (await client.instance(instance)).cursor
    found = []
    async for frame in client.events(instance):
        if isinstance(frame, Event):
            if frame.event_type in ("complete", "error") and str(frame.message_id).startswith("upgrade_"):
                found.append(frame.event_type)
            if str(frame.cursor) == last:
                break
    return found


@pytest.mark.parametrize("point", POINTS)
@pytest.mark.parametrize("works", [True, False])
async def test_it_dies_in_an_upgrade(site: Site, point: str, works: bool) -> None:
    async with site.platform.client() as client:
        instance = (await client.create(site.one)).instance_id
        assert (await client.send(instance, "echo a")).text == "a"
        await site.arm(point)
        asking = asyncio.create_task(client.update(instance, deployment=site.two if works else site.broken))

        async def settled() -> bool:
            found = await client.instance(instance)
            return found.deployment_id == site.two if works else bool(found.upgrade and found.upgrade.status == "failed")

        await until(settled, 60)
        await asking
        assert (await client.send(instance, "echo b")).text == "b"
        assert (await client.state(instance)).state["words"] == ["a", "b"]
        assert (await client.instance(instance)).deployment_id == (site.two if works else site.one)
        assert await ended(client, instance) == ["complete" if works else "error"]
        await client.delete(instance)
