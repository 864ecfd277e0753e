"""Reading and writing one record: JSON with a format number and a random `write_id`, changed only by conditional put.

After a time-out nobody knows whether a put happened. The `write_id` tells: read again, and if the object carries ours, it did.
"""

import secrets
from typing import Generic, TypeVar

import msgspec

from podium.objectstore.port import AlreadyExists, Conflict, ObjectStore
from podium.protocol.errors import NewerFormat

FORMAT = 1


class Record(msgspec.Struct, kw_only=True):
    """Base of all records. `write_id` is drawn anew by each write."""

    format: int = FORMAT
    write_id: str = ""


R = TypeVar("R", bound=Record)


class Stored(Generic[R]):
    """A record as it was read, and the etag that a change must name."""

    def __init__(self, record: R, etag: str) -> None:
        self.record = record
        self.etag = etag


class Records(Generic[R]):
    """All records of one type."""

    def __init__(self, store: ObjectStore, record_type: type[R]) -> None:
        self._store = store
        self._type = record_type

    async def read(self, key: str) -> Stored[R] | None:
        """The record under `key`; NewerFormat where this release cannot know what it means."""
        found = await self._store.get(key)
        if found is None:
            return None
        version = msgspec.json.decode(found.body, type=Record).format
        if version > FORMAT:
            raise NewerFormat(f"{key} has format {version}; this release reads up to {FORMAT}")
        return Stored(msgspec.json.decode(found.body, type=self._type), found.etag)

    async def create(self, key: str, record: R) -> Stored[R] | None:
        """Write a new record; None where there is one already, unless it is this very write."""
        record.write_id = secrets.token_hex(8)
        try:
            return Stored(record, await self._store.create(key, msgspec.json.encode(record)))
        except AlreadyExists:
            return await self._ours(key, record)

    async def replace(self, key: str, record: R, etag: str) -> Stored[R] | None:
        """Change the record that was read with `etag`; None where somebody else changed it first."""
        record.write_id = secrets.token_hex(8)
        try:
            return Stored(record, await self._store.replace(key, msgspec.json.encode(record), etag))
        except Conflict:
            return await self._ours(key, record)

    async def _ours(self, key: str, record: R) -> Stored[R] | None:
        """What lies there if an earlier try of this write put it there: a client library may have tried twice."""
        found = await self.read(key)
        return found if found and found.record.write_id == record.write_id else None
