"""How a process ended, and what that means for the work it was at."""

import signal

from podium.coordinator.work import Failed
from podium.launcher.port import Exit

ALONE = 75
"""The SDK's exit code where no coordinator has answered for too long."""


def process_ended(exit: Exit, killed: str | None) -> Failed:
    """How the work ended that a process was at. `killed` says why the platform ended it, where it did.

    What nobody saw, what the platform did and what came of the platform's absence does not count against the message.
    """
    message = describe(exit, killed)
    if killed or exit.code == ALONE or (exit.code is None and exit.signal is None):
        return Failed("interrupted", "interrupted", message)
    if exit.oom:
        return Failed("oom", "out_of_memory", message)
    return Failed("exit", "agent_exited", message)


def describe(exit: Exit, killed: str | None) -> str:
    """How a process ended, for people."""
    if killed and exit.signal == signal.SIGKILL:
        return f"the platform ended the agent's process: {killed}"
    if exit.oom:
        return "the agent's process was killed because memory ran out"
    if exit.signal is not None:
        return f"the agent's process was killed by signal {exit.signal}"
    if exit.code == ALONE:
        return f"the agent's process ended itself, as no coordinator answered it (code {ALONE})"
    if exit.code is not None:
        return f"the agent's process exited with code {exit.code}"
    return killed or "the agent's process ended with its launcher or host"
