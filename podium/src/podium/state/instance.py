"""The instance itself: its status, and what it runs as."""

from typing import Any, cast

import apsw

from podium.state import eventlog, inbox, launches
from podium.state.port import Overview, Revision
from podium.state.values import digest, from_json, from_us, to_json


def overview(db: apsw.Connection) -> Overview:
    """The instance at a glance."""
    row: Any = db.execute("SELECT instance_id, tenant_id, life, created_at, status, reason FROM instance").fetchone()
    instance_id, tenant_id, life, created_at, status, reason = row
    return Overview(
        instance_id=instance_id, tenant_id=tenant_id, life=life, created_at=from_us(created_at), status=status, reason=reason,
        head=eventlog.head(db), first_seq=eventlog.first_seq(db), turn=turn(db), queued=inbox.queued(db),
        revision=revision(db), last_exit=launches.newest_end(db), startup_ms=launches.newest_startup(db),
    )  # fmt: skip


def turn(db: apsw.Connection) -> int:
    """The newest turn's number, 0 before the first."""
    return cast(int, db.execute("SELECT coalesce(max(turn), 0) FROM turns").get)


def revision(db: apsw.Connection) -> Revision | None:
    """What the agent runs as."""
    row: Any = db.execute("SELECT deployment_id, bundle_hash, config FROM revisions ORDER BY revision DESC LIMIT 1").fetchone()
    return row and Revision(deployment_id=row[0], bundle_hash=row[1], config=from_json(row[2]))


def revise(db: apsw.Connection, new: Revision, now: int) -> None:
    """Record what the agent runs as from now on; nothing happens where it is the same."""
    if revision(db) != new:
        db.execute(
            "INSERT INTO revisions (deployment_id, bundle_hash, config, config_hash, begun_at) VALUES (?, ?, ?, ?, ?)",
            (new.deployment_id, new.bundle_hash, to_json(new.config), digest(new.config).hex(), now),
        )


def set_status(db: apsw.Connection, status: str, reason: str | None, now: int) -> None:
    """Store a status that outlives processes."""
    db.execute("UPDATE instance SET status = ?, reason = ?, status_at = ?", (status, reason, now))


def park(db: apsw.Connection, reason: str, now: int) -> bool:
    """Become `hibernated` if the inbox is empty; else return False."""
    if inbox.queued(db):
        return False
    set_status(db, "hibernated", reason, now)
    return True


def write_under(db: apsw.Connection, boot_id: str) -> None:
    """Say under which boot the file is written."""
    db.execute("UPDATE instance SET boot_id = ?", (boot_id,))
