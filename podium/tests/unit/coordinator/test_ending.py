"""How a process ended says what becomes of the attempt it was at."""

import pytest

from podium.coordinator.ending import ALONE, describe, process_ended
from podium.launcher.port import Exit
from podium.state.port import COUNTED


@pytest.mark.parametrize(
    ("exit", "killed", "outcome", "code"),
    [
        (Exit(code=1), None, "exit", "agent_exited"),
        (Exit(code=0), None, "exit", "agent_exited"),
        (Exit(signal=11), None, "exit", "agent_exited"),
        (Exit(signal=9), None, "exit", "agent_exited"),
        (Exit(signal=9, oom=True), None, "oom", "out_of_memory"),
        (Exit(), None, "interrupted", "interrupted"),
        (Exit(code=ALONE), None, "interrupted", "interrupted"),
        (Exit(signal=9), "the coordinator stopped", "interrupted", "interrupted"),
    ],
)
def test_outcomes(exit: Exit, killed: str | None, outcome: str, code: str) -> None:
    failed = process_ended(exit, killed)
    assert (failed.outcome, failed.code) == (outcome, code)
    assert (failed.outcome in COUNTED) == (outcome != "interrupted")


@pytest.mark.parametrize(
    ("exit", "killed", "said"),
    [
        (Exit(code=3), None, "the agent's process exited with code 3"),
        (Exit(code=3), "it took too long", "the agent's process exited with code 3"),
        (Exit(signal=11), None, "the agent's process was killed by signal 11"),
        (Exit(signal=9), "it took too long", "the platform ended the agent's process: it took too long"),
        (Exit(signal=9, oom=True), None, "the agent's process was killed because memory ran out"),
        (Exit(code=ALONE), None, "the agent's process ended itself, as no coordinator answered it (code 75)"),
        (Exit(), None, "the agent's process ended with its launcher or host"),
    ],
)
def test_it_is_said_for_people(exit: Exit, killed: str | None, said: str) -> None:
    assert describe(exit, killed) == said
