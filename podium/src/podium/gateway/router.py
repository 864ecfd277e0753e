"""Who owns an instance and where that is. Discovery answers first, the records are the truth."""

import time
from collections import OrderedDict
from collections.abc import Callable
from typing import NamedTuple

from podium import log
from podium.cluster.port import Cluster, CoordinatorInfo
from podium.protocol.errors import NotFound, Unavailable
from podium.records.instances import Instances

MAX_ROUTES = 100_000
COORDINATORS_FOR_S = 1.0
_logger = log.get("router")


class Route(NamedTuple):
    """The owner of an instance, and the life that was meant when it was looked up. `fresh` where it was looked up just now."""

    coordinator_id: str
    url: str
    life: int
    fresh: bool


class Unplaced(Exception):
    """The instance has a spec but no owner yet: whoever asks first places it."""


class Router:
    """Finds owners. `clock` gives monotonic seconds."""

    def __init__(self, cluster: Cluster, records: Instances, clock: Callable[[], float] = time.monotonic) -> None:
        self._cluster = cluster
        self._records = records
        self._clock = clock
        self._routes: OrderedDict[str, tuple[str, int]] = OrderedDict()
        self._coordinators: list[CoordinatorInfo] = []
        self._coordinators_until = float("-inf")

    async def find(self, instance_id: str) -> Route:
        """The route to an instance; NotFound, Unplaced, Unavailable."""
        known = self._routes.get(instance_id)
        fresh = known is None
        if known is None:
            known = await self._look_up(instance_id)
        coordinator_id, life = known
        return Route(coordinator_id, await self._url(coordinator_id), life, fresh)

    def forget(self, instance_id: str) -> None:
        """Look again next time."""
        self._routes.pop(instance_id, None)
        self._coordinators_until = float("-inf")

    async def coordinators(self) -> list[CoordinatorInfo]:
        """All coordinators; the last that were known where discovery does not answer."""
        if self._clock() >= self._coordinators_until:
            try:
                self._coordinators = await self._cluster.coordinators() or self._coordinators
                self._coordinators_until = self._clock() + COORDINATORS_FOR_S
            except ConnectionError as error:
                _logger.warning("discovery does not answer", error=str(error))
        return self._coordinators

    async def _look_up(self, instance_id: str) -> tuple[str, int]:
        found = await self._records.owner(instance_id)
        if found is None:
            if await self._records.spec(instance_id) is not None:
                raise Unplaced
            raise NotFound(f"there is no instance {instance_id}")
        if found.record.deleted:
            raise NotFound(f"instance {instance_id} was deleted")
        route = (found.record.coordinator_id, found.record.life)
        self._routes[instance_id] = route
        if len(self._routes) > MAX_ROUTES:
            self._routes.popitem(last=False)
        return route

    async def _url(self, coordinator_id: str) -> str:
        for info in await self.coordinators():
            if info.coordinator_id == coordinator_id:
                return info.url
        raise Unavailable(f"coordinator {coordinator_id} is not known now", retry_after_s=1)
