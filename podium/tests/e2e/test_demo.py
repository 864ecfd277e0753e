"""`make demo` as a user runs it: it succeeds, on busy ports too, and whatever happens it leaves nothing behind."""

import contextlib
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import psutil
import pytest

from tests.support.platform import EXAMPLES

DEADLINE_S = 110
PODIUM = Path(sys.executable).with_name("podium")


class Run:
    """A demo whose temporary files lie in `place`."""

    def __init__(self, place: Path, **env: str) -> None:
        self.place = place
        kept = {name: value for name, value in os.environ.items() if name not in ("NO_COLOR", "FORCE_COLOR")}
        self.process = subprocess.Popen(
            [sys.executable, EXAMPLES / "demo.py"], env=kept | {"TMPDIR": str(place)} | env, stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT, text=True,
        )  # fmt: skip
        self.output = ""

    def until(self, text: str) -> None:
        """Read what it prints up to a line that has `text`."""
        assert self.process.stdout
        for line in self.process.stdout:
            self.output += line
            if text in line:
                return
        raise AssertionError(f"{text!r} did not come:\n{self.output}")

    def end(self) -> int:
        """The exit code, once all is printed."""
        self.output += self.process.communicate(timeout=DEADLINE_S)[0]
        return self.process.returncode

    def assert_nothing_is_left(self) -> None:
        assert [path.name for path in self.place.iterdir()] == []
        assert [process for process in psutil.process_iter() if self._is_ours(process)] == []

    def _is_ours(self, process: psutil.Process) -> bool:
        try:
            words = [*process.cmdline(), *process.environ().values()]
        except psutil.Error:
            return False
        return any(f"{self.place}/" in word for word in words)


@pytest.fixture
def place() -> Iterator[Path]:
    """A directory that agents, who are users of their own, can reach."""
    with TemporaryDirectory(prefix="podium-test-") as name:
        Path(name).chmod(0o711)
        yield Path(name)


@pytest.fixture
def busy_ports() -> Iterator[None]:
    with contextlib.ExitStack() as stack:
        for port in (8090, 9090):
            taken = stack.enter_context(socket.socket())
            taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            with contextlib.suppress(OSError):  # somebody else has it: busy all the same
                taken.bind(("127.0.0.1", port))
                taken.listen()
        yield


def test_it_succeeds_and_leaves_nothing(place: Path) -> None:
    run = Run(place, PODIUM_URL="http://127.0.0.1:1", PODIUM_CONTEXT=str(place.parent / "not-to-be-written"))
    assert run.end() == 0, run.output
    assert "kill → next attempt" in run.output
    assert "\x1b" not in run.output
    assert not (place.parent / "not-to-be-written").exists()
    run.assert_nothing_is_left()


@pytest.mark.usefixtures("busy_ports")
def test_it_takes_other_ports_where_those_are_busy(place: Path) -> None:
    run = Run(place, FORCE_COLOR="1")
    assert run.end() == 0, run.output
    assert ":8090" not in run.output
    assert "--gateway-port 0" in run.output
    assert "\x1b[1m" in run.output
    run.assert_nothing_is_left()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_stopped_in_the_middle_it_leaves_nothing(place: Path, number: int) -> None:
    run = Run(place)
    run.until("add buy oats")
    run.process.send_signal(number)
    assert run.end() == 130, run.output
    assert "Traceback" not in run.output
    run.assert_nothing_is_left()


def test_a_surprise_fails_it_and_leaves_nothing(place: Path) -> None:
    run = Run(place)
    run.until("export")
    (context,) = place.glob("*/context.json")
    subprocess.run([PODIUM, "instances", "delete", "demo"], env={"PODIUM_CONTEXT": str(context)}, check=True, capture_output=True)
    assert run.end() == 1, run.output
    assert "The demo failed" in run.output
    assert "Traceback" not in run.output
    run.assert_nothing_is_left()
