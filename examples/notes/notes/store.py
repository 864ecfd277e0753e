"""The notes as rows. The connection comes from `ctx.sql`: all of a turn's changes are one transaction."""

import sqlite3
from collections.abc import Iterable
from typing import NamedTuple

TABLE = """
CREATE TABLE IF NOT EXISTS notes (
  number INTEGER PRIMARY KEY AUTOINCREMENT,
  text TEXT NOT NULL,
  done INTEGER NOT NULL DEFAULT 0
)
"""


class Note(NamedTuple):
    """One note; `number` is what people call it by."""

    number: int
    text: str
    done: bool


def add(sql: sqlite3.Connection, text: str) -> int:
    """Store a note and return its number."""
    number = _with_table(sql).execute("INSERT INTO notes(text) VALUES (?)", (text,)).lastrowid
    assert number is not None
    return number


def all_notes(sql: sqlite3.Connection) -> list[Note]:
    """Every note, oldest first."""
    return _notes(_with_table(sql).execute("SELECT number, text, done FROM notes ORDER BY number"))


def containing(sql: sqlite3.Connection, word: str) -> list[Note]:
    """The notes whose text contains `word`, whatever its case."""
    query = "SELECT number, text, done FROM notes WHERE instr(lower(text), lower(?)) ORDER BY number"
    return _notes(_with_table(sql).execute(query, (word,)))


def finish(sql: sqlite3.Connection, number: int) -> bool:
    """Mark an open note as done; whether there was one."""
    query = "UPDATE notes SET done = 1 WHERE number = ? AND NOT done"
    return number < 2**63 and _with_table(sql).execute(query, (number,)).rowcount == 1


def as_text(notes: Iterable[Note]) -> str:
    """One line for each note."""
    return "\n".join(f"{note.number}. {note.text}{' (done)' if note.done else ''}" for note in notes)


def as_markdown(notes: Iterable[Note]) -> str:
    """A task list."""
    return "".join(f"- [{'x' if note.done else ' '}] {note.text}\n" for note in notes)


def _with_table(sql: sqlite3.Connection) -> sqlite3.Connection:
    sql.execute(TABLE)
    return sql


def _notes(rows: Iterable[tuple[int, str, int]]) -> list[Note]:
    return [Note(number, text, bool(done)) for number, text, done in rows]
