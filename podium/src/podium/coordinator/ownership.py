"""Who owns an instance, and in which epoch. The only module that writes owner records."""

from collections.abc import Callable
from datetime import datetime

from podium.protocol.errors import Conflict, Moved, NotFound
from podium.records.instances import Base, Instances, Owner
from podium.records.record import Stored


class Ownership:
    """Claims, raises and gives up instances for one coordinator incarnation."""

    def __init__(self, records: Instances, coordinator_id: str, incarnation: str, clock: Callable[[], datetime]) -> None:
        self._records = records
        self._coordinator_id = coordinator_id
        self._incarnation = incarnation
        self._clock = clock

    async def claim(self, instance_id: str) -> Owner:
        """Become the owner of an instance that has none: a new one, or a new life after a tombstone at its epoch + 1."""
        found = await self._records.owner(instance_id)
        if found is None:
            created = await self._records.owners.create(self._key(instance_id), self._new(instance_id, 1))
            return await self._won(instance_id, created)
        if not found.record.deleted:
            return self._mine(found.record)
        record = self._new(instance_id, found.record.epoch + 1)
        return await self._won(instance_id, await self._records.owners.replace(self._key(instance_id), record, found.etag))

    async def owned(self, instance_id: str) -> Owner:
        """The owner record, which must name this coordinator: NotFound, Moved."""
        found = await self._records.owner(instance_id)
        if found is None or found.record.deleted:
            raise NotFound(f"there is no instance {instance_id}")
        return self._mine(found.record)

    async def raise_epoch(self, owner: Owner, base_seq: int) -> Owner:
        """Take the next epoch, whose line begins above `base_seq`."""
        found = await self._records.owner(owner.instance_id)
        if found is None or found.record.deleted:
            raise NotFound(f"there is no instance {owner.instance_id}")
        record = self._mine(found.record)
        record.epoch += 1
        record.bases = [*record.bases, Base(epoch=record.epoch, base_seq=base_seq)]
        record.incarnation, record.at = self._incarnation, self._clock()
        stored = await self._records.owners.replace(self._key(owner.instance_id), record, found.etag)
        return await self._won(owner.instance_id, stored)

    async def bury(self, instance_id: str) -> None:
        """Turn the record into a tombstone, then remove the spec; idempotent, so that a crash in between is finished later."""
        found = await self._records.owner(instance_id)
        if found and not found.record.deleted:
            record = self._mine(found.record)
            record.deleted, record.at = True, self._clock()
            if await self._records.owners.replace(self._key(instance_id), record, found.etag) is None:
                raise Conflict(f"instance {instance_id} changed its owner meanwhile: try again")
        await self._records.forget_spec(instance_id)

    def _new(self, instance_id: str, epoch: int) -> Owner:
        return Owner(
            instance_id=instance_id, coordinator_id=self._coordinator_id, incarnation=self._incarnation, epoch=epoch, life=epoch,
            bases=[Base(epoch=epoch, base_seq=0)], at=self._clock(),
        )  # fmt: skip

    def _key(self, instance_id: str) -> str:
        return self._records.owner_key(instance_id)

    def _mine(self, record: Owner) -> Owner:
        if record.coordinator_id != self._coordinator_id:
            raise Moved(f"instance {record.instance_id} is owned by {record.coordinator_id}", retry_after_s=1)
        return record

    async def _won(self, instance_id: str, stored: Stored[Owner] | None) -> Owner:
        """Our record, or what the winner of the race wrote."""
        return stored.record if stored else await self.owned(instance_id)
