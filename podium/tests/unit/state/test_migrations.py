from pathlib import Path

import apsw
import pytest

from podium.protocol.errors import NewerFormat
from podium.state import migrations

NEWEST_TO_1 = (
    "DROP INDEX inbox_said",
    "ALTER TABLE inbox DROP COLUMN target",
    *(f"ALTER TABLE questions DROP COLUMN {name}" for name in ("ordinal", "attempt", "withdrawn")),
    *(f"ALTER TABLE launches DROP COLUMN {name}" for name in ("hook", "killed", "oom")),
    "ALTER TABLE instance DROP COLUMN journal_number",
)


def test_a_new_file_has_the_format_and_the_application_id(tmp_path: Path) -> None:
    with migrations.open_database(tmp_path / "state.db") as db:
        assert db.pragma("user_version") == migrations.FORMAT
        assert db.pragma("application_id") == migrations.APPLICATION_ID


def test_a_newer_format_is_refused_and_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "state.db"
    migrations.open_database(path).close()
    with apsw.Connection(str(path)) as db:
        db.pragma("user_version", migrations.FORMAT + 1)
    with pytest.raises(NewerFormat, match="upgrade"):
        migrations.open_database(path)
    assert apsw.Connection(str(path)).pragma("user_version") == migrations.FORMAT + 1


def test_a_migration_that_fails_leaves_the_old_file_working(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "state.db"
    migrations.open_database(path).close()
    monkeypatch.setattr(migrations, "FORMAT", migrations.FORMAT + 1)
    monkeypatch.setattr(migrations, "MIGRATIONS", {migrations.FORMAT - 1: "CREATE TABLE added (n); CREATE TABLE added (n)"})
    with pytest.raises(OSError, match="added"):
        migrations.open_database(path)
    monkeypatch.setattr(migrations, "FORMAT", migrations.FORMAT - 1)
    with migrations.open_database(path) as db:
        assert db.execute("SELECT count(*) FROM sqlite_master WHERE name = 'added'").get == 0


def test_something_else_is_not_opened(tmp_path: Path) -> None:
    path = tmp_path / "state.db"
    path.write_bytes(b"this is no database" * 1000)
    with pytest.raises(OSError, match="cannot be opened"):
        migrations.open_database(path)


def test_format_1_becomes_the_newest(tmp_path: Path) -> None:
    path = tmp_path / "state.db"
    with migrations.open_database(path) as db:
        newest = _columns(db)
        for step in NEWEST_TO_1:
            db.execute(step)
        db.pragma("user_version", 1)
        assert _columns(db) < newest
    with migrations.open_database(path) as db:
        assert db.pragma("user_version") == migrations.FORMAT
        assert _columns(db) == newest


def _columns(db: apsw.Connection) -> set[tuple[str, str]]:
    """(table or index, column) of everything there is."""
    names = [name for (name,) in db.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
    columns = {(str(name), str(row[1])) for name in names for row in db.execute(f"PRAGMA table_info({name})")}
    return columns | {(str(name), "") for (name,) in db.execute("SELECT name FROM sqlite_master WHERE type = 'index'")}
