"""A uid of its own for every instance on this host, from its beginning, given out once: never reused while the host lives.

The counter is `host.db`: SQLite's AUTOINCREMENT never gives a number twice. Each data directory counts within a block of its own,
drawn at random, so that two platforms on one machine do not end each other's agents; the block's first uid installs dependencies.
"""

import os
import secrets
from pathlib import Path
from typing import cast

import apsw

BLOCK_UIDS = 65_536
FIRST_BLOCK, LAST_BLOCK = 16, 32_000
"""Blocks begin above the ranges that distributions give to people (0 … 1,048,575) and end below 2^31."""

_SCHEMA = """
CREATE TABLE IF NOT EXISTS uids (n INTEGER PRIMARY KEY AUTOINCREMENT, name TEXT UNIQUE NOT NULL) STRICT;
CREATE TABLE IF NOT EXISTS uid_block (id INTEGER PRIMARY KEY CHECK (id = 1), first_uid INTEGER NOT NULL) STRICT;
"""


class Uids:
    """Gives out uids as root; without root every agent runs as the platform's own user."""

    def __init__(self, path: Path) -> None:
        self._root = os.getuid() == 0
        path.touch(mode=0o600)  # it names every instance; SQLite gives its log the same mode
        path.chmod(0o600)
        self._db = apsw.Connection(str(path))
        self._db.pragma("journal_mode", "wal")
        self._db.pragma("synchronous", "FULL")
        self._db.execute(_SCHEMA)
        drawn = (FIRST_BLOCK + secrets.randbelow(LAST_BLOCK - FIRST_BLOCK)) * BLOCK_UIDS
        self._db.execute("INSERT INTO uid_block VALUES (1, ?) ON CONFLICT DO NOTHING", (drawn,))
        self._first = cast(int, self._db.execute("SELECT first_uid FROM uid_block").get)

    @property
    def build_uid(self) -> int | None:
        """The uid for installers; None without root."""
        return self._first if self._root else None

    def of(self, instance_id: str, life: int) -> int | None:
        """The uid of this life of an instance, given out durably at the first call; None without root. OSError at the end."""
        if not self._root:
            return None
        name = f"{instance_id}.{life}"
        self._db.execute("INSERT INTO uids (name) VALUES (?) ON CONFLICT DO NOTHING", (name,))
        n = cast(int, self._db.execute("SELECT n FROM uids WHERE name = ?", (name,)).get)
        if n >= BLOCK_UIDS:
            raise OSError(f"this data directory has given out all its uids, {BLOCK_UIDS}: begin another one")
        return self._first + n

    def close(self) -> None:
        """Close the file."""
        self._db.close()
