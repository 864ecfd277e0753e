"""The runtime configuration of an environment: between the defaults of a manifest and what an instance has of its own."""

from datetime import datetime
from typing import Any

import msgspec

from podium.objectstore.port import ObjectStore
from podium.protocol.errors import Conflict
from podium.records.record import Record, Records

TRIES = 8


class RuntimeConfig(Record, kw_only=True):
    """The document; `revision` grows by one with each change."""

    revision: int = 0
    config: dict[str, Any] = msgspec.field(default_factory=dict)
    updated_at: datetime | None = None


class Configurations:
    """The record of one environment."""

    def __init__(self, store: ObjectStore, environment: str) -> None:
        self._records = Records(store, RuntimeConfig)
        self._key = f"{environment}/configuration"

    async def read(self) -> RuntimeConfig:
        """The newest; an empty one at revision 0 where none was ever written. OSError, NewerFormat."""
        found = await self._records.read(self._key)
        return found.record if found else RuntimeConfig()

    async def write(self, config: dict[str, Any], now: datetime) -> RuntimeConfig:
        """Replace the document; the record with its new revision, or the one that is there if it says the same."""
        for _ in range(TRIES):
            found = await self._records.read(self._key)
            if found and found.record.config == config:
                return found.record
            revision = found.record.revision if found else 0
            record = RuntimeConfig(revision=revision + 1, config=config, updated_at=now)
            put = self._records.replace(self._key, record, found.etag) if found else self._records.create(self._key, record)
            if stored := await put:
                return stored.record
        raise Conflict("the configuration is being changed by others all the time: try again")
