"""How long a turn may take: seconds that pass only while the agent is at work, not while it waits for a person."""

import asyncio
from collections.abc import Callable


class TurnClock:
    """Calls `run_out` once `limit_s` seconds of `loop` have passed in which it was not held; None never does. Starts at once."""

    def __init__(self, limit_s: float | None, run_out: Callable[[], None], loop: asyncio.AbstractEventLoop) -> None:
        self._left_s = limit_s
        self._run_out = run_out
        self._loop = loop
        self._since = 0.0
        self._timer: asyncio.TimerHandle | None = None
        self.go_on()

    def hold(self) -> None:
        """Stand still; idempotent."""
        if self._timer and self._left_s is not None:
            self._timer.cancel()
            self._timer = None
            self._left_s -= self._loop.time() - self._since

    def go_on(self) -> None:
        """Run on after `hold`; idempotent."""
        if self._timer is None and self._left_s is not None:
            self._since = self._loop.time()
            self._timer = self._loop.call_later(max(0.0, self._left_s), self._run_out)

    def stop(self) -> None:
        """Never run out any more."""
        self.hold()
        self._left_s = None
