"""Who owns an instance: the records are the truth, discovery says where the owner is."""

from collections.abc import AsyncIterator

import pytest

from podium.gateway import router as router_module
from podium.gateway.router import COORDINATORS_FOR_S, Route, Unplaced
from podium.protocol.errors import NotFound, Unavailable
from tests.support.routing import World


@pytest.fixture
async def world() -> AsyncIterator[World]:
    made = World()
    await made.coordinator("c1", "http://one")
    await made.coordinator("c2", "http://two")
    yield made


async def test_the_record_says_who_and_discovery_says_where(world: World) -> None:
    await world.spec("a")
    await world.owner("a", "c2", epoch=3)
    assert await world.router.find("a") == Route("c2", "http://two", 3, True)


async def test_a_route_is_remembered_until_it_is_found_wrong(world: World) -> None:
    await world.owner("a", "c1")
    assert (await world.router.find("a")).fresh
    await world.owner("a", "c2", epoch=2)
    assert await world.router.find("a") == Route("c1", "http://one", 1, False)
    world.router.forget("a")
    assert await world.router.find("a") == Route("c2", "http://two", 2, True)


async def test_what_was_never_there_is_not_found(world: World) -> None:
    with pytest.raises(NotFound, match="there is no instance a"):
        await world.router.find("a")


async def test_what_was_deleted_is_not_found(world: World) -> None:
    await world.owner("a", "c1", deleted=True)
    with pytest.raises(NotFound, match="was deleted"):
        await world.router.find("a")


async def test_a_new_life_after_a_deletion_is_found(world: World) -> None:
    await world.owner("a", "c1", deleted=True)
    with pytest.raises(NotFound):
        await world.router.find("a")
    await world.owner("a", "c2", epoch=2)
    assert await world.router.find("a") == Route("c2", "http://two", 2, True)


async def test_what_has_a_spec_and_no_owner_is_to_be_placed(world: World) -> None:
    await world.spec("a")
    with pytest.raises(Unplaced):
        await world.router.find("a")
    await world.owner("a", "c1")
    assert (await world.router.find("a")).coordinator_id == "c1"


async def test_an_owner_that_is_not_announced_is_unavailable_until_it_is(world: World) -> None:
    await world.owner("a", "c3")
    with pytest.raises(Unavailable, match="c3"):
        await world.router.find("a")
    await world.coordinator("c3", "http://three")
    world.router.forget("a")
    assert (await world.router.find("a")).url == "http://three"


async def test_without_discovery_the_last_coordinators_known_are_used(world: World) -> None:
    await world.owner("a", "c1")
    await world.owner("b", "c2")
    await world.router.find("a")
    world.cluster.reachable = False
    world.now += 10 * COORDINATORS_FOR_S
    assert (await world.router.find("b")).url == "http://two"
    world.router.forget("b")
    assert (await world.router.find("b")).url == "http://two"


async def test_discovery_that_was_wiped_is_not_believed_at_once(world: World) -> None:
    await world.owner("a", "c1")
    await world.router.find("a")
    await world.cluster.withdraw("c1")
    await world.cluster.withdraw("c2")
    world.now += 10 * COORDINATORS_FOR_S
    assert (await world.router.find("a")).url == "http://one"


async def test_a_coordinator_that_moved_is_found_within_a_second(world: World) -> None:
    await world.owner("a", "c1")
    assert (await world.router.find("a")).url == "http://one"
    await world.coordinator("c1", "http://elsewhere")
    assert (await world.router.find("a")).url == "http://one"
    world.now += COORDINATORS_FOR_S
    assert (await world.router.find("a")).url == "http://elsewhere"


async def test_without_discovery_from_the_beginning_nothing_is_known(world: World) -> None:
    await world.owner("a", "c1")
    world.cluster.reachable = False
    assert await world.router.coordinators() == []
    with pytest.raises(Unavailable):
        await world.router.find("a")


async def test_routes_in_memory_are_bounded(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(router_module, "MAX_ROUTES", 2)
    for name in ("a", "b", "c"):
        await world.owner(name, "c1")
        assert (await world.router.find(name)).fresh
    assert [(await world.router.find(name)).fresh for name in ("b", "c", "a")] == [False, False, True]
