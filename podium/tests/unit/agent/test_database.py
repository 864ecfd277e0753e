"""`ctx.sql`: whatever an author executes, it is one transaction."""

import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest

from podium.agent.database import TurnConnection, open_database, statements


@pytest.fixture
def sql(tmp_path: Path) -> Iterator[TurnConnection]:
    connection = open_database(tmp_path / ".podium" / "agent.db")
    connection.execute("CREATE TABLE t(x)")
    connection.commit()
    yield connection
    connection.close()


def rows(connection: sqlite3.Connection) -> list[str]:
    return [row[0] for row in connection.execute("SELECT x FROM t ORDER BY rowid")]


def stored(tmp_path: Path) -> list[str]:
    connection = sqlite3.connect(tmp_path / ".podium" / "agent.db")
    try:
        return rows(connection) if connection.execute("SELECT 1 FROM sqlite_schema").fetchone() else []
    finally:
        connection.close()


@pytest.mark.parametrize(
    "commit",
    [
        "COMMIT", "end transaction;", "BEGIN", "begin immediate", " -- note\n COMMIT", "/* a */ commit", ";commit", "ROLLBACK",
        "rollback transaction", "/* to */ ROLLBACK /* x */",
    ],
)  # fmt: skip
def test_no_statement_ends_the_transaction(sql: TurnConnection, tmp_path: Path, commit: str) -> None:
    sql.execute("INSERT INTO t VALUES ('a')")
    sql.execute(commit)
    sql.cursor().executescript(f"INSERT INTO t VALUES ('b'); {commit}; INSERT INTO t VALUES ('c')")
    assert sql.in_transaction
    assert rows(sql)[-1] == "c"
    sql.close()
    assert stored(tmp_path) == []


def test_what_looks_like_a_commit_is_left_alone(sql: TurnConnection) -> None:
    sql.execute("INSERT INTO t VALUES ('commit')")
    sql.execute("SAVEPOINT mine")
    sql.execute("INSERT INTO t VALUES ('gone')")
    sql.execute("ROLLBACK /* x */ TO mine")
    sql.execute("ROLLBACK TRANSACTION TO SAVEPOINT mine")
    sql.execute("RELEASE mine")
    sql.execute("/* a */ SELECT 1 /* b */ -- commit")
    sql.execute(" \n" * 10_000 + "/* * ** */" * 1000 + "SELECT 1")  # and it takes no time that matters
    assert rows(sql) == ["commit"]


def test_rollback_returns_to_the_last_commit(sql: TurnConnection) -> None:
    sql.execute("INSERT INTO t VALUES ('kept')")
    sql.commit()
    sql.execute("INSERT INTO t VALUES ('gone')")
    sql.rollback()
    sql.rollback()
    assert rows(sql) == ["kept"]


def test_with_commits_or_rolls_back(sql: TurnConnection) -> None:
    with sql:
        sql.executemany("INSERT INTO t VALUES (?)", [("kept",), ("too",)])
    with pytest.raises(RuntimeError, match="mine"), sql:
        sql.execute("INSERT INTO t VALUES ('gone')")
        raise RuntimeError("mine")
    assert rows(sql) == ["kept", "too"]


def test_finish_makes_it_durable_and_close_alone_does_not(sql: TurnConnection, tmp_path: Path) -> None:
    sql.execute("INSERT INTO t VALUES ('a')")
    sql.finish()
    sql.close()
    assert stored(tmp_path) == ["a"]
    again = open_database(tmp_path / ".podium" / "agent.db")
    again.execute("INSERT INTO t VALUES ('b')")
    again.close()
    assert stored(tmp_path) == ["a"]


def test_nothing_is_written_once_the_transaction_is_gone(sql: TurnConnection) -> None:
    sqlite3.Cursor(sql).execute("ROLLBACK")  # as SQLite itself does when the disk is full
    for write in (
        lambda: sql.execute("CREATE TABLE u(x)"),
        lambda: sql.executemany("INSERT INTO t VALUES (?)", [("a",)]),
        lambda: sql.executescript("CREATE TABLE u(x)"),
        sql.finish,
    ):
        with pytest.raises(sqlite3.OperationalError, match="has ended early"):
            write()


def test_a_script_is_cut_where_its_statements_end() -> None:
    trigger = "CREATE TRIGGER r AFTER INSERT ON t BEGIN DELETE FROM t; SELECT ';'; END;"
    script = f"INSERT INTO t VALUES (';');{trigger} -- a; b\n SELECT 1"
    assert list(statements(script)) == ["INSERT INTO t VALUES (';');", trigger, " -- a; b\n SELECT 1"]
    assert list(statements(" \n")) == []


def test_the_file_is_the_agents_alone(sql: TurnConnection, tmp_path: Path) -> None:
    assert (tmp_path / ".podium").stat().st_mode & 0o777 == 0o700
