"""Which Python runs agents: the first that an agent's uid can really execute. Found by executing it."""

import os
import subprocess
import sys
from collections.abc import Iterator

import msgspec

DEBIAN_PYTHON = "/usr/bin/python3.11"
LEAST = (3, 11)
_TIMEOUT_S = 30.0
_PROBE = (
    "import sys; print(sys.implementation.name, *sys.version_info[:3]); "
    "import asyncio, ssl, sqlite3"
)  # fmt: skip


class Interpreter(msgspec.Struct, kw_only=True, frozen=True):
    """A CPython by its path; `version` such as (3, 11, 2)."""

    path: str
    version: tuple[int, int, int]

    @property
    def version_text(self) -> str:
        """The version as people write it."""
        return ".".join(map(str, self.version))


class NoInterpreter(Exception):
    """No interpreter can be used; the text lists each candidate with its reason."""


def choose_interpreter(configured: str | None, uid: int | None) -> Interpreter:
    """The first usable one of `configured`, Debian's and our own, executed as `uid` (None: as this process). Blocks."""
    reasons = []
    for source, path in _candidates(configured):
        try:
            return _probed(path, uid)
        except (OSError, ValueError, subprocess.SubprocessError) as error:
            reasons.append(f"{path} ({source}): {error}")
    who = "this user" if uid is None else f"uid {uid}"
    raise NoInterpreter(
        f"no Python interpreter can run agents as {who}: {'; '.join(reasons)}. "
        "Install python3.11, or set AGENT_PYTHON to one outside of private directories"
    )


def _candidates(configured: str | None) -> Iterator[tuple[str, str]]:
    if configured:
        yield "AGENT_PYTHON", configured
    yield "Debian's", DEBIAN_PYTHON
    own = os.path.realpath(getattr(sys, "_base_executable", sys.executable))
    if own != DEBIAN_PYTHON:
        yield "Podium's own", own


def _probed(path: str, uid: int | None) -> Interpreter:
    if not os.path.isabs(path):  # noqa: PTH117 - a string from the configuration
        raise ValueError("it is not an absolute path")
    done = subprocess.run(  # noqa: S603 - the interpreter is the administrator's choice
        [path, "-I", "-c", _PROBE], cwd="/", env={"PATH": "/usr/bin:/bin", "LANG": "C.UTF-8"}, stdin=subprocess.DEVNULL,
        capture_output=True, text=True, errors="replace", timeout=_TIMEOUT_S, check=False,
        user=uid, group=uid, extra_groups=None if uid is None else (),
    )  # fmt: skip
    if done.returncode != 0:
        raise ValueError((done.stderr.strip().splitlines() or [f"it ends with status {done.returncode}"])[-1][:200])
    return _understood(path, done.stdout.split())


def _understood(path: str, said: list[str]) -> Interpreter:
    if len(said) != 4 or said[0] != "cpython":
        raise ValueError("it is not CPython")
    major, minor, micro = (int(part) for part in said[1:])
    if (major, minor) < LEAST:
        raise ValueError(f"it is Python {major}.{minor}; agents need {LEAST[0]}.{LEAST[1]} or newer")
    return Interpreter(path=path, version=(major, minor, micro))
