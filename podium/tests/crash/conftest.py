"""One platform for all tests of a module; what a run of the oracle has to say stands at the end of the report."""

import pytest

from tests.crash.progress import LINES
from tests.support.fixtures import agent, client, platform

__all__ = ["agent", "client", "platform"]


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Seeds and points, whether tests passed or not."""
    for line in LINES:
        terminalreporter.write_line(line)
