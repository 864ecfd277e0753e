"""A process dies at the point it was told to, at the time it was told to, and nowhere else."""

import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from podium.crashpoint import POINTS, VARIABLE, Plan, read_plan

SOURCE = Path(__file__).parents[2] / "src" / "podium"
PASSES = """
import os
from podium.crashpoint import arm, crash_point
arm(os.environ)
for _ in range(3):
    crash_point("begun")
    crash_point("ended")
    print("passed")
"""


def run(plan: str) -> tuple[int, int]:
    """The exit code of a process that passes its points three times, and how often it came past both."""
    done = subprocess.run(
        [sys.executable, "-u", "-c", PASSES], env=os.environ | {VARIABLE: plan}, capture_output=True, text=True, check=False
    )
    return done.returncode, done.stdout.count("passed")


def test_it_dies_at_the_named_pass() -> None:
    assert run("ended:2") == (-signal.SIGKILL, 1)
    assert run("begun:3:TERM") == (-signal.SIGTERM, 2)


def test_it_lives_where_nothing_is_said_or_the_point_is_not_passed() -> None:
    assert run("") == (0, 3)
    assert run("parked:1") == (0, 3)
    assert run("begun:4") == (0, 3)


def test_a_file_holds_one_line_for_each_start(tmp_path: Path) -> None:
    path = tmp_path / "plan"
    path.write_text("begun:1\nended:3\n")
    assert [run(f"@{path}")[0] for _ in range(3)] == [-signal.SIGKILL, -signal.SIGKILL, 0]


def test_plans() -> None:
    assert read_plan("grouped:12:SIGSTOP") == Plan("grouped", 12, signal.SIGSTOP)
    assert read_plan("@/nowhere/at/all") is None


@pytest.mark.parametrize("text", ["begun", "begun:0", "begun:x", "nowhere:1", ":1", "begun:-1"])
def test_a_plan_that_can_never_come_true_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="names no crash point"):
        read_plan(text)


def test_each_point_is_somewhere_and_has_a_name_that_is_known() -> None:
    used = re.findall(r'crash_point\("([a-z-]+)"\)', "".join(path.read_text() for path in SOURCE.rglob("*.py")))
    assert set(used) == POINTS
