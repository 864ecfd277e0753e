"""Pauses grow, are bounded, and end when the time is up."""

from podium.client.retry import FIRST_S, LONGEST_S, Retry


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


def test_pauses_double_up_to_the_longest() -> None:
    retry = Retry(1000, clock=Clock(), chance=lambda: 1.0)
    delays = [retry.delay_s() for _ in range(8)]
    assert delays == [min(LONGEST_S, FIRST_S * 2**step) for step in range(8)]


def test_chance_halves_a_pause_at_most() -> None:
    assert Retry(10, clock=Clock(), chance=lambda: 0.0).delay_s() == FIRST_S / 2


def test_a_retry_after_is_kept() -> None:
    assert Retry(10, clock=Clock()).delay_s(7) == 7


def test_a_retry_after_beyond_the_time_ends_it() -> None:
    assert Retry(10, clock=Clock()).delay_s(11) is None


def test_time_counts_from_the_first_failure_after_a_sign_of_life() -> None:
    clock = Clock()
    retry = Retry(10, clock=clock, chance=lambda: 1.0)
    clock.now += 100
    assert retry.delay_s() is not None
    clock.now += 9.95
    assert retry.delay_s() is None
    retry.reached()
    assert retry.delay_s() == FIRST_S * 4
    retry.progressed()
    assert retry.delay_s() == FIRST_S
