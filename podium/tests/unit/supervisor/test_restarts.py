"""When to start again, and when to give up."""

from functools import reduce

from hypothesis import given
from hypothesis import strategies as st

from podium.supervisor.restarts import GiveUp, History, Restart, RestartPolicy, Run, after, decide

POLICY = RestartPolicy(first_pause_s=0.5, longest_pause_s=4.0, well_after_s=30.0, start_attempts=4)
SHORT = Run(code=1, ran_s=1.0, was_ready=True)
LONG = Run(code=-9, ran_s=31.0, was_ready=True)
STILLBORN = Run(code=1, ran_s=1.0, was_ready=False)
REFUSED = Run(code=2, ran_s=0.1, was_ready=False)


def decisions(*runs: Run) -> list[Restart | GiveUp]:
    histories = [
        reduce(lambda history, run: after(history, run, POLICY), runs[:end], History()) for end in range(1, len(runs) + 1)
    ]
    return [decide(history, POLICY) for history in histories]


def pauses(*runs: Run) -> list[float]:
    return [decision.pause_s for decision in decisions(*runs) if isinstance(decision, Restart)]


def test_the_first_restart_is_immediate_and_the_next_ones_wait_longer() -> None:
    assert pauses(*[SHORT] * 7) == [0, 0.5, 1, 2, 4, 4, 4]


def test_a_good_run_makes_the_next_restart_a_first_one() -> None:
    assert pauses(SHORT, SHORT, SHORT, LONG, SHORT) == [0, 0.5, 1, 0, 0.5]


def test_long_without_serving_is_no_good_run() -> None:
    slow = Run(code=-9, ran_s=60.0, was_ready=False)
    assert pauses(SHORT, slow, slow) == [0, 0.5, 1]


def test_what_never_served_is_given_up() -> None:
    assert decisions(*[STILLBORN] * 4) == [Restart(0), Restart(0.5), Restart(1.0), GiveUp(1)]


def test_what_has_served_is_never_given_up() -> None:
    assert len(pauses(SHORT, *[STILLBORN] * 100)) == 101


def test_a_refused_configuration_ends_it_at_once() -> None:
    assert decisions(REFUSED) == [GiveUp(2)]
    assert decisions(STILLBORN, REFUSED) == [Restart(0), GiveUp(2)]


def test_what_has_served_may_refuse_twice() -> None:
    assert decisions(SHORT, REFUSED, REFUSED, REFUSED) == [Restart(0), Restart(0.5), Restart(1.0), GiveUp(2)]
    assert len(pauses(SHORT, REFUSED, REFUSED, STILLBORN, REFUSED, REFUSED)) == 6


def test_code_2_of_a_process_that_served_refuses_nothing() -> None:
    assert len(pauses(*[Run(code=2, ran_s=1.0, was_ready=True)] * 10)) == 10


@given(st.lists(st.builds(Run, code=st.integers(-64, 255), ran_s=st.floats(0, 1e6), was_ready=st.just(True)), max_size=100))
def test_pauses_stay_within_their_bounds(runs: list[Run]) -> None:
    assert all(0 <= pause_s <= POLICY.longest_pause_s for pause_s in pauses(*runs))
    assert len(pauses(*runs)) == len(runs)


def test_thousands_of_ends_are_no_overflow() -> None:
    assert decide(History(ends=10_000, was_ready=True), POLICY) == Restart(4.0)
