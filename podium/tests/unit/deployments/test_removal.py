"""A deployment goes when nobody names it, whatever happens at the same time, and its version stays taken."""

import asyncio
from pathlib import Path

import pytest

from podium.auth import PLATFORM_TENANT
from podium.deployments.registry import Deployment, Registry
from podium.deployments.removal import Removal
from podium.objectstore.port import ObjectStore
from podium.protocol.errors import Conflict, Forbidden, InvalidRequest, NotFound, VersionExists
from podium.records.instances import Instances, Spec
from tests.support.memory_store import Crash, FaultyStore, MemoryStore
from tests.support.states import START
from tests.unit.deployments.test_registry import publish

NAME = "notes:1.0.0"


class Site:
    """A registry with one deployment, the records of instances, and removals."""

    def __init__(self, store: ObjectStore) -> None:
        self.registry = Registry(store, "dev")
        self.instances = Instances(store, "dev")
        self.removal = Removal(store, "dev", self.registry, self.instances)

    async def use(self, deployment_id: str, instance_id: str = "a", earlier: tuple[str, ...] = ()) -> None:
        spec = Spec(
            instance_id=instance_id, tenant_id="t1", deployment_id=deployment_id, config={}, labels={}, created_at=START,
            earlier=list(earlier),
        )  # fmt: skip
        assert await self.instances.specs.create(self.instances.spec_key(instance_id), spec)


@pytest.fixture
def store() -> MemoryStore:
    return MemoryStore()


@pytest.fixture
async def site(store: MemoryStore) -> Site:
    return Site(store)


@pytest.fixture
async def deployment(site: Site, tmp_path: Path) -> Deployment:
    return (await publish(site.registry, tmp_path))[0]


async def test_it_is_gone_with_its_bundle_and_may_be_removed_again(
    site: Site, deployment: Deployment, store: MemoryStore
) -> None:
    for _ in range(2):
        await site.removal.remove(deployment.deployment_id, "t1")
    with pytest.raises(NotFound):
        await site.registry.get(NAME, "t1")
    assert await site.registry.list("t1", limit=10, cursor=None) == ([], None)
    assert not await site.registry.exists("notes", "1.0.0")
    assert sorted(key.rpartition("/")[2] for key in store.objects) == ["owner.json", "removed.json"]


async def test_its_version_comes_back_with_the_same_bytes_only(site: Site, deployment: Deployment, tmp_path: Path) -> None:
    await site.removal.remove(NAME, "t1")
    with pytest.raises(VersionExists):
        await publish(site.registry, tmp_path, extra="other")
    again, created = await publish(site.registry, tmp_path)
    assert (again.deployment_id, created) == (deployment.deployment_id, True)
    await site.registry.require_kept(again)


@pytest.mark.parametrize("how", ["runs", "ran"])
async def test_while_an_instance_names_it_it_stays(site: Site, deployment: Deployment, how: str) -> None:
    named = deployment.deployment_id
    await site.use(named if how == "runs" else "notes:2.0.0@00000000", earlier=(named,) if how == "ran" else ())
    with pytest.raises(Conflict, match=r"1 instances .*\(a\)"):
        await site.removal.remove(NAME, "t1")
    await site.registry.require_kept(await site.registry.get(NAME, "t1"))


async def test_what_was_never_there_is_not_found_and_a_version_has_to_be_named(site: Site, deployment: Deployment) -> None:
    with pytest.raises(NotFound):
        await site.removal.remove("notes:9.9.9", "t1")
    with pytest.raises(NotFound):
        await site.removal.remove("notes:1.0.0@00000000", "t1")
    with pytest.raises(InvalidRequest, match="which version"):
        await site.removal.remove("notes", "t1")


async def test_only_its_owner_and_the_administrator_remove_it(site: Site, tmp_path: Path) -> None:
    await publish(site.registry, tmp_path, tenant=PLATFORM_TENANT)
    with pytest.raises(Forbidden):
        await site.removal.remove(NAME, "t1")
    await publish(site.registry, tmp_path, "mine", tenant="t1")
    with pytest.raises(NotFound):
        await site.removal.remove("mine:1.0.0", "t2")
    for name in (NAME, "mine:1.0.0"):
        await site.removal.remove(name, PLATFORM_TENANT)


@pytest.mark.parametrize("at", range(8))
async def test_after_a_crash_anywhere_asking_again_ends_it(store: MemoryStore, tmp_path: Path, at: int) -> None:
    deployment, _ = await publish(Site(store).registry, tmp_path)
    left = [at]

    def crash(method: str, key: str) -> None:
        left[0] -= method != "get"
        if left[0] < 0:
            raise Crash

    try:
        await Site(FaultyStore(store, before=crash)).removal.remove(NAME, "t1")
    except Crash:
        if await Site(store).registry.exists("notes", "1.0.0"):
            await Site(store).use(deployment.deployment_id)  # named before the mark was seen, or by a start
            with pytest.raises(Conflict):
                await Site(store).removal.remove(NAME, "t1")
            await Site(store).instances.forget_spec("a")
    await Site(store).removal.remove(NAME, "t1")
    assert sorted(key.rpartition("/")[2] for key in store.objects) == ["owner.json", "removed.json"]


async def test_of_a_removal_and_a_use_at_the_same_time_one_gives_way(tmp_path: Path) -> None:
    for _ in range(20):
        site = Site(MemoryStore())
        deployment, _ = await publish(site.registry, tmp_path)

        async def use(site: Site = site, deployment: Deployment = deployment) -> None:
            await site.use(deployment.deployment_id)
            await site.registry.require_kept(deployment)

        used, removed = await asyncio.gather(use(), site.removal.remove(NAME, "t1"), return_exceptions=True)
        assert used is not None or removed is not None
        assert removed is None or await site.registry.exists("notes", "1.0.0")
