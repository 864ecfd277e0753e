"""Making a whole tree durable before its name is: a directory that exists is complete, also after a power cut."""

import ctypes
import os
from pathlib import Path

_syncfs = ctypes.CDLL(None, use_errno=True).syncfs
_syncfs.argtypes = [ctypes.c_int]


def publish_tree(tree: Path, target: Path) -> None:
    """Sync `tree`, then give it the name `target` on the same file system. FileExistsError where something is there."""
    if target.is_symlink() or target.exists():
        raise FileExistsError(f"{target} exists")
    _sync(tree, whole_file_system=True)  # one call, however many thousand files there are
    tree.rename(target)
    _sync(target.parent)


def _sync(folder: Path, *, whole_file_system: bool = False) -> None:
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        if not whole_file_system:
            os.fsync(fd)
        elif _syncfs(fd) != 0:
            number = ctypes.get_errno()
            raise OSError(number, os.strerror(number), str(folder))
    finally:
        os.close(fd)
