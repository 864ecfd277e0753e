"""A double to talk to, and retries that do not dawdle."""

from collections.abc import AsyncIterator, Iterator

import pytest

from podium.client import AsyncPodium
from tests.support.gateway_double import KEY, GatewayDouble, running_double


@pytest.fixture(autouse=True)
def quick_retries(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("podium.client.retry.FIRST_S", 0.001)


@pytest.fixture
def double() -> Iterator[GatewayDouble]:
    with running_double() as double:
        yield double


@pytest.fixture
async def podium(double: GatewayDouble) -> AsyncIterator[AsyncPodium]:
    async with AsyncPodium(double.url, KEY, retry_for_s=1, resume_for_s=1) as podium:
        yield podium
