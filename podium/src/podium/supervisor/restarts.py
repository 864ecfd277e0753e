"""When a process that ended is started again, and when the supervisor gives up: decisions on values alone."""

import msgspec

CONFIGURATION_ERROR = 2
"""The exit code that says: this cannot work until somebody changes something."""
_REFUSALS_TO_BELIEVE = 3
_LARGEST_EXPONENT = 30


class RestartPolicy(msgspec.Struct, kw_only=True, frozen=True):
    """The first restart is immediate, the second waits `first_pause_s`, each further one twice as long up to `longest_pause_s`.

    A run that served for `well_after_s` makes the next restart a first one again. What never served is given up after
    `start_attempts`.
    """

    first_pause_s: float = 0.5
    longest_pause_s: float = 15.0
    well_after_s: float = 30.0
    start_attempts: int = 5


class Run(msgspec.Struct, kw_only=True, frozen=True):
    """How one run of a process went: exit code (negative: signal), duration, and whether it came to serve."""

    code: int
    ran_s: float
    was_ready: bool


class History(msgspec.Struct, kw_only=True, frozen=True):
    """What matters of all runs: ends in a row without a good run, refusals of the configuration in a row."""

    ends: int = 0
    refusals: int = 0
    was_ready: bool = False


class Restart(msgspec.Struct, frozen=True):
    """Start it again after this pause."""

    pause_s: float


class GiveUp(msgspec.Struct, frozen=True):
    """Stop everything and end with this exit code."""

    code: int


def after(history: History, run: Run, policy: RestartPolicy) -> History:
    """The history with one more run."""
    ran_well = run.was_ready and run.ran_s >= policy.well_after_s
    refused = run.code == CONFIGURATION_ERROR and not run.was_ready
    return History(
        ends=1 if ran_well else history.ends + 1,
        refusals=history.refusals + 1 if refused else 0,
        was_ready=history.was_ready or run.was_ready,
    )


def decide(history: History, policy: RestartPolicy) -> Restart | GiveUp:
    """What to do after the last run of a history.

    A configuration is refused at once by a process that never served. One that has served gets the benefit of the doubt: what
    it was configured with has not changed, so what it misses may come back.
    """
    if history.refusals >= (_REFUSALS_TO_BELIEVE if history.was_ready else 1):
        return GiveUp(CONFIGURATION_ERROR)
    if not history.was_ready and history.ends >= policy.start_attempts:
        return GiveUp(1)
    if history.ends <= 1:
        return Restart(0.0)
    pause_s = policy.first_pause_s * 2 ** min(history.ends - 2, _LARGEST_EXPONENT)
    return Restart(min(pause_s, policy.longest_pause_s))
