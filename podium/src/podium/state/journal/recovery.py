"""What a journal holds when a coordinator starts: the changes that may be missing in the instances' own files."""

from collections import defaultdict
from pathlib import Path
from typing import NamedTuple

from podium.state.journal import segments
from podium.state.journal.segments import Record

FIRST_SEGMENTS = 1


class Recovered(NamedTuple):
    """The last number given out, the segments there are, and the records that count, by key and in order."""

    last: int
    segments: list[Path]
    records: dict[bytes, list[Record]]


def recover(folder: Path) -> Recovered:
    """Read the journal in `folder`, which is made where it is missing. Blocks; OSError, NewerFormat. Changes nothing else."""
    folder.mkdir(mode=0o700, exist_ok=True)
    for unfinished in folder.glob("*.new"):
        unfinished.unlink()
    paths = sorted(folder.glob("*.segment"))
    begun = sorted((header, path) for path in paths if (header := segments.read_header(path)))
    needed = begun[-1][0].needed if begun else 0
    records: defaultdict[bytes, list[Record]] = defaultdict(list)
    last: int | None = None
    for header, path in begun:
        if header.first < needed:
            continue
        if last not in (None, header.first):
            break  # the segment before lost its end with the power: nothing behind that counts
        last = header.first
        for record in segments.read_records(path, header):
            records[record.key].append(record)
            last = record.number
    return Recovered(last or 0, paths, dict(records))


def free_segments(folder: Path, found: list[Path], size_bytes: int) -> list[Path]:
    """`found`, whose records are needed no more, and new ones up to the number a journal begins with. Blocks; OSError."""
    for path in found:
        segments.wipe(path)
    for n in range(len(found), FIRST_SEGMENTS):
        segments.make(folder / f"{n}.segment", size_bytes)
    return sorted(folder.glob("*.segment"))
