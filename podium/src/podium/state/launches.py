"""Launches: each start of the agent's process, how far its frames were taken, and how it ended."""

from typing import Any

import apsw

from podium.state.port import Ended, Launch
from podium.state.values import from_json, from_us, to_json, to_us


def begin(db: apsw.Connection, launch_id: str, uid: int | None, now: int) -> None:
    """Record a start before it happens."""
    db.execute("INSERT INTO launches (launch_id, uid, started_at) VALUES (?, ?, ?)", (launch_id, uid, now))


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


def end(db: apsw.Connection, launch_id: str, ended: Ended) -> None:
    """Record how a launch ended; the first word counts."""
    db.execute(
        "UPDATE launches SET ended_at = ?, exit_code = ?, exit_signal = ?, reason = ?, last_log = ?"
        " WHERE launch_id = ? AND ended_at IS NULL",
        (to_us(ended.at), ended.code, ended.signal, ended.reason, to_json(ended.log), launch_id),
    )


def still_open(db: apsw.Connection) -> list[Launch]:
    """Launches without an end."""
    rows = db.execute("SELECT launch_id, pid, start_time, uid FROM launches WHERE ended_at IS NULL")
    return [Launch(launch_id=name, pid=pid, start_time=start, uid=uid) for name, pid, start, uid in _untyped(rows)]


def newest_end(db: apsw.Connection) -> Ended | None:
    """How the last process that ended did so."""
    rows = db.execute(
        "SELECT ended_at, reason, exit_code, exit_signal, last_log FROM launches WHERE ended_at IS NOT NULL"
        " ORDER BY ended_at DESC LIMIT 1"
    )
    for at, reason, code, number, log in _untyped(rows):
        return Ended(at=from_us(at), reason=reason, code=code, signal=number, log=from_json(log))
    return None


def newest_startup(db: apsw.Connection) -> dict[str, float]:
    """How long each phase of the newest start took, in milliseconds."""
    for (text,) in _untyped(db.execute("SELECT startup_ms FROM launches ORDER BY started_at DESC LIMIT 1")):
        return dict(from_json(text))
    return {}


def _untyped(rows: Any) -> Any:
    return rows
