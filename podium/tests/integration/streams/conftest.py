"""One platform for all tests of a module."""

from tests.support.fixtures import agent, client, platform

__all__ = ["agent", "client", "platform"]
