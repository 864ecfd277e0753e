"""`ctx.sql`: an SQLite file of the agent's own, all of whose changes in one attempt are one transaction.

This module loads sqlite3 and is itself loaded on the first use of `ctx.sql`.
"""

import re
import sqlite3
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Literal, Self

BUSY_TIMEOUT_S = 10.0
_SKIP = r"(?:\s|--[^\n]*(?:\n|\Z)|/\*(?:[^*]|\*(?!/))*\*/)"  # its branches differ in their first character: no backtracking
_TO = rf"{_SKIP}*(?:\w+\b{_SKIP}*){{0,2}}?\bto\b"
_CONTROL = re.compile(rf"(?:;|{_SKIP})*(begin|commit|end|rollback\b(?!{_TO}))\b", re.IGNORECASE)


class TurnCursor(sqlite3.Cursor):
    """A cursor that keeps the turn's transaction open whatever it executes."""

    def execute(self, sql: str, parameters: Any = (), /) -> Self:
        """Run one statement; BEGIN, COMMIT and ROLLBACK do what the connection's methods do."""
        control = _CONTROL.match(sql)
        if control is None:
            self._check()
            return super().execute(sql, parameters)
        if control[1].lower() in ("commit", "end"):
            self.connection.commit()
        elif control[1].lower() != "begin":
            self.connection.rollback()
        return self

    def executemany(self, sql: str, parameters: Any, /) -> Self:
        """Run one statement for each set of parameters."""
        self._check()
        return super().executemany(sql, parameters)

    def executescript(self, sql_script: str, /) -> Self:
        """Run all statements, without the COMMIT that sqlite3 would put before them."""
        for statement in statements(sql_script):
            self.execute(statement)
        return self

    def _check(self) -> None:
        assert isinstance(self.connection, TurnConnection)
        self.connection.check()


class TurnConnection(sqlite3.Connection):
    """A connection that is in one transaction from the beginning, which the SDK commits when the hook returns.

    Within it `commit` sets a mark, `rollback` returns to the last one, and `with ctx.sql:` does one of both; nothing is durable
    before the hook has returned, so that a failed attempt leaves no row.
    """

    def begin(self) -> None:
        """Begin the transaction and set the first mark."""
        self._control("BEGIN IMMEDIATE")
        self._control("SAVEPOINT podium")

    def check(self) -> None:
        """sqlite3.OperationalError where the transaction is gone: what is written now would survive a failure of the turn."""
        if not self.in_transaction:
            raise sqlite3.OperationalError("ctx.sql's transaction has ended early, as after a full disk; the turn cannot go on")

    def finish(self) -> None:
        """Commit the transaction; sqlite3.Error where that fails, and then it is as if it never was."""
        self.check()
        super().commit()

    def commit(self) -> None:
        """Keep the changes so far even if `rollback` follows; they become durable with the turn."""
        self._control("RELEASE podium")
        self._control("SAVEPOINT podium")

    def rollback(self) -> None:
        """Undo the changes since the last `commit`."""
        self._control("ROLLBACK TO podium")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: object, error: object, traceback: object) -> Literal[False]:
        if error is None:
            self.commit()
        else:
            self.rollback()
        return False

    def cursor(self, factory: Any = TurnCursor) -> Any:
        """A cursor."""
        return super().cursor(factory)

    def execute(self, sql: str, parameters: Any = (), /) -> TurnCursor:
        """As on a cursor."""
        return TurnCursor(self).execute(sql, parameters)

    def executemany(self, sql: str, parameters: Any, /) -> TurnCursor:
        """As on a cursor."""
        return TurnCursor(self).executemany(sql, parameters)

    def executescript(self, sql_script: str, /) -> TurnCursor:
        """As on a cursor."""
        return TurnCursor(self).executescript(sql_script)

    def _control(self, sql: str) -> None:
        super().cursor().execute(sql)


def open_database(path: Path) -> TurnConnection:
    """Open or create the file, in a transaction."""
    path.parent.mkdir(mode=0o700, exist_ok=True)
    connection = sqlite3.connect(path, timeout=BUSY_TIMEOUT_S, isolation_level=None, factory=TurnConnection)
    try:
        # FULL does not sync the directory from which the rollback journal was removed: after a power cut it would come back
        # and take back what was committed, which the turn has told by then.
        sqlite3.Connection.execute(connection, "PRAGMA synchronous = EXTRA")
        connection.begin()
    except BaseException:
        connection.close()
        raise
    return connection


def statements(script: str) -> Iterable[str]:
    """Cut a script at the semicolons that end statements, not those in strings, comments or triggers."""
    start = 0
    for end in (at + 1 for at, char in enumerate(script) if char == ";"):
        if sqlite3.complete_statement(script[start:end]):
            yield script[start:end]
            start = end
    if script[start:].strip():
        yield script[start:]
