"""A uid of its own for every instance on this host, from its beginning, given out once: never reused while the host lives.

The counter is `host.db`. SQLite's AUTOINCREMENT is the guarantee: a number once given is never given again.
"""

import os
from pathlib import Path
from typing import cast

import apsw

FIRST_UID = 200_000
BUILD_UID = 199_999
"""The uid that installs dependencies."""
MAX_UIDS = 1_000_000_000


class Uids:
    """Gives out uids as root; without root every agent runs as the platform's own user."""

    def __init__(self, path: Path) -> None:
        self._root = os.getuid() == 0
        self._db = apsw.Connection(str(path))
        self._db.pragma("journal_mode", "wal")
        self._db.pragma("synchronous", "FULL")
        self._db.execute(
            "CREATE TABLE IF NOT EXISTS uids (n INTEGER PRIMARY KEY AUTOINCREMENT, name TEXT UNIQUE NOT NULL) STRICT"
        )

    @property
    def build_uid(self) -> int | None:
        """The uid for installers; None without root."""
        return BUILD_UID if self._root else None

    def of(self, instance_id: str, life: int) -> int | None:
        """The uid of this life of an instance, given out durably at the first call; None without root."""
        if not self._root:
            return None
        name = f"{instance_id}.{life}"
        self._db.execute("INSERT INTO uids (name) VALUES (?) ON CONFLICT DO NOTHING", (name,))
        n = cast(int, self._db.execute("SELECT n FROM uids WHERE name = ?", (name,)).get)
        if n > MAX_UIDS:
            raise OSError("this host has given out all its uids")
        return FIRST_UID + n

    def close(self) -> None:
        """Close the file."""
        self._db.close()
