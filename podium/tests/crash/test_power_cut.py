"""The power goes at any moment: what was promised to be durable is there afterwards."""

from podium.agent.database import open_database
from tests.support.small_disk import needs_root, small_disk


@needs_root
def test_sql_that_was_committed_before_complete_is_there_after_a_power_cut() -> None:
    with small_disk() as disk:
        path = disk.path / ".podium" / "agent.db"
        for n in range(3):
            sql = open_database(path)
            sql.execute("CREATE TABLE IF NOT EXISTS t (n)")
            sql.execute("INSERT INTO t VALUES (?)", (n,))
            sql.finish()
            sql.close()
            disk.cut_power()
            disk.power_on()
            sql = open_database(path)
            assert [row[0] for row in sql.execute("SELECT n FROM t")] == list(range(n + 1))
            sql.close()
