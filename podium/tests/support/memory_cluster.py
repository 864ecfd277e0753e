"""Discovery in memory, for tests of what uses it. `reachable` False makes every call fail as a dead Valkey does."""

import asyncio
import time
from collections.abc import AsyncGenerator, Callable

from podium.cluster.port import CoordinatorInfo, Owned, PublishedConfig


class MemoryCluster:
    """The twin of ValkeyCluster. `clock` gives seconds."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self.reachable = True
        self._clock = clock
        self._coordinators: dict[str, tuple[CoordinatorInfo, float]] = {}
        self._routes: dict[str, Owned] = {}
        self._published: PublishedConfig | None = None
        self._listeners: set[asyncio.Queue[PublishedConfig | None]] = set()

    async def announce(self, info: CoordinatorInfo, ttl_s: float) -> None:
        await self.ping()
        self._coordinators[info.coordinator_id] = (info, self._clock() + ttl_s)

    async def withdraw(self, coordinator_id: str) -> None:
        await self.ping()
        self._coordinators.pop(coordinator_id, None)

    async def coordinators(self) -> list[CoordinatorInfo]:
        await self.ping()
        return [info for _, (info, until) in sorted(self._coordinators.items()) if self._clock() < until]

    async def set_route(self, instance_id: str, owned: Owned) -> None:
        await self.ping()
        known = self._routes.get(instance_id)
        if known is None or owned.epoch >= known.epoch:
            self._routes[instance_id] = owned

    async def route(self, instance_id: str) -> Owned | None:
        await self.ping()
        return self._routes.get(instance_id)

    async def drop_route(self, instance_id: str) -> None:
        await self.ping()
        self._routes.pop(instance_id, None)

    async def publish_config(self, published: PublishedConfig) -> None:
        await self.ping()
        if self._published is None or published.revision >= self._published.revision:
            self._published = published
            for listener in self._listeners:
                listener.put_nowait(published)

    async def config_updates(self) -> AsyncGenerator[PublishedConfig | None, None]:
        await self.ping()
        listener = asyncio.Queue[PublishedConfig | None]()
        self._listeners.add(listener)
        try:
            yield self._published
            while (published := await listener.get()) is not None:
                yield published
        finally:
            self._listeners.discard(listener)
        raise ConnectionError("discovery was switched off")

    def switch_off(self) -> None:
        """Stop answering, forget everything and end those who listen."""
        self.reachable = False
        self._coordinators, self._routes, self._published = {}, {}, None
        for listener in self._listeners:
            listener.put_nowait(None)

    async def ping(self) -> None:
        if not self.reachable:
            raise ConnectionError("discovery is switched off")
