"""The two records of an instance: `owner`, written only when ownership changes, and `spec`, written by gateways."""

from collections.abc import AsyncIterator
from datetime import datetime
from typing import Any

import msgspec

from podium.objectstore.port import ObjectStore
from podium.records.record import Record, Records, Stored


class Base(msgspec.Struct, kw_only=True, frozen=True):
    """Where an epoch's line of events begins: above `base_seq`."""

    epoch: int
    base_seq: int


class Owner(Record, kw_only=True):
    """Who owns an instance. `life` is the epoch it was created in; `deleted` makes it a tombstone that keeps the epoch."""

    instance_id: str
    coordinator_id: str
    incarnation: str
    epoch: int
    life: int
    bases: list[Base]
    cut: dict[str, Any] | None = None
    deleted: bool = False
    at: datetime


class Spec(Record, kw_only=True):
    """What an instance should be."""

    instance_id: str
    tenant_id: str
    deployment_id: str
    config: dict[str, Any]
    labels: dict[str, str]
    created_at: datetime
    request_id: str = ""
    environment: dict[str, str] = msgspec.field(default_factory=dict)
    secrets: str | None = None
    """Sealed for the instance's tenant, id and life: see `secrets_belong_to`."""
    upgrade_id: str = ""
    """Drawn anew by each request that names a deployment, so that asking again tries again."""
    earlier: list[str] = msgspec.field(default_factory=list)
    """The deployments it had before, each once: its checkpoints name them, and it can go back to them."""

    def follow(self, newer: "Spec") -> None:
        """Take over what can change in the life of an instance."""
        self.deployment_id, self.earlier, self.upgrade_id = newer.deployment_id, newer.earlier, newer.upgrade_id
        self.config, self.labels = newer.config, newer.labels

    def named(self) -> set[str]:
        """Every deployment that must be kept for this instance."""
        return {self.deployment_id, *self.earlier}


def secrets_belong_to(tenant_id: str, instance_id: str, life: int) -> tuple[str, ...]:
    """What an instance's secrets are sealed for."""
    return ("instance secrets", tenant_id, instance_id, str(life))


class Instances:
    """The records of all instances of one environment."""

    def __init__(self, store: ObjectStore, environment: str) -> None:
        self._store = store
        self._root = f"{environment}/instances/"
        self.owners = Records(store, Owner)
        self.specs = Records(store, Spec)

    def owner_key(self, instance_id: str) -> str:
        """Where the owner record lies."""
        return f"{self._root}{instance_id}/owner"

    def spec_key(self, instance_id: str) -> str:
        """Where the spec record lies."""
        return f"{self._root}{instance_id}/spec"

    async def owner(self, instance_id: str) -> Stored[Owner] | None:
        """The owner record, tombstones too."""
        return await self.owners.read(self.owner_key(instance_id))

    async def spec(self, instance_id: str) -> Stored[Spec] | None:
        """The spec record."""
        return await self.specs.read(self.spec_key(instance_id))

    async def forget_spec(self, instance_id: str) -> None:
        """Remove the spec of a deleted instance; the tombstone stays."""
        await self._store.delete(self.spec_key(instance_id))

    async def ids(self, after: str = "") -> AsyncIterator[str]:
        """Ids of all instances that have a spec, each once, in the order of their keys, from behind the id `after`."""
        start = f"{self._root}{after}/~" if after else ""
        async for key in self._store.list(self._root, after=start):
            if key.endswith("/spec"):
                yield key.removeprefix(self._root).removesuffix("/spec")
