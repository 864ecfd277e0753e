"""Looking at a `state.db` that nobody has open, without opening it for work: a host may hold thousands that sleep."""

from contextlib import closing
from pathlib import Path
from urllib.parse import quote

import apsw

from podium.state.migrations import FORMAT
from podium.state.replay import tail_of

_ASLEEP = "SELECT status = 'hibernated' AND NOT EXISTS (SELECT 1 FROM inbox WHERE state = 'queued') FROM instance"
_FLAGS = apsw.SQLITE_OPEN_READONLY | apsw.SQLITE_OPEN_URI


def is_asleep(path: Path) -> bool:
    """Whether the file says that its instance sleeps and has nothing to do. Where there is any doubt it does not. Blocks."""
    if path.with_name(f"{path.name}-wal").exists() or tail_of(path).exists():
        return False  # it was not closed, or lacks something: whoever opens it will see
    try:
        # Nobody writes, so no lock and no log are needed. Source: https://sqlite.org/uri.html, "immutable".
        with closing(apsw.Connection(f"file:{quote(str(path))}?immutable=1", flags=_FLAGS)) as db:
            return db.pragma("user_version") == FORMAT and bool(db.execute(_ASLEEP).get)
    except apsw.Error:
        return False
