"""Fork, become what the spec says, exec. Meant for a single-threaded process.

Whether it came to the exec is told over a pipe that the exec closes: end of file means the program runs, text says what failed.
"""

import os
import resource
import signal
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import NoReturn

from podium.launcher.port import LaunchError, LaunchSpec
from podium.launcher.sweep import check_uid, end_uid
from podium.supervisor import prctl

_OOM_SCORE_ADJ = 500
"""Agents go before the platform when memory runs out."""
_CLEARANCE_S = 5.0
_MAX_REASON_BYTES = 2048
_STDERR = 2

_Step = tuple[str, Callable[[], object]]


def check(spec: LaunchSpec) -> None:
    """LaunchError where the spec can not be carried out by anybody."""
    if not spec.launch_id:
        raise LaunchError("the launch has no launch_id")
    if not spec.argv or not Path(spec.argv[0]).is_absolute():
        raise LaunchError(f"the program must be an absolute path, not {next(iter(spec.argv), '')!r}")
    if spec.uid is not None:
        try:
            check_uid(spec.uid)
        except ValueError as error:
            raise LaunchError(str(error)) from None


def fork_exec(spec: LaunchSpec) -> tuple[int, int]:
    """Start the process. Returns its pid and the end of the pipe that tells how it went; LaunchError where fork fails."""
    check(spec)
    launcher_pid = os.getpid()
    try:
        told, telling = os.pipe()
    except OSError as error:
        raise LaunchError(f"cannot open a pipe: {error.strerror}") from error
    # Until the child has its own signal handlers, a signal to it would be taken for one to the launcher.
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
    try:
        pid = os.fork()
        if pid == 0:
            _become(spec, telling, launcher_pid)
    except OSError as error:
        os.close(told)
        raise LaunchError(f"cannot fork: {error.strerror}") from error
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)
        os.close(telling)
    return pid, told


def read_outcome(told: int) -> str | None:
    """Wait for the pipe's word: None when the program runs, else why it does not."""
    return os.read(told, _MAX_REASON_BYTES).decode(errors="replace") or None


def close_descriptors(*kept: int) -> None:
    """Close all but the standard ones and `kept`. A child that held the launcher's sockets would keep them open after it."""
    for descriptor in [int(entry.name) for entry in Path("/proc/self/fd").iterdir()]:
        # One of them was the listing itself.
        with suppress(OSError):
            if descriptor > _STDERR and descriptor not in kept:
                os.close(descriptor)


def reset_signals() -> None:
    """Give every signal its default effect and let all of them through, in a child just forked."""
    signal.set_wakeup_fd(-1)
    for number in signal.valid_signals():
        # Some can be neither caught nor ignored.
        with suppress(OSError, ValueError):
            signal.signal(number, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_SETMASK, ())


def _become(spec: LaunchSpec, telling: int, launcher_pid: int) -> NoReturn:
    what = "begin"
    try:
        close_descriptors(telling)
        for what, act in _steps(spec, launcher_pid):  # noqa: B007 - the except clause reads it
            act()
    except BaseException as error:  # noqa: BLE001 - whatever it is, the launcher has to hear of it
        reason = f"cannot {what}: {getattr(error, 'strerror', None) or error}"
        os.write(telling, reason.encode(errors="replace")[:_MAX_REASON_BYTES])
    finally:
        os._exit(127)


def _steps(spec: LaunchSpec, launcher_pid: int) -> Iterator[_Step]:
    yield "reset its signals", reset_signals
    yield "begin a session", os.setsid
    yield f"open {spec.output}", lambda: _redirect(spec.output)
    yield "set its limits", lambda: _limit(spec)
    if spec.uid is not None:
        uid = spec.uid
        yield f"use uid {uid}", lambda: _clear(uid)
        yield f"take on uid {uid}", lambda: _take_on(uid)
    yield "give up privileges", prctl.renounce_privileges
    yield "tie itself to the launcher", lambda: prctl.die_with_parent(launcher_pid, signal.SIGKILL)
    yield f"enter {spec.cwd}", lambda: os.chdir(spec.cwd)
    yield f"run {spec.argv[0]}", lambda: _exec(spec.argv[0], list(spec.argv), spec.env)


def _redirect(output: str) -> None:
    # All else that is open is closed by the exec.
    os.umask(0o077)
    nothing = os.open("/dev/null", os.O_RDONLY)
    log = os.open(output, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW | os.O_NOCTTY, 0o600)
    for source, target in ((nothing, 0), (log, 1), (log, 2)):
        os.dup2(source, target)


def _limit(spec: LaunchSpec) -> None:
    _lower(resource.RLIMIT_CORE, 0)
    if spec.memory_bytes is not None:
        _lower(resource.RLIMIT_DATA, spec.memory_bytes)
    if spec.pids is not None and spec.uid is not None:
        # It counts everything of a uid: meaningless on one that is shared.
        _lower(resource.RLIMIT_NPROC, spec.pids)
    # Where the kernel refuses, the launcher already has a higher score, and the agent inherits that.
    with suppress(OSError):
        Path("/proc/self/oom_score_adj").write_text(str(_OOM_SCORE_ADJ))


def _lower(limit: int, value: int) -> None:
    _, hard = resource.getrlimit(limit)
    value = value if hard == resource.RLIM_INFINITY else min(value, hard)
    resource.setrlimit(limit, (value, value))


def _clear(uid: int) -> None:
    if not end_uid(uid, _CLEARANCE_S):
        raise RuntimeError("processes of an earlier launch are left and do not end")


def _take_on(uid: int) -> None:
    os.setgroups([])
    os.setresgid(uid, uid, uid)
    os.setresuid(uid, uid, uid)


def _exec(program: str, argv: list[str], env: Mapping[str, str]) -> NoReturn:
    os.execve(program, argv, env)  # noqa: S606 - no shell is the point
