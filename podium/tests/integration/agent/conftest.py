"""How these tests start an agent."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from textwrap import dedent

import pytest

from tests.support.coordinator_double import Run, RunningAgent, running_agent

PREAMBLE = """
import asyncio
from podium.agent import BaseAgent, AgentContext
from podium.agent.models.delta_state import DeltaState
"""


@pytest.fixture
def run(tmp_path: Path) -> Run:
    """Start an agent whose module has this code; the workspace stays the same within a test."""

    @asynccontextmanager
    async def start(code: str) -> AsyncIterator[RunningAgent]:
        bundle = tmp_path / "bundle"
        bundle.mkdir(exist_ok=True)
        (bundle / "agent.py").write_text(PREAMBLE + dedent(code))
        async with running_agent(bundle, tmp_path / "workspace") as agent:
            yield agent

    return start
