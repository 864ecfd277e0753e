"""Ends whole families of processes: everything of a uid, or everything of a session.

An agent may fork faster than anybody can list, leave its session, ignore signals and stop its parent's wish to die with it.
What it cannot do is change its uid. So everything of a uid is ended by one `kill(-1)` from a process that may signal just that
uid: the kernel delivers it to all of them in one step, and a fork under way fails. Without a uid of its own a launch is found by
its session and by its environment, which a hostile agent can leave and wipe.
"""

import os
import signal
import time
from collections.abc import Callable, Iterator
from typing import NoReturn

from podium.launcher import procfs

# Added to a uid this gives the real uid of its killer. Nobody has such numbers, so the prey cannot signal the killer first.
_KILLERS_UIDS = 0x8000_0000
_KILLER_REFUSED = 1
_MAX_PASSES = 20


def check_uid(uid: int) -> None:
    """ValueError where ending everything of `uid` would hit root, the caller or a killer."""
    if not 0 < uid < _KILLERS_UIDS or uid in (os.getuid(), os.geteuid()):
        raise ValueError(f"uid {uid} cannot be an agent's: it is root's, the caller's own or above {_KILLERS_UIDS - 1}")


def end_uid(uid: int, timeout_s: float) -> bool:
    """Kill everything of `uid`, again and again until nothing of it runs; False if something still does after `timeout_s`.

    Blocks. ValueError as `check_uid`; PermissionError where the caller may not take on other uids.
    """
    check_uid(uid)
    deadline = time.monotonic() + timeout_s
    pause_s = 0.001
    while True:
        _kill_all_of(uid)
        if not any(_runs_as(pid, uid) for pid in procfs.pids()):
            return True
        if time.monotonic() > deadline:
            return False
        time.sleep(pause_s)
        pause_s = min(2 * pause_s, 0.1)


def end_family(launch_id: str, session: int | None) -> None:
    """Kill the processes whose environment names the launch, and those of its session, until no new one appears.

    Returns when all of them have been signalled. A session is named only while its leader is there, running or not yet reaped:
    that keeps the number ours.
    """
    mark = f"AGENT_LAUNCH_ID={launch_id}".encode()
    seen: set[int] = set()
    for _ in range(_MAX_PASSES):
        fresh = [pid for pid in _family(session, mark) if pid not in seen]
        if not fresh:
            return
        for pid in fresh:
            _kill_if(pid, lambda pid: _belongs(pid, session, mark))
        seen.update(fresh)


def _runs_as(pid: int, uid: int) -> bool:
    status = procfs.read_status(pid)
    return status is not None and status.alive and uid in status.uids


def _family(session: int | None, mark: bytes) -> Iterator[int]:
    own = os.getpid()
    return (pid for pid in procfs.pids() if pid != own and _belongs(pid, session, mark))


def _belongs(pid: int, session: int | None, mark: bytes) -> bool:
    stat = procfs.read_stat(pid)
    return stat is not None and (stat.session == session or mark in procfs.read_environment(pid))


def _kill_if(pid: int, condition: Callable[[int], bool]) -> None:
    """SIGKILL a process that still meets the condition once it is held by a descriptor: a reused pid is never hit."""
    try:
        descriptor = os.pidfd_open(pid)
    except ProcessLookupError:
        return
    try:
        if condition(pid):
            signal.pidfd_send_signal(descriptor, signal.SIGKILL)
    except ProcessLookupError:
        pass
    finally:
        os.close(descriptor)


def _kill_all_of(uid: int) -> None:
    pid = os.fork()
    if pid == 0:
        _be_killer_of(uid)
    _, status = os.waitpid(pid, 0)
    if os.waitstatus_to_exitcode(status) == _KILLER_REFUSED:
        raise PermissionError(f"only root can end the processes of uid {uid}")


def _be_killer_of(uid: int) -> NoReturn:
    code = _KILLER_REFUSED
    try:
        _take_on(uid)
        code = 0
        os.kill(-1, signal.SIGKILL)
    finally:
        os._exit(code)


def _take_on(uid: int) -> None:
    killers_uid = _KILLERS_UIDS + uid
    try:
        os.setresuid(killers_uid, uid, killers_uid)
    except OSError:
        # A user namespace without that uid. There the prey may kill the killer first; the next pass sends another.
        os.setresuid(uid, uid, uid)
