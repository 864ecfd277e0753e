"""The SDK: what an agent's code imports. It is loaded in every agent process, so it depends on msgspec alone and stays small."""

from podium.agent.base import BaseAgent
from podium.agent.context import AgentContext

__all__ = ["AgentContext", "BaseAgent"]
