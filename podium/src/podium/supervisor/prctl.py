"""The few prctl(2) calls that tie processes to each other; the standard library has none of them.

All of them act on the calling process. OSError where the kernel refuses.
"""

import ctypes
import os
import signal

_PR_SET_PDEATHSIG = 1
_PR_SET_CHILD_SUBREAPER = 36
_PR_SET_NO_NEW_PRIVS = 38

# Looked up at import: a child between fork and exec should not load a library.
_prctl = ctypes.CDLL(None, use_errno=True).prctl
_prctl.argtypes = [ctypes.c_int] + [ctypes.c_ulong] * 4


def _call(option: int, argument: int) -> None:
    if _prctl(option, argument, 0, 0, 0) != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))


def die_with_parent(parent_pid: int, signal_number: int) -> None:
    """Ask for `signal_number` when the thread that forked this process ends; SIGKILL oneself if it already has.

    A change of uid or gid clears the wish, so it comes after those. An exec keeps it.
    """
    _call(_PR_SET_PDEATHSIG, signal_number)
    if os.getppid() != parent_pid:
        os.kill(os.getpid(), signal.SIGKILL)


def adopt_orphans() -> None:
    """Descendants whose parent ended become children of this process, which then reaps them."""
    _call(_PR_SET_CHILD_SUBREAPER, 1)


def renounce_privileges() -> None:
    """No exec of this process or its descendants ever gains privileges again: setuid bits and file capabilities are void."""
    _call(_PR_SET_NO_NEW_PRIVS, 1)
