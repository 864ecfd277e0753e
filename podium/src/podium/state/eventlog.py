"""The numbered events of an instance: appended, read by number, begun anew by epochs."""

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any, cast

import apsw

from podium.protocol.events import Event
from podium.protocol.ids import Cursor
from podium.state.port import NewEvent
from podium.state.values import from_json, from_us, to_json

if TYPE_CHECKING:
    from podium.state.operation import Tables

PAGE_BYTES = 4 * 1024 * 1024
PRUNED_AT_ONCE = 2000
_COLUMNS = "seq, epoch, event_type, message_id, attempt, ts, content"


def head(db: apsw.Connection) -> Cursor:
    """The epoch that is written now and the last number given out."""
    epoch, base = db.execute("SELECT epoch, base_seq FROM epochs ORDER BY epoch DESC LIMIT 1").fetchone() or (0, 0)
    last = cast("int | None", db.execute("SELECT max(seq) FROM events").get)
    return Cursor(epoch, base if last is None else max(base, last))


def first_seq(db: apsw.Connection) -> int:
    """The oldest number kept; one above the head where nothing is."""
    oldest = cast("int | None", db.execute("SELECT min(seq) FROM events").get)
    return head(db).seq + 1 if oldest is None else oldest


def append(tables: "Tables", events: Sequence[NewEvent], now: int) -> list[Event]:
    """Number and store events; the numbers count only if the operation does."""
    if not events:
        return []
    epoch, last = tables.head
    tables.head = Cursor(epoch, last + len(events))
    tables.db.executemany(
        f"INSERT INTO events ({_COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?)",  # noqa: S608 - a constant of this file
        (
            (seq, epoch, event.event_type, event.message_id, event.attempt, now, to_json(event.content))
            for seq, event in enumerate(events, last + 1)
        ),
    )
    ts = from_us(now)
    return [
        Event(
            epoch=epoch, seq=seq, event_type=event.event_type, message_id=event.message_id, attempt=event.attempt, ts=ts,
            content=event.content,
        )
        for seq, event in enumerate(events, last + 1)
    ]  # fmt: skip


def read(db: apsw.Connection, after: int, limit: int, message_id: str | None) -> list[Event]:
    """Events above `after`, in order, at least one if there is one, up to about PAGE_BYTES; of one message where it is named."""
    where, values = "seq > ?", [after]
    if message_id is not None:
        where, values = where + " AND message_id = ?", [after, cast(Any, message_id)]
    rows = db.execute(f"SELECT {_COLUMNS} FROM events WHERE {where} ORDER BY seq LIMIT ?", (*values, limit))  # noqa: S608
    events, size_bytes = list[Event](), 0
    for row in cast("Iterable[tuple[Any, ...]]", rows):
        events.append(_event(row))
        size_bytes += len(row[-1])
        if size_bytes > PAGE_BYTES:
            break
    return events


def reply_text(db: apsw.Connection, message_id: str, attempt: int, first: int) -> str:
    """The text an attempt has streamed."""
    rows = db.execute(
        "SELECT content FROM events WHERE seq >= ? AND message_id = ? AND attempt = ? AND event_type = 'update' ORDER BY seq",
        (first, message_id, attempt),
    )
    return join_parts(from_json(cast(str, content)) for (content,) in rows)


def join_parts(contents: Iterable[dict[str, Any]]) -> str:
    """Text deltas joined; each `part`, which is one message of the agent, begins a new line."""
    parts: dict[Any, list[str]] = {}
    for content in contents:
        parts.setdefault(content.get("part"), []).append(str(content.get("text", "")))
    return "\n".join(text for pieces in parts.values() if (text := "".join(pieces)))


def excess(tables: "Tables", keep: int) -> int:
    """How many events there are beyond `keep`."""
    return tables.head.seq - tables.oldest - keep + 1


def prune(tables: "Tables", keep: int) -> None:
    """Drop the oldest events beyond `keep`, PRUNED_AT_ONCE at most, and none of an attempt that is open."""
    running = cast("int | None", tables.db.execute("SELECT min(first_seq) FROM attempts WHERE outcome IS NULL").get)
    below = min(tables.oldest + PRUNED_AT_ONCE, tables.head.seq - keep + 1, running or tables.head.seq)
    tables.db.execute("DELETE FROM events WHERE seq < ?", (below,))
    tables.oldest = first_seq(tables.db)


def begin_epoch(db: apsw.Connection, epoch: int, reason: str, now: int) -> None:
    """Begin a new line above the last number logged; nothing happens where that epoch has begun."""
    current = head(db)
    if epoch > current.epoch:
        db.execute("INSERT INTO epochs VALUES (?, ?, ?, ?)", (epoch, current.seq, reason, now))


def epochs(db: apsw.Connection) -> list[Cursor]:
    """(epoch, base_seq) of every line, oldest first."""
    rows = db.execute("SELECT epoch, base_seq FROM epochs ORDER BY epoch")
    return [Cursor(cast(int, epoch), cast(int, base)) for epoch, base in rows]


def _event(row: tuple[Any, ...]) -> Event:
    seq, epoch, event_type, message_id, attempt, ts, content = row
    return Event(
        epoch=epoch, seq=seq, event_type=event_type, message_id=message_id, attempt=attempt, ts=from_us(ts),
        content=from_json(content),
    )  # fmt: skip
