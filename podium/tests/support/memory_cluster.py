"""Discovery in memory, for tests of what uses it. `reachable` False makes every call fail as a dead Valkey does."""

import time
from collections.abc import Callable

from podium.cluster.port import CoordinatorInfo


class MemoryCluster:
    """The twin of ValkeyCluster. `clock` gives seconds."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self.reachable = True
        self._clock = clock
        self._coordinators: dict[str, tuple[CoordinatorInfo, float]] = {}
        self._routes: dict[str, tuple[str, int]] = {}

    async def announce(self, info: CoordinatorInfo, ttl_s: float) -> None:
        await self.ping()
        self._coordinators[info.coordinator_id] = (info, self._clock() + ttl_s)

    async def withdraw(self, coordinator_id: str) -> None:
        await self.ping()
        self._coordinators.pop(coordinator_id, None)

    async def coordinators(self) -> list[CoordinatorInfo]:
        await self.ping()
        return [info for _, (info, until) in sorted(self._coordinators.items()) if self._clock() < until]

    async def set_route(self, instance_id: str, coordinator_id: str, epoch: int) -> None:
        await self.ping()
        if epoch >= self._routes.get(instance_id, ("", 0))[1]:
            self._routes[instance_id] = (coordinator_id, epoch)

    async def route(self, instance_id: str) -> str | None:
        await self.ping()
        return self._routes[instance_id][0] if instance_id in self._routes else None

    async def drop_route(self, instance_id: str) -> None:
        await self.ping()
        self._routes.pop(instance_id, None)

    async def ping(self) -> None:
        if not self.reachable:
            raise ConnectionError("discovery is switched off")
