"""Named points at which this process can be made to die: what a crash test kills at, to the statement.

`PODIUM_CRASH_AT` says where, and is read once, when a coordinator starts (`arm`):

    name:count          SIGKILL when the point `name` is passed for the `count`-th time
    name:count:SIGNAL   another signal instead, such as STOP
    @path               take the first line of that file, in one of the forms above, and remove it from the file: whoever starts
                        the process anew finds the next line, or nothing and lives

Unset, a point is one call that compares None. The points, in the order of a message's way:

    accepted            an entry is in the inbox, durably; nobody was told
    spooled             an upload is synced; no entry names it
    placed              an uploaded file lies in the workspace; its entry is not done
    launching           a launch is recorded; its process does not run
    launched            the process runs; the state does not know its pid
    started             `ready` has had its effect; the start is not recorded as done
    begun               an attempt is recorded; the agent does not have it
    handed-over         the frame is on its way to the agent
    grouped             a group of frames is stored; neither readers nor the agent were told
    ending              a hook has returned; its turn is not committed
    ended               the turn is committed; nobody was told
    acknowledged        the agent was told that its frames are stored
    failing             an attempt has failed; its outcome is not recorded
    killing             a process is about to be killed
    replacing           a process has ended so that another one takes its place
    parking             the process of an agent that goes to sleep has ended
    parked              the instance is recorded as asleep

and of the journal under all of them:

    journaling          changes are applied; their records are not written
    journaled           records are written, not synced
    synced              records are durable; nobody was told
    committing          a state file's transaction is about to be committed
    committed           a state file holds its changes itself
    recycling           every file in a full segment holds its changes; the segment is not free yet
    replaying           missing changes are applied to a state file, and not committed
"""

import os
import signal
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

VARIABLE = "PODIUM_CRASH_AT"
POINTS = frozenset(
    (
        "accepted", "spooled", "placed", "launching", "launched", "started", "begun", "handed-over", "grouped", "ending",
        "ended", "acknowledged", "failing", "killing", "replacing", "parking", "parked", "journaling", "journaled",
        "synced", "committing", "committed", "recycling", "replaying",
    )
)  # fmt: skip


class Plan(NamedTuple):
    """Where to die: when `name` is passed for the `at_pass`-th time, by `number`."""

    name: str
    at_pass: int
    number: signal.Signals


def read_plan(text: str) -> Plan | None:
    """The plan `text` makes, None where its file has no more lines; ValueError for one that names no point."""
    if text.startswith("@"):
        line = _first_line(Path(text[1:]))
        return read_plan(line) if line else None
    name, _, rest = text.partition(":")
    count, _, number = rest.partition(":")
    if name not in POINTS or not count.isdecimal() or int(count) < 1:
        raise ValueError(f"{VARIABLE}={text} names no crash point; it is name:count with a name of {', '.join(sorted(POINTS))}")
    return Plan(name, int(count), signal.Signals[f"SIG{number.removeprefix('SIG') or 'KILL'}"])


def _first_line(path: Path) -> str | None:
    try:
        first, _, rest = path.read_text().partition("\n")
    except FileNotFoundError:
        return None
    path.write_text(rest)
    return first.strip()


class _Armed:
    """The plan of this process, and how often its point was passed."""

    plan: Plan | None = None
    passed = 0


def arm(environ: Mapping[str, str]) -> None:
    """Follow the plan of the environment from now on; ValueError as `read_plan`."""
    _Armed.plan = read_plan(environ[VARIABLE]) if environ.get(VARIABLE) else None


def crash_point(name: str) -> None:
    """Die here, if this is the place and the time."""
    plan = _Armed.plan
    if plan is not None and plan.name == name:
        _Armed.passed += 1
        if _Armed.passed == plan.at_pass:
            os.kill(os.getpid(), plan.number)
