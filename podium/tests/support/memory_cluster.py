"""Discovery in memory, for tests of what uses it. `reachable` False makes every call fail as a dead Valkey does."""

import time
from collections.abc import Callable

from podium.cluster.port import CoordinatorInfo, Owned


class MemoryCluster:
    """The twin of ValkeyCluster. `clock` gives seconds."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self.reachable = True
        self._clock = clock
        self._coordinators: dict[str, tuple[CoordinatorInfo, float]] = {}
        self._routes: dict[str, Owned] = {}

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

    async def ping(self) -> None:
        if not self.reachable:
            raise ConnectionError("discovery is switched off")
