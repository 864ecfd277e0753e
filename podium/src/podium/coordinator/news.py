"""What rouses the driver of an instance: that an entry came, or that there is something else to look at."""

import asyncio
import contextlib


class News:
    """Of one instance. Whoever looks clears first, so that nothing that comes meanwhile is missed."""

    def __init__(self) -> None:
        self.any = asyncio.Event()
        self.entry = asyncio.Event()

    def entry_came(self) -> None:
        """There may be something to do."""
        self.entry.set()
        self.any.set()

    async def within(self, timeout_s: float | None) -> bool:
        """Whether there was any within `timeout_s`."""
        try:
            async with asyncio.timeout(timeout_s):
                await self.any.wait()
        except TimeoutError:
            return False
        return True

    async def pause(self, pause_s: float) -> None:
        """Wait that long, or until an entry comes."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(pause_s):
                await self.entry.wait()
