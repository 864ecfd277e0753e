"""What /proc says about processes. Every reader takes a process that is gone for an answer, not for an error."""

import os
from pathlib import Path

import msgspec

_PROC = Path("/proc")
_TICKS_PER_S = os.sysconf("SC_CLK_TCK")
_GONE = (FileNotFoundError, ProcessLookupError)


class Stat(msgspec.Struct, frozen=True):
    """A process as /proc/PID/stat has it; `start_time` in clock ticks since boot."""

    session: int
    start_time: int


class Status(msgspec.Struct, frozen=True):
    """A process as /proc/PID/status has it. `alive` is false for one that merely waits to be reaped."""

    uids: frozenset[int]
    alive: bool


def pids() -> list[int]:
    """Every process there is now."""
    return [int(entry.name) for entry in _PROC.iterdir() if entry.name.isdigit()]


def read_stat(pid: int) -> Stat | None:
    """None where there is no such process."""
    try:
        line = (_PROC / str(pid) / "stat").read_bytes()
    except _GONE:
        return None
    # The name in parentheses may itself hold spaces and parentheses: count the fields from the last one.
    fields = line[line.rindex(b")") + 2 :].split()
    return Stat(session=int(fields[3]), start_time=int(fields[19]))


def read_cpu_s(pid: int) -> float:
    """How many seconds of processors a process has used, all its threads together; 0 where it is gone."""
    try:
        line = (_PROC / str(pid) / "stat").read_bytes()
    except _GONE:
        return 0.0
    user, system = line[line.rindex(b")") + 2 :].split()[11:13]
    return (int(user) + int(system)) / _TICKS_PER_S


def read_status(pid: int) -> Status | None:
    """None where there is no such process."""
    try:
        lines = (_PROC / str(pid) / "status").read_bytes().splitlines()
    except _GONE:
        return None
    fields = dict(line.split(b":", 1) for line in lines if b":" in line)
    # A main thread that ended shows as a zombie while other threads of the process go on.
    alive = fields[b"State"].split()[0] not in (b"Z", b"X") or int(fields[b"Threads"]) > 1
    return Status(uids=frozenset(map(int, fields[b"Uid"].split())), alive=alive)


def oom_kills() -> int:
    """How many processes the kernel has killed for want of memory since boot; 0 where it does not count them."""
    try:
        lines = (_PROC / "vmstat").read_bytes().splitlines()
    except OSError:
        return 0
    return next((int(line.split()[1]) for line in lines if line.startswith(b"oom_kill ")), 0)


def read_environment(pid: int) -> list[bytes]:
    """The NAME=value pairs a process was started with; empty where it is gone or not ours to look at."""
    try:
        return (_PROC / str(pid) / "environ").read_bytes().split(b"\0")
    except (*_GONE, PermissionError):
        return []
