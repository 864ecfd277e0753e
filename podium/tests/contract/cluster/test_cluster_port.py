"""What every discovery keeps."""

import asyncio
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import aclosing
from pathlib import Path

import pytest

from podium.cluster.port import Cluster, CoordinatorInfo, Owned, PublishedConfig
from podium.cluster.valkey import ValkeyCluster
from tests.support.memory_cluster import MemoryCluster
from tests.support.valkey_server import valkey_server, valkey_url

DEADLINE_S = 20.0


@pytest.fixture(scope="module")
def valkey(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    folder: Path = tmp_path_factory.mktemp("valkey")
    with valkey_server(folder):
        yield valkey_url(folder)


@pytest.fixture(params=["memory", "valkey"])
async def cluster(request: pytest.FixtureRequest) -> AsyncIterator[Cluster]:
    if request.param == "memory":
        yield MemoryCluster()
        return
    found = ValkeyCluster(request.getfixturevalue("valkey"))
    await found._valkey.flushall()
    yield found
    await found.aclose()


def info(coordinator_id: str, load: int = 0) -> CoordinatorInfo:
    return CoordinatorInfo(coordinator_id=coordinator_id, incarnation="i1", url="http://h:9090", load=load, capacity=10)


async def test_nobody_is_known_at_first(cluster: Cluster) -> None:
    await cluster.ping()
    assert await cluster.coordinators() == []
    assert await cluster.route("agent_1") is None


async def test_announced_coordinators_are_listed_in_order(cluster: Cluster) -> None:
    for name in ("b", "c", "a"):
        await cluster.announce(info(name), 60)
    assert [known.coordinator_id for known in await cluster.coordinators()] == ["a", "b", "c"]


async def test_a_new_announcement_replaces_the_old(cluster: Cluster) -> None:
    await cluster.announce(info("a"), 60)
    await cluster.announce(info("a", load=7), 60)
    assert await cluster.coordinators() == [info("a", load=7)]


async def test_an_announcement_expires_and_may_come_again(cluster: Cluster) -> None:
    await cluster.announce(info("b"), 60)
    await cluster.announce(info("a"), 0.02)
    deadline = time.monotonic() + DEADLINE_S
    while len(await cluster.coordinators()) > 1:
        assert time.monotonic() < deadline
        await asyncio.sleep(0.005)
    await cluster.announce(info("a"), 60)
    assert await cluster.coordinators() == [info("a"), info("b")]


async def test_withdrawn_is_forgotten_at_once(cluster: Cluster) -> None:
    await cluster.announce(info("a"), 60)
    for _ in range(2):
        await cluster.withdraw("a")
    assert await cluster.coordinators() == []


def owned(coordinator_id: str, epoch: int) -> Owned:
    return Owned(coordinator_id=coordinator_id, epoch=epoch, life=1)


async def coordinator_of(cluster: Cluster, instance_id: str) -> str | None:
    found = await cluster.route(instance_id)
    return found and found.coordinator_id


async def test_a_route_follows_the_highest_epoch(cluster: Cluster) -> None:
    await cluster.set_route("agent_1", owned("a", 2))
    assert await coordinator_of(cluster, "agent_1") == "a"
    await cluster.set_route("agent_1", owned("b", 10))
    await cluster.set_route("agent_1", owned("a", 9))
    assert await coordinator_of(cluster, "agent_1") == "b"


async def test_routes_are_kept_apart_and_dropped(cluster: Cluster) -> None:
    await cluster.set_route("agent_1", owned("a", 1))
    await cluster.set_route("agent_2", owned("b", 1))
    for _ in range(2):
        await cluster.drop_route("agent_1")
    assert await cluster.route("agent_1") is None
    assert await coordinator_of(cluster, "agent_2") == "b"


async def test_racing_epochs_leave_the_highest(cluster: Cluster) -> None:
    await asyncio.gather(*(cluster.set_route("agent_1", owned(f"c{epoch}", epoch)) for epoch in range(1, 33)))
    assert await coordinator_of(cluster, "agent_1") == "c32"


def config(revision: int) -> PublishedConfig:
    return PublishedConfig(revision=revision, config={"n": revision})


async def test_who_listens_gets_what_is_kept_and_then_each_change(cluster: Cluster) -> None:
    async with aclosing(cluster.config_updates()) as updates:
        assert await anext(updates) is None
        await cluster.publish_config(config(1))
        await cluster.publish_config(config(2))
        assert [await anext(updates), await anext(updates)] == [config(1), config(2)]
    async with aclosing(cluster.config_updates()) as updates:
        assert await anext(updates) == config(2)


async def test_an_older_configuration_replaces_none_and_is_not_told(cluster: Cluster) -> None:
    await cluster.publish_config(config(5))
    async with aclosing(cluster.config_updates()) as updates:
        assert await anext(updates) == config(5)
        await cluster.publish_config(config(4))
        await cluster.publish_config(config(5))
        await cluster.publish_config(config(6))
        assert [await anext(updates), await anext(updates)] == [config(5), config(6)]


async def test_any_number_may_listen(cluster: Cluster) -> None:
    async with aclosing(cluster.config_updates()) as one, aclosing(cluster.config_updates()) as other:
        assert [await anext(one), await anext(other)] == [None, None]
        await cluster.publish_config(config(1))
        assert [await anext(one), await anext(other)] == [config(1), config(1)]
