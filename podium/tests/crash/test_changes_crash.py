"""A coordinator dies at each step of an upgrade or an upload: in the end it has happened once, or failed once."""

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


@pytest.mark.parametrize("point", ["spooled", "accepted", "placed", "ended"])
@pytest.mark.parametrize("asleep", [False, True])
async def test_it_dies_in_an_upload(site: Site, point: str, asleep: bool) -> None:
    async with site.platform.client() as client:
        instance = (await client.create(site.one)).instance_id
        await client.send(instance, "echo a")
        await client.put_file(instance, "f", b"before")
        if asleep:
            await client.hibernate(instance)
        await site.arm(point)
        put = await client.put_file(instance, "f", b"after")
        assert put.change == "modified"
        assert await client.file(instance, "f") == b"after"
        assert (await client.instance(instance)).status == ("hibernated" if asleep else "ready")
        last = (await client.instance(instance)).cursor
        told = 0
        async for frame in client.events(instance):
            if isinstance(frame, Event):
                told += frame.event_type == "file_change" and frame.message_id == put.message_id
                if str(frame.cursor) == last:
                    break
        assert told == 1
        folder = site.platform.data / "instances" / instance
        assert list((folder / "spool").iterdir()) == []
        assert [path.name for path in (folder / "chronicle" / "mount").glob(".podium-upload*")] == []
        assert (await client.send(instance, "read f")).text == b"after".hex()
        await client.delete(instance)


async def test_what_was_accepted_is_put_though_nobody_asks_again(site: Site) -> None:
    async with site.platform.client() as client:
        instance = (await client.create(site.one)).instance_id
        await client.send(instance, "echo a")
        await client.hibernate(instance)
        await site.arm("accepted")
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.5):
                await client.put_file(instance, "f", b"x")

        async def there() -> bool:
            return [entry.path for entry in await client.files(instance)].count("f") == 1

        await until(there)
        await client.delete(instance)
