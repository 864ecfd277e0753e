"""Fixtures of tests that need a whole platform: one for all tests of a module; what a test kills comes back."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest_asyncio

from podium.client import AsyncPodium
from tests.support.platform import AGENTS, Platform, deploy, running_platform


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def platform() -> AsyncIterator[Platform]:
    async with running_platform() as running:
        yield running


@pytest_asyncio.fixture(loop_scope="module")
async def client(platform: Platform) -> AsyncIterator[AsyncPodium]:
    async with platform.client() as opened:
        yield opened


@pytest_asyncio.fixture(loop_scope="module")
async def agent(client: AsyncPodium, tmp_path: Path) -> AsyncIterator[str]:
    """An instance of the probe."""
    deployment = await deploy(client, AGENTS / "probe", tmp_path)
    instance = await client.create(deployment)
    yield instance.instance_id
    await client.delete(instance.instance_id)
