"""Opening `state.db`: the connection's settings and the versions of its format."""

from importlib.resources import files
from pathlib import Path

import apsw

from podium.protocol.errors import NewerFormat

APPLICATION_ID = 0x506F6469  # "Podi"
FORMAT = 4
OLDEST_SQLITE = 3_051_003  # older ones lose data when another process resets the WAL while this one checkpoints
BUSY_TIMEOUT_MS = 5_000

MIGRATIONS: dict[int, str] = {
    1: "ALTER TABLE instance ADD COLUMN journal_number INTEGER NOT NULL DEFAULT 0",
    2: "ALTER TABLE launches ADD COLUMN hook TEXT; ALTER TABLE launches ADD COLUMN killed TEXT;"
    " ALTER TABLE launches ADD COLUMN oom INTEGER NOT NULL DEFAULT 0",
    3: """
    ALTER TABLE inbox ADD COLUMN target INTEGER REFERENCES inbox (position);
    CREATE INDEX inbox_said ON inbox (target) WHERE state = 'turn';
    ALTER TABLE questions ADD COLUMN ordinal INTEGER NOT NULL DEFAULT 0;
    ALTER TABLE questions ADD COLUMN attempt INTEGER NOT NULL DEFAULT 0;
    ALTER TABLE questions ADD COLUMN withdrawn INTEGER NOT NULL DEFAULT 0;
    """,
}
"""SQL that takes format n to n + 1. Each runs in one transaction: where it fails the old file goes on working."""


def open_database(path: Path) -> apsw.Connection:
    """Open or make the file and bring it to FORMAT; NewerFormat where a newer release wrote it, OSError for anything else."""
    if apsw.SQLITE_VERSION_NUMBER < OLDEST_SQLITE:
        raise OSError(f"SQLite {apsw.sqlite_lib_version()} is too old: 3.51.3 is needed")
    try:
        connection = apsw.Connection(str(path))
        connection.set_busy_timeout(BUSY_TIMEOUT_MS)
        connection.pragma("journal_mode", "wal")
        connection.pragma("foreign_keys", True)
        _migrate(connection, path)
    except apsw.Error as error:
        raise OSError(f"{path} cannot be opened: {error}") from error
    return connection


def _migrate(connection: apsw.Connection, path: Path) -> None:
    connection.pragma("synchronous", "FULL")
    with connection:
        version = int(str(connection.pragma("user_version")))
        if version > FORMAT:
            raise NewerFormat(f"{path.name} has format {version}; this release reads up to {FORMAT}: upgrade it")
        if version == 0:
            connection.execute(files("podium.state").joinpath("schema.sql").read_text())
            connection.pragma("application_id", APPLICATION_ID)
            version = FORMAT
        for step in range(version, FORMAT):
            connection.execute(MIGRATIONS[step])
        connection.pragma("user_version", FORMAT)
