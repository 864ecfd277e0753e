"""The table of an instance's life: nothing is unreachable, nothing is a dead end, nothing lasts without an end to it."""

import importlib.util
from dataclasses import fields
from pathlib import Path

import pytest

from podium.coordinator.host import Limits
from podium.coordinator.lifecycle import DEADLINES, TRANSITIONS, Status, Trigger, after
from podium.deployments.manifest import Lifecycle

BEGINNING = Status.DEPLOYING
FINAL = Status.TERMINATED
RESTING = {Status.READY, Status.HIBERNATED, Status.FAILED, FINAL}
"""Where an instance may stay as long as it likes."""
TRANSITIONAL = set(Status) - RESTING


def test_every_status_is_reachable() -> None:
    reached, waiting = {BEGINNING}, [BEGINNING]
    while waiting:
        here = waiting.pop()
        following = {to for (status, _), to in TRANSITIONS.items() if status is here} - reached
        reached |= following
        waiting.extend(following)
    assert reached == set(Status)


@pytest.mark.parametrize("status", sorted(set(Status) - {FINAL}))
def test_every_status_but_the_last_has_a_way_out_other_than_deletion(status: Status) -> None:
    assert {to for (here, trigger), to in TRANSITIONS.items() if here is status and trigger is not Trigger.DELETE} - {status}


@pytest.mark.parametrize("status", list(Status))
def test_everything_can_be_terminated(status: Status) -> None:
    assert after(status, Trigger.DELETE) is Status.TERMINATED


def test_what_is_terminated_stays_so() -> None:
    assert {to for (status, _), to in TRANSITIONS.items() if status is FINAL} == {FINAL}


def test_every_trigger_is_used() -> None:
    assert {trigger for _, trigger in TRANSITIONS} == set(Trigger)


def test_every_transitional_status_has_a_deadline() -> None:
    assert set(DEADLINES) == TRANSITIONAL


@pytest.mark.parametrize("status", sorted(DEADLINES))
def test_a_deadline_names_a_setting_and_the_module_that_keeps_it(status: Status) -> None:
    deadline = DEADLINES[status]
    assert deadline.setting in {field.name for field in fields(Limits)} | set(Lifecycle.__struct_fields__)
    found = importlib.util.find_spec(f"podium.{deadline.owner}")
    assert found
    assert found.origin
    assert deadline.setting in Path(found.origin).read_text()


@pytest.mark.parametrize(
    ("status", "trigger", "following"),
    [
        (Status.DEPLOYING, Trigger.PREPARED, Status.INITIALIZING),
        (Status.INITIALIZING, Trigger.READY, Status.READY),
        (Status.READY, Trigger.TURN, Status.RUNNING),
        (Status.RUNNING, Trigger.TURN_ENDED, Status.READY),
        (Status.RUNNING, Trigger.DIED, Status.DEPLOYING),
        (Status.READY, Trigger.IDLE, Status.SCALING_DOWN),
        (Status.SCALING_DOWN, Trigger.DEFERRED, Status.READY),
        (Status.SCALING_DOWN, Trigger.AGREED, Status.SHUTTING_DOWN),
        (Status.SHUTTING_DOWN, Trigger.PARKED, Status.HIBERNATED),
        (Status.SHUTTING_DOWN, Trigger.START, Status.DEPLOYING),
        (Status.HIBERNATED, Trigger.START, Status.DEPLOYING),
        (Status.INITIALIZING, Trigger.FAILED, Status.FAILED),
        (Status.FAILED, Trigger.START, Status.DEPLOYING),
    ],
)
def test_the_steps_of_a_life(status: Status, trigger: Trigger, following: Status) -> None:
    assert after(status, trigger) is following


@pytest.mark.parametrize(
    "step", [(status, trigger) for status in Status for trigger in Trigger if (status, trigger) not in TRANSITIONS]
)
def test_a_step_that_the_table_does_not_have_is_a_bug(step: tuple[Status, Trigger]) -> None:
    with pytest.raises(ValueError, match="does not follow"):
        after(*step)
