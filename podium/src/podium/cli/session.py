"""One command's conversation with the platform."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

from podium.cli.options import Settings
from podium.client import AsyncPodium

T = TypeVar("T")
RETRY_FOR_S = 5.0
RESUME_FOR_S = 60.0


def connect(settings: Settings) -> AsyncPodium:
    """A client for the platform the settings name; raises NotConfigured."""
    return AsyncPodium(settings.url, settings.api_key, retry_for_s=RETRY_FOR_S, resume_for_s=RESUME_FOR_S)


def converse(settings: Settings, work: Callable[[AsyncPodium], Awaitable[T]]) -> T:
    """What `work` returns that is given a client."""

    async def conversation() -> T:
        async with connect(settings) as podium:
            return await work(podium)

    return asyncio.run(conversation())
