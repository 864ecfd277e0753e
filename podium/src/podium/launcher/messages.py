"""What a coordinator and the launcher say to each other: one struct per frame, told apart by `type`.

A request carries an `id` that its reply repeats. `exited` comes unasked, to every connection, once per launch. Every request
may be sent again after a lost connection: all of them are idempotent.
"""

import msgspec

from podium.launcher.port import Exit, Launch, LaunchSpec

# ---- requests


class Start(msgspec.Struct, tag="start", kw_only=True):
    """Start a process; a known launch_id returns what is there. Answered by `started` or `failed`."""

    id: int
    spec: LaunchSpec


class Kill(msgspec.Struct, tag="kill", kw_only=True):
    """End a launch; answered by `done` at once."""

    id: int
    launch_id: str


class List(msgspec.Struct, tag="list", kw_only=True):
    """Ask for every launch that was not forgotten; answered by `launches`."""

    id: int


class Forget(msgspec.Struct, tag="forget", kw_only=True):
    """Drop an ended launch; answered by `done`. Nothing happens to one that runs."""

    id: int
    launch_id: str


# ---- replies


class Started(msgspec.Struct, tag="started", kw_only=True):
    """The process runs its own program, or has already ended."""

    id: int
    launch: Launch


class Failed(msgspec.Struct, tag="failed", kw_only=True):
    """The process could not be started; `reason` says why."""

    id: int
    reason: str


class Done(msgspec.Struct, tag="done", kw_only=True):
    """The request has been carried out."""

    id: int


class Launches(msgspec.Struct, tag="launches", kw_only=True):
    """Every launch that was not forgotten."""

    id: int
    launches: list[Launch]


# ---- unasked


class Exited(msgspec.Struct, tag="exited", kw_only=True):
    """A launch has ended, and nothing of it is left."""

    launch_id: str
    exit: Exit


Request = Start | Kill | List | Forget
Reply = Started | Failed | Done | Launches
FromLauncher = Reply | Exited
