"""A platform of the demo's own, and that nothing of it is left."""

import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from demo.screen import Surprise
from podium.config.settings import rows
from podium.coordinator.layout import unsearchable_parent
from podium.supervisor.prctl import die_with_parent

PODIUM = Path(sys.executable).with_name("podium")
PORTS = (8090, 9090)
STOP_S = 30.0


@contextmanager
def running_platform(folder: Path) -> Iterator[str]:
    """`podium up` with its data in `folder`; its URL. Ended in any case. Surprise where it does not start."""
    for ports in (map(free_or_any, PORTS), (0, 0)):  # a port may be taken between the look and the start
        with started(folder, *ports) as process:
            assert process.stdout is not None
            if line := process.stdout.readline():
                yield json.loads(line)["ready"]
                return
    raise Surprise("the platform does not start")


@contextmanager
def started(folder: Path, gateway_port: int, coordinator_port: int) -> Iterator[subprocess.Popen[bytes]]:
    """A `podium up` on these ports, which ends with the block. It knows of no other platform of this user."""
    settings = {setting.name for _, setting in rows()} - {"AGENT_PYTHON"}
    env = {name: value for name, value in os.environ.items() if name not in settings and not name.startswith("PODIUM_")}
    env |= {"PODIUM_CONTEXT": str(folder / "context.json"), "LOG_FORMAT": "console"}
    ports = ("--gateway-port", str(gateway_port), "--coordinator-port", str(coordinator_port))
    own_pid = os.getpid()
    heed_signals()
    with (folder / "platform.log").open("ab") as log:
        process = subprocess.Popen(  # noqa: S603 - our own program
            [PODIUM, "up", "--json", "--data", folder / "data", *ports], env=env, stdout=subprocess.PIPE, stderr=log,
            process_group=0, preexec_fn=lambda: die_with_parent(own_pid, signal.SIGTERM),
        )  # fmt: skip
    try:
        yield process
    finally:
        ignore_signals()
        end(process)


def end(process: subprocess.Popen[bytes]) -> None:
    """Ask a process to end, then make it."""
    process.terminate()
    try:
        process.wait(STOP_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def heed_signals() -> None:
    """Ctrl-C, and what a terminal or a supervisor sends, becomes KeyboardInterrupt."""
    signal.signal(signal.SIGINT, signal.default_int_handler)
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda *_: signal.raise_signal(signal.SIGINT))


def ignore_signals() -> None:
    """Nothing interrupts the tidying up."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)


def free_or_any(port: int) -> int:
    """The port, or 0 (any) where it is taken."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return 0
    return port


@contextmanager
def fresh_folder() -> Iterator[Path]:
    """A new directory that agents, who are users of their own, can reach."""
    choices = [Path(tempfile.gettempdir()), Path("/tmp"), Path("/var/tmp")]  # noqa: S108 - only as a parent
    parent = next((path for path in choices if os.getuid() or unsearchable_parent(path / "x") is None), choices[0])
    with tempfile.TemporaryDirectory(prefix="podium-demo-", dir=parent) as name:
        folder = Path(name).resolve()
        folder.chmod(0o711)
        yield folder
