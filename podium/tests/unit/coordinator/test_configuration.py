"""What a coordinator knows of the runtime configuration, and what it tells one process."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from podium.cluster.port import PublishedConfig
from podium.coordinator import configuration as module
from podium.coordinator.configuration import AgentConfig, Configuration, layered
from podium.records.configuration import Configurations
from tests.support.memory_cluster import MemoryCluster
from tests.support.memory_store import MemoryStore
from tests.support.states import START


class Site:
    """A record, discovery, and one coordinator that follows both."""

    def __init__(self) -> None:
        self.records = Configurations(MemoryStore(), "dev")
        self.cluster = MemoryCluster()
        self.known = Configuration(self.records, self.cluster)
        self.changes: asyncio.Queue[dict[str, Any]] = asyncio.Queue()

    @asynccontextmanager
    async def following(self) -> AsyncIterator[None]:
        task = asyncio.create_task(self.known.follow(lambda: self.changes.put_nowait(self.known.current)))
        try:
            yield
        finally:
            task.cancel()
            await asyncio.wait({task})

    async def publish(self, config: dict[str, Any]) -> None:
        record = await self.records.write(config, START)
        await self.cluster.publish_config(PublishedConfig(revision=record.revision, config=config))


async def test_what_is_published_is_known_at_once_and_each_change_told_once() -> None:
    site = Site()
    async with site.following():
        for config in ({"a": 1}, {"a": 1}, {"a": 2}):
            await site.publish(config)
        assert [await site.changes.get(), await site.changes.get()] == [{"a": 1}, {"a": 2}]
    assert site.changes.empty()


async def test_who_begins_to_listen_reads_what_was_missed() -> None:
    site = Site()
    await site.records.write({"a": 1}, START)  # its gateway died before it told anybody
    async with site.following():
        assert await site.changes.get() == {"a": 1}


async def test_what_happened_while_discovery_was_away_is_found_when_it_is_back(monkeypatch: Any) -> None:
    monkeypatch.setattr(module, "RETRY_S", 0.001)
    site = Site()
    async with site.following():
        await site.publish({"a": 1})
        assert await site.changes.get() == {"a": 1}
        site.cluster.switch_off()
        await site.records.write({"a": 2}, START)
        site.cluster.reachable = True
        assert await site.changes.get() == {"a": 2}


async def test_the_record_is_read_again_now_and_then(monkeypatch: Any) -> None:
    monkeypatch.setattr(module, "READ_EVERY_S", 0.001)
    site = Site()
    site.cluster.reachable = False
    async with site.following():
        await site.records.write({"a": 1}, START)
        assert await site.changes.get() == {"a": 1}


def test_an_instances_own_configuration_lies_above_the_platforms_above_the_manifests() -> None:
    manifest, runtime, own = {"a": 1, "b": {"x": 1, "y": 1}, "c": 1}, {"b": {"x": 2}, "c": 2}, {"c": 3}
    assert layered(manifest, runtime, own) == {"a": 1, "b": {"x": 2, "y": 1}, "c": 3}


def test_a_process_is_told_what_changes_for_it_and_by_whom() -> None:
    config = AgentConfig({"a": 1, "b": 1}, {}, {"b": 2})
    assert [*config.changes({"b": 9}, {"b": 2})] == []
    assert [*config.changes({"a": 9}, {"b": 2})] == [("runtime", {"a": 9})]
    assert [*config.changes({}, {})] == [("runtime", {"a": 1}), ("instance", {"b": 1})]
    assert config.current == {"a": 1, "b": 1}
    assert [*config.changes({"n": {"x": 1}}, {"n": {"y": 1}})] == [("runtime", {"n": {"x": 1}}), ("instance", {"n": {"y": 1}})]
    assert [*config.changes({}, {"n": {"y": 1}})] == [("runtime", {"n": {"x": None}})]
