"""Schemathesis over the platform's own `/openapi.json`: data that fits and data that does not, every check it has."""

import os
import secrets
from pathlib import Path

import pytest

from podium.client import AsyncPodium
from tests.support.api_tests import run
from tests.support.platform import EXAMPLES, Platform, deploy

EXAMPLES_PER_OPERATION = int(os.environ.get("N", "25"))


@pytest.mark.asyncio(loop_scope="module")
@pytest.mark.timeout(60 + EXAMPLES_PER_OPERATION * 10)
async def test_the_api_is_as_it_is_described(platform: Platform, client: AsyncPodium, tmp_path: Path) -> None:
    """`make test-api N=500` makes more requests; the seed that is printed makes the same ones again."""
    await deploy(client, EXAMPLES / "counter", tmp_path)
    seed = os.environ.get("SEED", str(secrets.randbelow(2**32)))
    arguments = ("--max-examples", str(EXAMPLES_PER_OPERATION), "--seed", seed, "--continue-on-failure")
    code, output = await run(platform, tmp_path, *arguments)
    assert code == 0, f"SEED={seed}\n{output[:20_000]}\n{platform.output[-5_000:]}"
    assert "internal error" not in platform.output
