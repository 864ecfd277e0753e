"""How long a caller still waits, cut into the requests it takes."""

import asyncio
import time
from collections.abc import Callable

STEP_S = 50.0
"""The longest single wait, as the contract has it."""
_FIRST_LOOK_S = 0.05
_LONGEST_LOOK_S = 1.0


class Waiting:
    """Counts down `for_s` seconds; None never ends."""

    def __init__(self, for_s: float | None, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._until = None if for_s is None else clock() + for_s
        self._look_s = _FIRST_LOOK_S

    @property
    def over(self) -> bool:
        """Whether the time is up."""
        return self._until is not None and self._clock() >= self._until

    def step_s(self) -> float:
        """Seconds that the next request may ask the platform to wait."""
        if self._until is None:
            return STEP_S
        return round(min(STEP_S, max(0.0, self._until - self._clock())), 3)

    async def look_again(self) -> bool:
        """Pause before asking once more, each time a little longer, so that an answer that comes at once makes no busy loop;
        whether there is time left."""
        if self.over:
            return False
        await asyncio.sleep(min(self._look_s, self.step_s()))
        self._look_s = min(_LONGEST_LOOK_S, self._look_s * 1.5)
        return True
