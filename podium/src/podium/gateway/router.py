"""Who owns an instance and where that is. Discovery answers first, the records are the truth."""

import time
from collections import OrderedDict
from collections.abc import Callable
from typing import NamedTuple

from podium import log
from podium.cluster.port import Cluster, CoordinatorInfo, Owned
from podium.protocol.errors import NotFound, Unavailable
from podium.records.instances import Instances

MAX_ROUTES = 100_000
COORDINATORS_FOR_S = 1.0
_logger = log.get("router")


class Route(NamedTuple):
    """The owner of an instance and its life; `fresh` where the records said so just now, which is the truth."""

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
        self._routes: OrderedDict[str, Owned] = OrderedDict()
        self._doubted: set[str] = set()
        self._coordinators: list[CoordinatorInfo] = []
        self._coordinators_until = float("-inf")

    async def find(self, instance_id: str) -> Route:
        """The route to an instance; NotFound, Unplaced, Unavailable."""
        known, fresh = self._routes.get(instance_id), False
        if known is None:
            known = None if instance_id in self._doubted else await self._hint(instance_id)
        self._doubted.discard(instance_id)
        if known is None:
            known, fresh = await self._look_up(instance_id), True
        self._remember(instance_id, known)
        return Route(known.coordinator_id, await self._url(known.coordinator_id), known.life, fresh)

    def forget(self, instance_id: str) -> None:
        """What was said of this instance was wrong: ask the records next time."""
        self._routes.pop(instance_id, None)
        self._doubted.add(instance_id)
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

    async def _hint(self, instance_id: str) -> Owned | None:
        try:
            return await self._cluster.route(instance_id)
        except ConnectionError:
            return None

    async def _look_up(self, instance_id: str) -> Owned:
        found = await self._records.owner(instance_id)
        if found is None:
            if await self._records.spec(instance_id) is not None:
                raise Unplaced
            raise NotFound(f"there is no instance {instance_id}")
        if found.record.deleted:
            raise NotFound(f"instance {instance_id} was deleted")
        return Owned(coordinator_id=found.record.coordinator_id, epoch=found.record.epoch, life=found.record.life)

    def _remember(self, instance_id: str, owned: Owned) -> None:
        self._routes[instance_id] = owned
        if len(self._routes) > MAX_ROUTES:
            self._routes.popitem(last=False)

    async def _url(self, coordinator_id: str) -> str:
        for info in await self.coordinators():
            if info.coordinator_id == coordinator_id:
                return info.url
        raise Unavailable(f"coordinator {coordinator_id} is not known now", retry_after_s=1)
