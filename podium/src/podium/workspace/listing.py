"""Reading directories somebody hostile writes to: bounded in entries and depth, through descriptors, never through a link."""

import os
import stat
from collections.abc import Generator
from contextlib import suppress
from itertools import islice

from podium.workspace.port import Entry

MAX_ENTRIES = 10_000
MAX_DEPTH = 32


def entries_below(dir_fd: int, prefix: str, depth: int, limit: int) -> Generator[Entry, None, None]:
    """Entries down to `depth` levels below the directory open for reading at `dir_fd`, sorted by name, parents first.

    Ends soon after `limit` entries: a directory is read no further than that. `prefix` is empty or ends in `/`.
    """
    for name, entry in _children(dir_fd, prefix, limit):
        yield entry
        if entry.kind == "directory" and depth > 1:
            yield from _below_child(dir_fd, name, entry.path + "/", depth - 1, limit)


def kind_of(mode: int) -> str:
    """The kind of entry a file mode says: file, directory, symlink or other."""
    if stat.S_ISREG(mode):
        return "file"
    if stat.S_ISDIR(mode):
        return "directory"
    return "symlink" if stat.S_ISLNK(mode) else "other"


def _below_child(dir_fd: int, name: str, prefix: str, depth: int, limit: int) -> Generator[Entry, None, None]:
    try:
        child_fd = os.open(name, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_NONBLOCK, dir_fd=dir_fd)
    except OSError:  # gone, swapped for something else, or closed to us: it stays listed without what is in it
        return
    try:
        yield from entries_below(child_fd, prefix, depth, limit)
    finally:
        os.close(child_fd)


def _children(dir_fd: int, prefix: str, limit: int) -> list[tuple[str, Entry]]:
    found = []
    with os.scandir(dir_fd) as names:
        for name in islice(names, limit + 1):
            with suppress(FileNotFoundError):
                found.append((name.name, _entry(prefix + name.name, name.stat(follow_symlinks=False))))
    return sorted(found, key=lambda child: os.fsencode(child[0]))


def _entry(path: str, status: os.stat_result) -> Entry:
    kind = kind_of(status.st_mode)
    return Entry(path, kind, status.st_size if kind == "file" else 0, status.st_mtime_ns)
