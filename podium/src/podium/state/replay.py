"""After a coordinator has ended: every file is brought up to what the journal holds for it, before anything new is written.

A file that cannot be opened or written now gets what it lacks laid beside it, as `journal.tail`, and takes that when it is
opened: one bad file must not keep the host from starting, nor lose what was promised.
"""

from collections.abc import Callable, Sequence
from contextlib import closing
from pathlib import Path

import apsw

from podium import log
from podium.protocol.errors import PodiumError
from podium.state.journal import segments
from podium.state.journal.recovery import free_segments, recover
from podium.state.journal.segments import Header, Record
from podium.state.machine import replay
from podium.state.migrations import open_database

_TAIL = Header(0, 0)
_logger = log.get("journal")


def prepare_journal(folder: Path, path_of: Callable[[str], Path], segment_bytes: int) -> tuple[int, list[Path]]:
    """Replay the journal in `folder`: the last number it gave out, and its segments, all free. Blocks; OSError, NewerFormat."""
    recovered = recover(folder)
    for key, records in recovered.records.items():
        instance_id, _, life = key.decode().rpartition(".")
        _replay(path_of(instance_id), int(life), records)
    return recovered.last, free_segments(folder, recovered.segments, segment_bytes)


def finish_replay(connection: apsw.Connection, path: Path) -> None:
    """Apply what an earlier start could not. Blocks; OSError."""
    tail = tail_of(path)
    if tail.exists():
        replay(connection, ((record.number, record.body) for record in segments.read_records(tail, _TAIL)))
        tail.unlink()
        segments.sync_directory(tail.parent)


def _replay(path: Path, life: int, records: Sequence[Record]) -> None:
    if not path.exists():
        return  # deleted since
    try:
        with closing(open_database(path)) as connection:
            if connection.execute("SELECT life FROM instance").get == life:
                finish_replay(connection, path)
                count = replay(connection, ((record.number, record.body) for record in records))
                _logger.debug("replayed", path=str(path), changes=count)
    except (OSError, PodiumError, apsw.Error) as error:
        _logger.error("the journal cannot be applied now; it is kept beside the file", path=str(path), error=str(error))
        _keep(tail_of(path), records)


def _keep(tail: Path, records: Sequence[Record]) -> None:
    """Add records to a file of the journal's own form, durably."""
    known = list(segments.read_records(tail, _TAIL)) if tail.exists() else []
    last = known[-1].number if known else 0
    kept = [*known, *(record for record in records if record.number > last)]
    unfinished = tail.with_suffix(".new")
    with unfinished.open("wb") as file:
        file.write(segments.encode_header(_TAIL))
        file.write(segments.seal([segments.encode(record) for record in kept], _TAIL.salt))
    segments.sync_file(unfinished)
    unfinished.rename(tail)
    segments.sync_directory(tail.parent)


def tail_of(path: Path) -> Path:
    """Where what a file lacks is kept."""
    return path.with_name("journal.tail")
