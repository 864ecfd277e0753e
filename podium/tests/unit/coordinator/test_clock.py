"""The time of a turn, by a clock that stands where it is put."""

import asyncio
from collections.abc import Callable
from typing import Any, cast

import pytest

from podium.coordinator.clock import TurnClock


class Loop:
    """As much of an event loop as a timer needs."""

    def __init__(self) -> None:
        self.now = 0.0
        self.timers: list[Timer] = []

    def time(self) -> float:
        return self.now

    def call_later(self, delay_s: float, callback: Callable[[], None]) -> "Timer":
        self.timers.append(Timer(self.now + delay_s, callback))
        return self.timers[-1]

    def advance(self, seconds: float) -> None:
        self.now += seconds
        for timer in self.timers:
            if timer.due <= self.now and not timer.over:
                timer.over = True
                timer.callback()


class Timer:
    def __init__(self, due: float, callback: Callable[[], None]) -> None:
        self.due = due
        self.callback = callback
        self.over = False

    def cancel(self) -> None:
        self.over = True


class Watched:
    """A clock and how often it ran out."""

    def __init__(self, limit_s: float | None) -> None:
        self.loop = Loop()
        self.ran_out = 0
        self.clock = TurnClock(limit_s, self._run_out, cast(asyncio.AbstractEventLoop, self.loop))

    def _run_out(self) -> None:
        self.ran_out += 1


def test_it_runs_out_once() -> None:
    watched = Watched(10)
    watched.loop.advance(9)
    assert watched.ran_out == 0
    watched.loop.advance(1)
    watched.loop.advance(10)
    assert watched.ran_out == 1


def test_it_stands_still_while_it_is_held() -> None:
    watched = Watched(10)
    for _ in range(3):
        watched.loop.advance(3)
        watched.clock.hold()
        watched.clock.hold()
        watched.loop.advance(1000)
        watched.clock.go_on()
        watched.clock.go_on()
    assert watched.ran_out == 0
    watched.loop.advance(1)
    assert watched.ran_out == 1


@pytest.mark.parametrize("limit_s", [0.0, -5.0])
def test_one_whose_time_is_up_runs_out_at_once_unless_it_is_held(limit_s: float) -> None:
    held, running = Watched(limit_s), Watched(limit_s)
    held.clock.hold()
    for watched in (held, running):
        watched.loop.advance(0)
    assert (held.ran_out, running.ran_out) == (0, 1)
    held.clock.go_on()
    held.loop.advance(0)
    assert held.ran_out == 1


@pytest.mark.parametrize("end", [lambda clock: clock.stop(), lambda clock: clock.hold()])
def test_without_a_limit_or_once_stopped_it_never_runs_out(end: Any) -> None:
    never, stopped = Watched(None), Watched(10)
    end(never.clock)
    never.clock.go_on()
    stopped.clock.stop()
    stopped.clock.go_on()
    for watched in (never, stopped):
        watched.loop.advance(1e9)
        assert watched.ran_out == 0
