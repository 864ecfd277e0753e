"""Removing a tree somebody hostile has built: any depth, any modes, any number of entries, and never outside of it.

Subdirectories are first moved to the top of the tree. So the work needs two descriptors at any depth, no path grows, and `..` is
never used. Broken off, it is simply run again.
"""

import errno
import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import islice
from pathlib import Path

BATCH = 1000
PASSES_WITHOUT_PROGRESS = 3
SWAPPED = (errno.ENOENT, errno.ENOTDIR, errno.ELOOP)
"""What a directory answers that became something else meanwhile; the next pass sees what."""


def remove_tree(root: Path) -> None:
    """Remove the directory `root` and all below it, durably; nothing happens where there is none.

    OSError (ENOTEMPTY) where somebody keeps writing to it: end their processes first.
    """
    if not root.exists():
        return
    with _unlocked(root, None) as root_fd:
        _empty(root_fd, root)
    root.rmdir()
    _sync(root.parent)


def _empty(root_fd: int, root: Path) -> None:
    futile = 0
    while names := _some_names(root_fd):
        removed = [_remove(name, root_fd) for name in names]
        futile = 0 if any(removed) else futile + 1
        if futile == PASSES_WITHOUT_PROGRESS:
            raise OSError(errno.ENOTEMPTY, "somebody still writes to this tree", str(root))


def _remove(name: str, root_fd: int) -> bool:
    """Remove an entry of the top directory, or some of what is in it; False where nothing could be removed."""
    if _unlink(name, root_fd):
        return True
    try:
        lifted = _lift_children(name, root_fd)
        os.rmdir(name, dir_fd=root_fd)
    except OSError as error:
        if error.errno == errno.ENOTEMPTY:
            return lifted
        if error.errno in SWAPPED:
            return False
        raise
    return True


def _lift_children(name: str, root_fd: int) -> bool:
    """Unlink some children of a directory, moving those that are directories to the top; False where it has none."""
    with _unlocked(name, root_fd) as dir_fd:
        children = _some_names(dir_fd)
        for child in children:
            if not _unlink(child, dir_fd):
                _lift(child, dir_fd, root_fd)
    return bool(children)


def _lift(name: str, dir_fd: int, root_fd: int) -> None:
    try:
        with _unlocked(name, dir_fd):  # a directory that moves has to be writable for who moves it
            os.rename(name, secrets.token_hex(16), src_dir_fd=dir_fd, dst_dir_fd=root_fd)
    except OSError as error:
        if error.errno not in SWAPPED:
            raise


def _unlink(name: str, dir_fd: int) -> bool:
    """Remove what is not a directory; False where it is one."""
    try:
        os.unlink(name, dir_fd=dir_fd)
    except IsADirectoryError:
        return False
    except FileNotFoundError:
        pass
    return True


def _some_names(dir_fd: int) -> list[str]:
    with os.scandir(dir_fd) as entries:
        return [entry.name for entry in islice(entries, BATCH)]


@contextmanager
def _unlocked(name: str | Path, dir_fd: int | None) -> Iterator[int]:
    """A directory open for reading, after giving its owner all rights; a link is refused."""
    located = os.open(name, os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW, dir_fd=dir_fd)
    try:
        if os.fstat(located).st_mode & 0o700 != 0o700:
            Path(f"/proc/self/fd/{located}").chmod(0o700)
        readable = os.open(".", os.O_RDONLY | os.O_DIRECTORY, dir_fd=located)
    finally:
        os.close(located)
    try:
        yield readable
    finally:
        os.close(readable)


def _sync(folder: Path) -> None:
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
