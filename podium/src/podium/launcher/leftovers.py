"""Ends agents that outlived those who started them: for a restarted coordinator that finds the launcher gone as well.

These calls block for as long as `timeout_s` and need no event loop.
"""

import os
import select
import signal
from contextlib import suppress

from podium.launcher import procfs
from podium.launcher.sweep import end_family, end_uid


def is_leftover(launch_id: str, pid: int, start_time: int) -> bool:
    """Whether `pid` is still the process of that launch: its start time and AGENT_LAUNCH_ID in its environment agree."""
    stat = procfs.read_stat(pid)
    mark = f"AGENT_LAUNCH_ID={launch_id}".encode()
    return stat is not None and stat.start_time == start_time and mark in procfs.read_environment(pid)


def end_leftover(launch_id: str, pid: int, start_time: int, uid: int | None = None, *, timeout_s: float = 5.0) -> bool:
    """Kill what is left of a launch: all of its uid, or without one its process, its session and what carries its launch_id.

    True once nothing of it runs. With a uid that is certain; without one a hostile agent may have hidden. Errors as `end_uid`.
    """
    if uid is not None:
        return end_uid(uid, timeout_s)
    try:
        descriptor = os.pidfd_open(pid)
    except ProcessLookupError:
        end_family(launch_id, session=None)
        return True
    try:
        # Looked at once it is held: if the number is reused from here on, the signal still goes to what was looked at.
        is_there = is_leftover(launch_id, pid, start_time)
        end_family(launch_id, session=pid if is_there else None)
        return not is_there or _end(descriptor, timeout_s)
    finally:
        os.close(descriptor)


def _end(descriptor: int, timeout_s: float) -> bool:
    with suppress(ProcessLookupError):
        signal.pidfd_send_signal(descriptor, signal.SIGKILL)
    poll = select.poll()
    poll.register(descriptor, select.POLLIN)
    return bool(poll.poll(timeout_s * 1000))
