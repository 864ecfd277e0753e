"""Object files of a directory in the order of their keys. In memory are only the folders on the way to the next key."""

import os
from collections.abc import Iterator
from pathlib import Path

SUFFIX = ",obj"


def keys_below(objects: Path, prefix: str, after: str) -> Iterator[str]:
    """Keys below the folder `prefix` (ends in `/`) that sort after `after`; folders that hold no such key are not read."""
    pending = [prefix]
    while pending:
        key = pending.pop()
        if not key.endswith("/"):
            if key > after:
                yield key
        elif key > after or after.startswith(key):
            pending.extend(reversed(_children(objects, key)))


def _children(objects: Path, folder: str) -> list[str]:
    """Objects and folders directly in `folder`. Folders end in `/`: so their order is that of the keys below them."""
    try:
        with os.scandir(objects / folder) as entries:
            return sorted(folder + name for entry in entries if (name := _child_name(entry)))
    except FileNotFoundError:
        return []


def _child_name(entry: os.DirEntry[str]) -> str | None:
    if entry.name.endswith(SUFFIX):
        return entry.name.removesuffix(SUFFIX)
    return entry.name + "/" if entry.is_dir(follow_symlinks=False) else None
