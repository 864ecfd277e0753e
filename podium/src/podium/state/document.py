"""The state document as history: snapshots and the deltas above them."""

from typing import Any, cast

import apsw

from podium.protocol import delta
from podium.state.values import digest, from_json, to_json

SNAPSHOT_MIN_BYTES = 4096
MAX_STATE_BYTES = 8 * 1024 * 1024
"""The whole document travels in one frame at each start, and is hashed at each turn that changes it."""


class Document:
    """The newest state document of an instance, kept in memory beside its history."""

    def __init__(self, db: apsw.Connection) -> None:
        self.reload(db)

    def reload(self, db: apsw.Connection) -> None:
        """Read the newest version anew: after opening, and after a transaction that did not commit."""
        self.version, self.value, self._delta_bytes = _read(db)

    def fold(self, db: apsw.Connection, deltas: list[dict[str, Any]]) -> None:
        """Store the next version, by its deltas or as a whole where the deltas since the last snapshot outgrew it."""
        if not deltas:
            return
        value = delta.apply(self.value, deltas)
        if not isinstance(value, dict):
            raise delta.DeltaError("the state document must stay an object")
        body, whole = to_json(deltas), to_json(value)
        if len(whole) > MAX_STATE_BYTES:
            raise delta.DeltaError(
                f"the state would have {len(whole)} bytes; {MAX_STATE_BYTES} are allowed: keep data in files or SQL"
            )
        self._delta_bytes += len(body)
        snapshot = self.version == 0 or self._delta_bytes > max(SNAPSHOT_MIN_BYTES, len(whole))
        db.execute(
            "INSERT INTO state_log VALUES (?, ?, ?)",
            (self.version + 1, "snapshot" if snapshot else "delta", whole if snapshot else body),
        )
        self.version, self.value = self.version + 1, value
        self._delta_bytes = 0 if snapshot else self._delta_bytes

    def hash(self) -> str:
        """SHA-256 of the document's JSON with sorted keys, in hex."""
        return digest(self.value).hex()


def _read(db: apsw.Connection) -> tuple[int, dict[str, Any], int]:
    """(version, document, bytes of deltas since its snapshot) as of the newest version; (0, {}, 0) before the first."""
    rows = db.execute(
        "SELECT version, kind, body FROM state_log"
        " WHERE version >= (SELECT coalesce(max(version), 0) FROM state_log WHERE kind = 'snapshot') ORDER BY version"
    ).fetchall()
    version, document, size = 0, cast("dict[str, Any]", {}), 0
    for number, kind, body in cast("list[tuple[int, str, str]]", rows):
        change = from_json(body)
        document, size = (change, 0) if kind == "snapshot" else (delta.apply(document, change), size + len(body))
        version = number
    return version, document, size
