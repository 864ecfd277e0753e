"""A real Valkey for tests, started as `podium up` starts it."""

import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from podium.cluster.embedded import embedded_argv, embedded_url

DEADLINE_S = 20.0


@contextmanager
def valkey_server(folder: Path) -> Iterator[subprocess.Popen[bytes]]:
    """A server on `valkey_url(folder)` that answers; killed at the end."""
    server = subprocess.Popen(embedded_argv(folder / "valkey.sock", folder), stdout=subprocess.DEVNULL)
    try:
        _wait_until_it_answers(folder / "valkey.sock")
        yield server
    finally:
        server.kill()
        server.wait()


def valkey_url(folder: Path) -> str:
    return embedded_url(folder / "valkey.sock")


def _wait_until_it_answers(path: Path) -> None:
    deadline = time.monotonic() + DEADLINE_S
    while not _answers(path):
        assert time.monotonic() < deadline, "Valkey does not answer"
        time.sleep(0.005)


def _answers(path: Path) -> bool:
    with socket.socket(socket.AF_UNIX) as client:
        try:
            client.connect(str(path))
        except OSError:
            return False
        client.sendall(b"PING\r\n")
        return client.recv(16) == b"+PONG\r\n"
