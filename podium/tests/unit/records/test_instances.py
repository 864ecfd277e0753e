"""The two records of each instance, and the list of them."""

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from podium.records.instances import Base, Instances, Owner, Spec
from tests.support.memory_store import MemoryStore
from tests.support.states import START

ids = st.text(st.sampled_from("aA0-_"), min_size=1, max_size=4).map(lambda text: "a" + text)


def spec(instance_id: str) -> Spec:
    return Spec(
        instance_id=instance_id,
        tenant_id="platform",
        deployment_id="notes:1.0.0@00000000",
        config={},
        labels={},
        created_at=START,
    )


def owner(instance_id: str, *, deleted: bool = False) -> Owner:
    return Owner(
        instance_id=instance_id, coordinator_id="c1", incarnation="i1", epoch=1, life=1, bases=[Base(epoch=1, base_seq=0)],
        deleted=deleted, at=START,
    )  # fmt: skip


@pytest.fixture
def instances() -> Instances:
    return Instances(MemoryStore(), "dev")


async def write(instances: Instances, *names: str) -> None:
    for name in names:
        await instances.owners.create(instances.owner_key(name), owner(name))
        await instances.specs.create(instances.spec_key(name), spec(name))


async def page(instances: Instances, after: str = "", limit: int = 1000) -> list[str]:
    found = list[str]()
    async for instance_id in instances.ids(after):
        found.append(instance_id)
        if len(found) == limit:
            break
    return found


async def test_both_records_come_back(instances: Instances) -> None:
    assert await instances.owner("a") is None
    assert await instances.spec("a") is None
    await write(instances, "a")
    found, wanted = await instances.owner("a"), await instances.spec("a")
    assert found
    assert wanted
    assert (found.record.coordinator_id, found.record.bases) == ("c1", [Base(epoch=1, base_seq=0)])
    assert wanted.record.deployment_id == "notes:1.0.0@00000000"


async def test_a_deleted_instance_keeps_its_owner_record_and_leaves_the_list(instances: Instances) -> None:
    await write(instances, "a", "b")
    await instances.forget_spec("a")
    await instances.forget_spec("a")
    assert await instances.owner("a")
    assert await instances.spec("a") is None
    assert await page(instances) == ["b"]


async def test_what_has_no_owner_yet_is_in_the_list(instances: Instances) -> None:
    await instances.specs.create(instances.spec_key("new"), spec("new"))
    assert await page(instances) == ["new"]


async def test_environments_do_not_see_each_other() -> None:
    store = MemoryStore()
    await write(Instances(store, "dev"), "a")
    await write(Instances(store, "dev-2"), "b")
    assert await page(Instances(store, "dev")) == ["a"]
    assert await page(Instances(store, "staging")) == []


@given(st.sets(ids, max_size=8), st.integers(1, 3))
def test_pages_hold_every_id_once_whatever_the_ids_begin_with(names: set[str], limit: int) -> None:
    async def read_pages() -> list[str]:
        instances = Instances(MemoryStore(), "dev")
        await write(instances, *names)
        found, everything = list[str](), await page(instances)
        while len(found) < len(names) + 5 and (more := await page(instances, found[-1] if found else "", limit)):
            found += more
        assert found == everything
        return found

    assert sorted(asyncio.run(read_pages())) == sorted(names)


async def test_a_page_may_begin_after_an_id_that_is_gone(instances: Instances) -> None:
    await write(instances, "a", "c")
    assert await page(instances, "b") == ["c"]
    assert await page(instances, "c") == []
