"""Pauses grow, and end growing."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from podium.coordinator.backoff import delay_s


@pytest.mark.parametrize(("failures", "pause_s"), [(1, 1.0), (2, 2.0), (3, 4.0), (9, 256.0), (10, 300.0), (10**9, 300.0)])
def test_each_failure_doubles_the_pause_up_to_the_most(failures: int, pause_s: float) -> None:
    assert delay_s(failures, 1.0, 300.0) == pause_s


@given(st.integers(1, 10**6), st.floats(0.001, 60), st.floats(60, 3600))
def test_a_pause_never_shrinks_and_stays_in_bounds(failures: int, first_s: float, most_s: float) -> None:
    assert first_s <= delay_s(failures, first_s, most_s) <= delay_s(failures + 1, first_s, most_s) <= most_s
