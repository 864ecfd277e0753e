"""Idempotency of the gateway's own POSTs: one create-only object per tenant, route and key, written before anything else.

It holds a keyed hash of the body, which may carry secrets, and the id that was chosen, so that a repeat finishes what the first
try began.
"""

import hashlib

from podium.objectstore.port import ObjectStore
from podium.protocol.errors import IdempotencyMismatch
from podium.records.record import Record, Records
from podium.sealing import Sealer


class RequestRecord(Record, kw_only=True):
    """What a key was used for first."""

    body_hash: str
    chosen_id: str


class Requests:
    """The requests of one environment."""

    def __init__(self, store: ObjectStore, environment: str, sealer: Sealer) -> None:
        self._records = Records(store, RequestRecord)
        self._root = f"{environment}/requests/"
        self._sealer = sealer

    async def choose(self, tenant_id: str, route: str, key: str, body: bytes, chosen_id: str) -> str:
        """The id this request works on: `chosen_id`, or the one its first try chose. IdempotencyMismatch for another body."""
        name = hashlib.sha256(f"{tenant_id}\n{route}\n{key}".encode()).hexdigest()
        path = f"{self._root}{name[:2]}/{name}"
        body_hash = self._sealer.fingerprint(body)
        mine = await self._records.create(path, RequestRecord(body_hash=body_hash, chosen_id=chosen_id))
        found = mine or await self._records.read(path)
        if found is None or found.record.body_hash != body_hash:
            raise IdempotencyMismatch(f"Idempotency-Key {key!r} was used before with another body: use a new key")
        return found.record.chosen_id
