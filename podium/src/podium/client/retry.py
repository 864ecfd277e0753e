"""When to try again: exponential backoff with jitter, bounded in total time."""

import random
import time
from collections.abc import Callable

FIRST_S = 0.1
LONGEST_S = 5.0


class Retry:
    """The pauses between the attempts at one thing. Time counts from the first failure after the last sign of life."""

    def __init__(
        self, for_s: float, *, clock: Callable[[], float] = time.monotonic, chance: Callable[[], float] = random.random
    ) -> None:
        self._for_s = for_s
        self._clock = clock
        self._chance = chance
        self._tries = 0
        self._deadline: float | None = None

    def delay_s(self, asked_s: float | None = None) -> float | None:
        """Seconds to wait before the next attempt, at least the `asked_s` of a `Retry-After`; None when the time would be up."""
        now = self._clock()
        if self._deadline is None:
            self._deadline = now + self._for_s
        longest = min(LONGEST_S, FIRST_S * 2 ** min(self._tries, 16))
        delay = max(longest * (0.5 + self._chance() / 2), asked_s or 0.0)
        self._tries += 1
        return delay if now + delay <= self._deadline else None

    def reached(self) -> None:
        """The other side answered: the time begins anew, the pauses stay as long as they are."""
        self._deadline = None

    def progressed(self) -> None:
        """Something new came: all begins anew."""
        self._deadline = None
        self._tries = 0
