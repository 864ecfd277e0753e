"""The public client: `AsyncPodium` and what it returns and raises."""

from podium.client.errors import NotConfigured, Unreachable
from podium.client.podium import AsyncPodium

__all__ = ["AsyncPodium", "NotConfigured", "Unreachable"]
