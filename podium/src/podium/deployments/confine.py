"""Runs one command under a uid of its own, with limits, and leaves nothing of it: `python -I -m podium.deployments.confine SPEC`.

A process of its own because it forks, which a process with threads should not. It ends with the command's status, 124 where the
command was ended for its time or its size, 70 where something of the uid could not be ended. When its parent dies, it ends the
command as well. The uid belongs to one data directory alone, whose builder runs one command at a time.
"""

import os
import resource
import signal
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import NoReturn

import msgspec

from podium.launcher.exec import reset_signals
from podium.launcher.sweep import end_uid
from podium.supervisor import prctl

ENDED = 124
NOT_ENDED = 70
_CANNOT_RUN = 127
_POLL_S = 1.0
_SWEEP_S = 10.0
_MAX_THREADS = 512


class Confinement(msgspec.Struct, kw_only=True):
    """What to run and within which bounds. An empty `argv` only ends what is left of `uid`; `tree` may grow to `tree_bytes`."""

    argv: list[str]
    parent_pid: int
    uid: int | None
    cwd: str
    tree: str
    timeout_s: float
    memory_bytes: int
    file_bytes: int
    tree_bytes: int


def main(arguments: list[str]) -> int:
    """Run the spec that is the only argument."""
    spec = msgspec.json.decode(arguments[0], type=Confinement)
    signal.signal(signal.SIGTERM, _leave)
    prctl.die_with_parent(spec.parent_pid, signal.SIGTERM)
    if not _swept(spec.uid):
        return NOT_ENDED
    code = NOT_ENDED
    try:
        code = _run(spec) if spec.argv else 0
    finally:
        swept = _swept(spec.uid)
    return code if swept else NOT_ENDED


def tree_size_bytes(root: str) -> int:
    """What a tree occupies on the disk; what cannot be looked at counts nothing. A file with several names is counted once."""
    size = 0
    pending = [root]
    while pending:
        with suppress(OSError), os.scandir(pending.pop()) as entries:
            for entry in entries:
                status = entry.stat(follow_symlinks=False)
                is_directory = entry.is_dir(follow_symlinks=False)
                size += status.st_blocks * 512 // (1 if is_directory else status.st_nlink or 1)
                if is_directory:
                    pending.append(entry.path)
    return size


def _run(spec: Confinement) -> int:
    signal.pthread_sigmask(signal.SIG_BLOCK, (signal.SIGCHLD,))
    own_pid = os.getpid()
    pid = os.fork()
    if pid == 0:
        _become(spec, own_pid)
    try:
        return _watch(spec, pid)
    finally:
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(pid, signal.SIGKILL)


def _watch(spec: Confinement, pid: int) -> int:
    """Wait for the command; its status, or ENDED where it broke a bound."""
    deadline = time.monotonic() + spec.timeout_s
    while True:
        done, status = os.waitpid(pid, os.WNOHANG)
        if tree_size_bytes(spec.tree) > spec.tree_bytes:
            return _end(f"ended: it wrote more than {spec.tree_bytes} bytes")
        if done:
            code = os.waitstatus_to_exitcode(status)
            return _CANNOT_RUN if code == NOT_ENDED else code if code >= 0 else 128 - code
        if time.monotonic() > deadline:
            return _end(f"ended: it took longer than {spec.timeout_s:g} s")
        signal.sigtimedwait((signal.SIGCHLD,), min(_POLL_S, max(0.0, deadline - time.monotonic())))


def _end(reason: str) -> int:
    print(reason, file=sys.stderr, flush=True)
    return ENDED


def _become(spec: Confinement, parent_pid: int) -> NoReturn:
    try:
        reset_signals()
        os.setsid()
        _limit(spec)
        if spec.uid is not None:
            os.setgroups([])
            os.setresgid(spec.uid, spec.uid, spec.uid)
            os.setresuid(spec.uid, spec.uid, spec.uid)
        prctl.renounce_privileges()
        prctl.die_with_parent(parent_pid, signal.SIGKILL)
        os.umask(0o022)
        os.chdir(spec.cwd)
        os.execve(spec.argv[0], spec.argv, os.environ)  # noqa: S606 - no shell is the point
    except BaseException as error:  # noqa: BLE001 - a child just forked must not return into its parent's code
        os.write(2, f"cannot run {spec.argv[0]}: {error}\n".encode(errors="replace"))
    finally:
        os._exit(_CANNOT_RUN)


def _limit(spec: Confinement) -> None:
    _lower(resource.RLIMIT_CORE, 0)
    _lower(resource.RLIMIT_DATA, spec.memory_bytes)
    _lower(resource.RLIMIT_FSIZE, spec.file_bytes)
    if spec.uid is not None:
        _lower(resource.RLIMIT_NPROC, _MAX_THREADS)
    with suppress(OSError):  # where the kernel refuses, the installer is merely as likely to be ended as we are
        Path("/proc/self/oom_score_adj").write_text("500")


def _lower(limit: int, value: int) -> None:
    _, hard = resource.getrlimit(limit)
    value = value if hard == resource.RLIM_INFINITY else min(value, hard)
    resource.setrlimit(limit, (value, value))


def _swept(uid: int | None) -> bool:
    return uid is None or end_uid(uid, _SWEEP_S)


def _leave(_signal: int, _frame: object) -> NoReturn:
    # Once only: what ends the command must not be interrupted itself.
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    sys.exit(128 + signal.SIGTERM)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
