"""The runtime configuration as this coordinator knows it: learnt from discovery at once, from the record in any case."""

import asyncio
from collections.abc import Callable, Iterator, Mapping
from contextlib import aclosing
from functools import reduce
from typing import Any

from podium import log
from podium.cluster.port import Cluster, PublishedConfig
from podium.protocol.errors import NewerFormat
from podium.records.bounds import difference, merge_patch
from podium.records.configuration import Configurations

READ_EVERY_S = 60.0
"""Finds what a gateway wrote and could not tell: it died in between, or discovery did."""
RETRY_S = 1.0
_logger = log.get("configuration")


class Configuration:
    """`current` is the document; it is replaced, never changed."""

    def __init__(self, records: Configurations, cluster: Cluster) -> None:
        self.current: dict[str, Any] = {}
        self._revision = -1
        self._records = records
        self._cluster = cluster

    async def read(self) -> bool:
        """Take what the record says; whether that was news. OSError, NewerFormat."""
        record = await self._records.read()
        return self._take(record.revision, record.config)

    async def follow(self, changed: Callable[[], None]) -> None:
        """Call `changed` after each change, for ever."""
        async with asyncio.TaskGroup() as both:
            both.create_task(self._listen(changed))
            both.create_task(self._look(changed))

    async def _listen(self, changed: Callable[[], None]) -> None:
        while True:
            try:
                async with aclosing(self._cluster.config_updates()) as updates:
                    async for published in updates:
                        if await self._learn(published):
                            changed()
            except ConnectionError as error:
                _logger.warning("discovery does not answer", error=str(error))
            await asyncio.sleep(RETRY_S)

    async def _look(self, changed: Callable[[], None]) -> None:
        while True:
            await asyncio.sleep(READ_EVERY_S)
            if await self._read_again():
                changed()

    async def _learn(self, published: PublishedConfig | None) -> bool:
        """What was published may be old, or lost with discovery: then the record says what is true."""
        if published and published.revision > self._revision:
            return self._take(published.revision, published.config)
        return await self._read_again()

    async def _read_again(self) -> bool:
        try:
            return await self.read()
        except (OSError, NewerFormat) as error:
            _logger.error("the runtime configuration cannot be read", error=str(error))
            return False

    def _take(self, revision: int, config: dict[str, Any]) -> bool:
        news = revision > self._revision and config != self.current
        if revision > self._revision:
            self._revision, self.current = revision, config
        return news


def layered(*layers: Mapping[str, Any]) -> dict[str, Any]:
    """Each layer over the ones before: a manifest's defaults, the runtime configuration, an instance's own."""
    return reduce(merge_patch, layers, {})


class AgentConfig:
    """The configuration that one process of an agent has: `current`. The manifest's defaults never change in its life."""

    def __init__(self, defaults: Mapping[str, Any], runtime: Mapping[str, Any], own: Mapping[str, Any]) -> None:
        self.current = layered(defaults, runtime, own)
        self._defaults = defaults
        self._own = own

    def changes(self, runtime: Mapping[str, Any], own: Mapping[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
        """What the process has to be told, by the source of the change; from then on that is what it has."""
        for source, own_then in (("runtime", self._own), ("instance", own)):
            after = layered(self._defaults, runtime, own_then)
            patch, self.current = difference(self.current, after), after
            if patch:
                yield source, patch
        self._own = own
