"""The life of an instance as one table: (status, trigger) → status. Nothing else decides what may follow what."""

from enum import StrEnum
from typing import NamedTuple


class Status(StrEnum):
    """Where an instance is in its life."""

    DEPLOYING = "deploying"
    INITIALIZING = "initializing"
    READY = "ready"
    RUNNING = "running"
    SCALING_DOWN = "scaling_down"
    SHUTTING_DOWN = "shutting_down"
    HIBERNATED = "hibernated"
    FAILED = "failed"
    TERMINATED = "terminated"


class Trigger(StrEnum):
    """What moves an instance on."""

    START = "start"  # an entry came, or a retry is due
    PREPARED = "prepared"  # bundle and environment are there
    READY = "ready"  # the agent said so
    TURN = "turn"  # a message was handed over
    TURN_ENDED = "turn_ended"  # committed, or given up
    DIED = "died"  # the process ended unasked
    FAILED = "failed"  # it could not be started
    IDLE = "idle"  # nothing to do for the idle timeout, or asked to sleep
    DEFERRED = "deferred"  # the agent or a new entry wants to stay awake
    AGREED = "agreed"  # the agent may sleep
    PARKED = "parked"  # the process has ended and the inbox was empty in one transaction
    REPLACE = "replace"  # another deployment is to run, or a restart was asked for
    FELL_BACK = "fell_back"  # another deployment does not start: the one before does
    DELETE = "delete"


S, T = Status, Trigger

TRANSITIONS: dict[tuple[Status, Trigger], Status] = {
    (S.DEPLOYING, T.PREPARED): S.INITIALIZING,
    (S.DEPLOYING, T.FAILED): S.FAILED,
    (S.INITIALIZING, T.READY): S.READY,
    (S.INITIALIZING, T.FAILED): S.FAILED,
    (S.DEPLOYING, T.FELL_BACK): S.DEPLOYING,
    (S.INITIALIZING, T.FELL_BACK): S.DEPLOYING,
    (S.READY, T.TURN): S.RUNNING,
    (S.READY, T.IDLE): S.SCALING_DOWN,
    (S.READY, T.REPLACE): S.SHUTTING_DOWN,
    (S.READY, T.DIED): S.DEPLOYING,
    (S.RUNNING, T.TURN_ENDED): S.READY,
    (S.RUNNING, T.DIED): S.DEPLOYING,
    (S.SCALING_DOWN, T.DEFERRED): S.READY,
    (S.SCALING_DOWN, T.AGREED): S.SHUTTING_DOWN,
    (S.SCALING_DOWN, T.DIED): S.SHUTTING_DOWN,
    (S.SHUTTING_DOWN, T.PARKED): S.HIBERNATED,
    (S.SHUTTING_DOWN, T.START): S.DEPLOYING,
    (S.HIBERNATED, T.START): S.DEPLOYING,
    (S.FAILED, T.START): S.DEPLOYING,
    **{(status, T.DELETE): S.TERMINATED for status in Status},
}


class Deadline(NamedTuple):
    """How long a status may last, as the name of the setting that says so, and who ends it then."""

    setting: str
    owner: str


DEADLINES: dict[Status, Deadline] = {
    S.DEPLOYING: Deadline("install_timeout_s", "coordinator.start"),
    S.INITIALIZING: Deadline("start_timeout_s", "coordinator.start"),
    S.RUNNING: Deadline("turn_timeout_s", "coordinator.turn"),
    S.SCALING_DOWN: Deadline("idle_check_timeout_s", "coordinator.hooks"),
    S.SHUTTING_DOWN: Deadline("shutdown_timeout_s", "coordinator.hooks"),
}


def after(status: Status, trigger: Trigger) -> Status:
    """The status that follows; ValueError for a step the table does not have, which is a bug of ours."""
    try:
        return TRANSITIONS[status, trigger]
    except KeyError:
        raise ValueError(f"{trigger} does not follow {status}") from None
