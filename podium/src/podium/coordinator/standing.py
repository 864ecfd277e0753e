"""Where an instance is in its life. It changes here and nowhere else, by the table of `lifecycle`."""

import asyncio
import contextlib
from collections.abc import Callable

from podium.coordinator.lifecycle import Status, Trigger, after


class Standing:
    """Of one instance: its status, and why it has that, where there is something to say. `changed` is set at the next change."""

    def __init__(self, status: Status, reason: str | None) -> None:
        self.status = status
        self.reason = reason
        self.changed = asyncio.Event()

    def move(self, trigger: Trigger) -> None:
        """Go on; ValueError for a step the table does not have."""
        self.status = after(self.status, trigger)
        self.tell()

    def break_down(self, reason: str) -> None:
        """An error of ours: wherever it was, it has failed."""
        self.status, self.reason = Status.FAILED, reason
        self.tell()

    def tell(self) -> None:
        """Something beside the status has changed that is waited for."""
        changed, self.changed = self.changed, asyncio.Event()
        changed.set()

    async def until(self, condition: Callable[[], bool], wait_s: float) -> None:
        """Return once `condition` holds, which is looked at when the status changes, or after `wait_s` seconds."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(wait_s):
                while not condition():
                    await self.changed.wait()
