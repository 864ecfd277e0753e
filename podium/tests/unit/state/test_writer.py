import asyncio
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import apsw
import pytest

from podium.state.writer import Writer


@pytest.fixture
def connection(tmp_path: Path) -> apsw.Connection:
    connection = apsw.Connection(str(tmp_path / "x.db"))
    connection.pragma("journal_mode", "wal")
    connection.execute("CREATE TABLE t (n INTEGER PRIMARY KEY)")
    return connection


def insert(n: int):
    return lambda db: db.execute("INSERT INTO t VALUES (?)", (n,)) and n


async def test_one_failing_operation_does_not_undo_its_neighbours(connection: apsw.Connection) -> None:
    with ThreadPoolExecutor(1) as executor:
        writer = Writer(connection, executor)
        results = await asyncio.gather(*(writer.run(insert(n)) for n in (1, 2, 1, 3)), return_exceptions=True)
        assert [r for r in results if not isinstance(r, Exception)] == [1, 2, 3]
        assert isinstance(results[2], apsw.ConstraintError)
        assert await writer.run(lambda db: db.execute("SELECT count(*) FROM t").get) == 3


async def test_what_was_asked_together_is_one_transaction(connection: apsw.Connection) -> None:
    commits: list[int] = []
    connection.set_commit_hook(lambda: bool(commits.append(1)))
    with ThreadPoolExecutor(1) as executor:
        writer = Writer(connection, executor)
        await asyncio.gather(*(writer.run(insert(n)) for n in range(100)))
    assert len(commits) == 1


async def test_a_commit_that_fails_fails_everybody_and_keeps_nothing(connection: apsw.Connection) -> None:
    with ThreadPoolExecutor(1) as executor:
        writer = Writer(connection, executor)
        await writer.run(insert(1))
        pages = int(str(connection.pragma("page_count")))
        connection.pragma("max_page_count", pages)
        connection.execute("CREATE TEMP TABLE x (n)")

        def fill(db: apsw.Connection) -> None:
            db.execute("CREATE TABLE big AS SELECT randomblob(100000) AS b")

        results = await asyncio.gather(writer.run(insert(2)), writer.run(fill), return_exceptions=True)
        assert all(isinstance(result, OSError) for result in results)
        connection.pragma("max_page_count", 1_000_000)
        assert await writer.run(lambda db: db.execute("SELECT count(*) FROM t").get) == 1
        assert await writer.run(insert(2)) == 2


async def test_a_caller_that_leaves_undoes_nothing(connection: apsw.Connection) -> None:
    with ThreadPoolExecutor(1) as executor:
        writer = Writer(connection, executor)
        task = asyncio.create_task(writer.run(insert(7)))
        await asyncio.sleep(0)
        task.cancel()
        await writer.idle()
        assert await writer.run(lambda db: db.execute("SELECT n FROM t").get) == 7


async def test_the_log_is_kept_short(connection: apsw.Connection, tmp_path: Path) -> None:
    with ThreadPoolExecutor(1) as executor:
        writer = Writer(connection, executor)
        connection.execute("CREATE TABLE big (b)")
        for _ in range(100):
            await writer.run(lambda db: db.execute("INSERT INTO big VALUES (randomblob(400000))"))
        await writer.idle()
        assert await writer.run(lambda db: db.execute("SELECT count(*) FROM big").get) == 100
        assert (tmp_path / "x.db-wal").stat().st_size < 20_000_000
