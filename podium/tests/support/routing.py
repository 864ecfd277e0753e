"""Records and discovery in memory, and the gateway's router that looks at them."""

from podium.cluster.port import CoordinatorInfo
from podium.gateway.router import Router
from podium.records.instances import Base, Instances, Owner, Spec
from tests.support.memory_cluster import MemoryCluster
from tests.support.memory_store import MemoryStore
from tests.support.states import START


class World:
    """Records and discovery in memory, a clock that stands, and the router that looks at them."""

    def __init__(self) -> None:
        self.now = 0.0
        self.cluster = MemoryCluster(lambda: self.now)
        self.records = Instances(MemoryStore(), "dev")
        self.router = Router(self.cluster, self.records, lambda: self.now)

    async def coordinator(self, name: str, url: str, ttl_s: float = 1e9) -> None:
        info = CoordinatorInfo(coordinator_id=name, incarnation="i1", url=url, load=0, capacity=10)
        await self.cluster.announce(info, ttl_s)

    async def spec(self, instance_id: str) -> None:
        record = Spec(
            instance_id=instance_id, tenant_id="platform", deployment_id="notes:1.0.0@00000000", config={}, labels={},
            created_at=START,
        )  # fmt: skip
        await self.records.specs.create(self.records.spec_key(instance_id), record)

    async def owner(self, instance_id: str, coordinator_id: str, epoch: int = 1, *, deleted: bool = False) -> None:
        record = Owner(
            instance_id=instance_id, coordinator_id=coordinator_id, incarnation="i1", epoch=epoch, life=epoch,
            bases=[Base(epoch=epoch, base_seq=0)], deleted=deleted, at=START,
        )  # fmt: skip
        found = await self.records.owner(instance_id)
        key = self.records.owner_key(instance_id)
        if found is None:
            assert await self.records.owners.create(key, record)
        else:
            assert await self.records.owners.replace(key, record, found.etag)
