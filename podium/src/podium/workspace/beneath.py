"""Opening names beneath a directory somebody hostile writes to: no link on the way is followed, nothing is left by `..`.

What is opened is first only located (O_PATH), which has no effect on devices, FIFOs or leases; fstat then says what it is.
"""

import ctypes
import errno
import os
from collections.abc import Sequence
from contextlib import suppress
from functools import cache

SYS_OPENAT2 = 437  # the same number on every architecture
RESOLVE_NO_MAGICLINKS = 0x02
RESOLVE_NO_SYMLINKS = 0x04
RESOLVE_BENEATH = 0x08
ATTEMPTS = 16

_libc = ctypes.CDLL(None, use_errno=True)
_libc.syscall.restype = ctypes.c_long


class _OpenHow(ctypes.Structure):
    _fields_ = (("flags", ctypes.c_uint64), ("mode", ctypes.c_uint64), ("resolve", ctypes.c_uint64))


def locate(root_fd: int, segments: Sequence[str]) -> int:
    """An O_PATH descriptor of what lies at `segments` below `root_fd`, a link included; OSError where a link is on the way."""
    return (_locate_at_once if has_openat2() else locate_stepwise)(root_fd, segments)


def locate_stepwise(root_fd: int, segments: Sequence[str]) -> int:
    """As `locate`, one name after the other, for kernels without openat2."""
    fd = os.open(".", os.O_PATH | os.O_DIRECTORY, dir_fd=root_fd)
    for position, segment in enumerate(segments, 1):
        above, flags = fd, os.O_PATH | os.O_NOFOLLOW | (os.O_DIRECTORY if position < len(segments) else 0)
        try:
            fd = os.open(segment, flags, dir_fd=above)
        finally:
            os.close(above)
    return fd


@cache
def has_openat2() -> bool:
    """Whether the kernel has openat2 and lets us use it: old container filters refuse it with EPERM."""
    fd = os.open("/", os.O_PATH | os.O_DIRECTORY)
    try:
        os.close(_openat2(fd, b"."))
    except OSError as error:
        if error.errno in (errno.ENOSYS, errno.EPERM):
            return False
        raise
    finally:
        os.close(fd)
    return True


def _locate_at_once(root_fd: int, segments: Sequence[str]) -> int:
    path = os.fsencode("/".join(segments) or ".")
    for _ in range(ATTEMPTS):
        with suppress(BlockingIOError):  # somebody renames on the way: the kernel cannot tell whether we are still beneath
            return _openat2(root_fd, path)
    return locate_stepwise(root_fd, segments)


def _openat2(dir_fd: int, path: bytes) -> int:
    how = _OpenHow(
        flags=os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC,
        mode=0,
        resolve=RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS,
    )
    fd: int = _libc.syscall(
        ctypes.c_long(SYS_OPENAT2), dir_fd, ctypes.c_char_p(path), ctypes.byref(how), ctypes.c_size_t(ctypes.sizeof(how))
    )
    if fd < 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number), os.fsdecode(path))
    return fd
