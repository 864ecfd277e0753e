"""Launches: each start of the agent's process, how far its frames were taken, and how it ended."""

from typing import Any, cast

import apsw
import msgspec

from podium.state.port import Ended, Hook, Launch, Revision
from podium.state.values import from_json, from_us, to_json, to_us

_END = "ended_at, reason, exit_code, exit_signal, last_log, oom"


def begin(db: apsw.Connection, launch_id: str, uid: int | None, now: int) -> None:
    """Record a start before it happens; its first hook is `init`."""
    hook = Hook(kind="init", serial=0, message_id=f"init.{launch_id}.0")
    row = (launch_id, uid, now, to_json(hook))
    db.execute("INSERT INTO launches (launch_id, uid, started_at, hook) VALUES (?, ?, ?, ?)", row)


def running(db: apsw.Connection, launch_id: str, pid: int, start_time: int) -> None:
    """Record the process of a launch."""
    db.execute("UPDATE launches SET pid = ?, start_time = ? WHERE launch_id = ?", (pid, start_time, launch_id))


def ready(db: apsw.Connection, launch_id: str, n: int, startup_ms: dict[str, float]) -> None:
    """Record how long each phase of a start took."""
    db.execute("UPDATE launches SET startup_ms = ? WHERE launch_id = ?", (to_json(startup_ms), launch_id))
    acknowledge(db, launch_id, n)


def acknowledge(db: apsw.Connection, launch_id: str, n: int) -> None:
    """Store that the effect of all frames up to `n` is in this transaction or an earlier one."""
    db.execute("UPDATE launches SET last_n = max(last_n, ?) WHERE launch_id = ?", (n, launch_id))


def begin_hook(db: apsw.Connection, launch_id: str, hook: Hook) -> None:
    """Record what a launch is at."""
    db.execute("UPDATE launches SET hook = ? WHERE launch_id = ?", (to_json(hook), launch_id))


def end_hook(db: apsw.Connection, launch_id: str) -> None:
    """The hook has returned: after a shutdown the process is about to end, after another it is at nothing but messages."""
    text: Any = db.execute("SELECT hook FROM launches WHERE launch_id = ?", (launch_id,)).get
    hook = _hook(text)
    if hook is not None:
        begin_hook(db, launch_id, msgspec.structs.replace(hook, returned=True))


def killing(db: apsw.Connection, launch_id: str, reason: str) -> None:
    """Record why the platform ends a process; the first reason counts."""
    db.execute("UPDATE launches SET killed = coalesce(killed, ?) WHERE launch_id = ?", (reason, launch_id))


def started_at(db: apsw.Connection, launch_id: str) -> int:
    """When a launch began."""
    return cast(int, db.execute("SELECT started_at FROM launches WHERE launch_id = ?", (launch_id,)).get)


def end(db: apsw.Connection, launch_id: str, ended: Ended) -> None:
    """Record how a launch ended; the first word counts."""
    db.execute(
        "UPDATE launches SET ended_at = ?, exit_code = ?, exit_signal = ?, reason = ?, last_log = ?, oom = ?"
        " WHERE launch_id = ? AND ended_at IS NULL",
        (to_us(ended.at), ended.code, ended.signal, ended.reason, to_json(ended.log), ended.oom, launch_id),
    )


def still_open(db: apsw.Connection) -> list[Launch]:
    """Launches without an end or with an open attempt, oldest first."""
    rows = db.execute(
        f"SELECT launch_id, pid, start_time, uid, last_n, hook, killed, started_at, {_END} FROM launches"  # noqa: S608 - constant
        " WHERE ended_at IS NULL OR launch_id IN (SELECT launch_id FROM attempts WHERE outcome IS NULL) ORDER BY started_at"
    )
    return [_launch(db, row) for row in rows.fetchall()]


def _launch(db: apsw.Connection, row: Any) -> Launch:
    launch_id, pid, start_time, uid, last_n, text, killed, started_at, *end = row
    hook = _hook(text)
    has_deltas, first_seq = _output(db, hook.message_id) if hook else (False, None)
    return Launch(
        launch_id=launch_id, pid=pid, start_time=start_time, uid=uid, last_n=last_n, hook=hook, has_deltas=has_deltas,
        first_seq=first_seq, revision=_revision(db, started_at), killed=killed, ended=_ended(end),
    )  # fmt: skip


def _output(db: apsw.Connection, message_id: str) -> tuple[bool, int | None]:
    """Whether a hook that has not returned has changed the state, and the first event it has logged."""
    changed = db.execute("SELECT EXISTS (SELECT 1 FROM pending_deltas WHERE message_id = ?)", (message_id,)).get
    first = db.execute(
        "SELECT min(seq) FROM events WHERE seq > (SELECT coalesce(max(last_seq), 0) FROM turns) AND message_id = ?", (message_id,)
    ).get
    return bool(changed), cast("int | None", first)


def _revision(db: apsw.Connection, at: int) -> Revision | None:
    row: Any = db.execute(
        "SELECT deployment_id, bundle_hash, config FROM revisions WHERE begun_at <= ? ORDER BY revision DESC LIMIT 1", (at,)
    ).fetchone()
    return Revision(deployment_id=row[0], bundle_hash=row[1], config=from_json(row[2])) if row else None


def _hook(text: str | None) -> Hook | None:
    return msgspec.json.decode(text, type=Hook) if text else None


def left_for(db: apsw.Connection) -> str | None:
    """Why the newest process was asked to shut down, where it has ended after that."""
    row = db.execute("SELECT hook, ended_at FROM launches ORDER BY started_at DESC LIMIT 1").fetchone()
    text, ended_at = cast("tuple[str | None, int | None]", row or (None, None))
    hook = _hook(text)
    return hook.reason if hook and hook.kind == "shutdown" and ended_at is not None else None


def newest_end(db: apsw.Connection) -> Ended | None:
    """How the last process that ended did so."""
    row = db.execute(
        f"SELECT {_END} FROM launches WHERE ended_at IS NOT NULL ORDER BY ended_at DESC LIMIT 1"  # noqa: S608 - constant
    ).fetchone()
    return _ended(row) if row else None


def _ended(row: Any) -> Ended | None:
    at, reason, code, number, log, oom = row
    if at is None:
        return None
    return Ended(at=from_us(at), reason=reason, code=code, signal=number, log=from_json(log), oom=bool(oom))


def newest_startup(db: apsw.Connection) -> dict[str, float]:
    """How long each phase of the newest start took, in milliseconds."""
    for (text,) in _untyped(db.execute("SELECT startup_ms FROM launches ORDER BY started_at DESC LIMIT 1")):
        return dict(from_json(text))
    return {}


def _untyped(rows: Any) -> Any:
    return rows
