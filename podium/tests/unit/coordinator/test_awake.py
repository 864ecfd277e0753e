"""Why an instance is awake."""

import pytest

from podium.coordinator.awake import MAX_REASON_CHARS, Awake
from podium.coordinator.lifecycle import Status
from podium.coordinator.work import Work
from podium.state.port import Attempt
from tests.support.states import START

ATTEMPT = Attempt(position=1, message_id="m1", attempt=1, launch_id="l1", first_seq=1, started_at=START)


async def test_a_turn_keeps_it_awake_and_says_what_it_waits_for() -> None:
    awake, work = Awake(), Work.of_attempt(ATTEMPT)
    assert awake.because(Status.RUNNING, work) == "turn of message m1"
    work.waits(2, "m1.2")
    work.waits(1, "m1.1")
    assert awake.because(Status.RUNNING, work) == "waiting for an answer to m1.1, m1.2"
    work.stopping = True
    assert awake.because(Status.RUNNING, work) == "turn of message m1, being stopped"


def test_between_turns_it_is_the_agents_wish_or_the_idle_timeout() -> None:
    awake = Awake()
    assert awake.because(Status.READY, None) == "its idle timeout is never; idle since it started"
    awake.idle_timeout_s = 300
    awake.busy("the turn of message m1")
    assert awake.because(Status.READY, None) == "idle for less than its timeout of 300 s, since the turn of message m1"
    awake.deferred("x" * 1000)
    assert awake.because(Status.READY, None) == "the agent wants to be: " + "x" * MAX_REASON_CHARS
    awake.deferred("")
    assert awake.because(Status.READY, None) == "the agent wants to be: it gave no reason"
    awake.busy("it was woken")
    assert awake.because(Status.READY, None) == "idle for less than its timeout of 300 s, since it was woken"


@pytest.mark.parametrize("status", Status)
def test_every_status_with_a_process_has_a_reason(status: Status) -> None:
    asleep = status in (Status.HIBERNATED, Status.FAILED, Status.TERMINATED)
    assert (Awake().because(status, None) is None) == asleep
