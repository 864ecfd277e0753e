import os
import shutil
import sys
from pathlib import Path

import pytest

from podium.deployments import interpreter as module
from podium.deployments.interpreter import DEBIAN_PYTHON, NoInterpreter, choose_interpreter

needs_root = pytest.mark.skipif(os.getuid() != 0, reason="only root can run as another uid")


def script(path: Path, body: str) -> str:
    path.write_text(f"#!/bin/sh\n{body}\n")
    path.chmod(0o755)
    return str(path)


def test_the_first_that_works(build_uid: int | None) -> None:
    found = choose_interpreter(None, build_uid)
    assert found.version >= (3, 11, 0)
    assert choose_interpreter(found.path, build_uid) == found


def test_a_configured_one_is_preferred(data: Path, build_uid: int | None) -> None:
    own = data / "python"
    own.symlink_to(choose_interpreter(None, build_uid).path)
    assert choose_interpreter(str(own), build_uid).path == str(own)


@needs_root
def test_a_private_one_is_passed_over(tmp_path: Path, build_uid: int) -> None:
    tmp_path.chmod(0o700)
    private = tmp_path / "python"
    shutil.copy(Path(sys.executable).resolve(), private)
    assert choose_interpreter(str(private), build_uid).path != str(private)


def test_none_lists_every_candidate(data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "DEBIAN_PYTHON", script(data / "old", "echo cpython 3 9 2"))
    monkeypatch.setattr(sys, "_base_executable", script(data / "own", "echo it is broken >&2; exit 3"))
    with pytest.raises(NoInterpreter) as none:
        choose_interpreter(script(data / "other", "echo pypy 3 11 2"), None)
    said = str(none.value)
    assert f"{data}/other (AGENT_PYTHON): it is not CPython" in said
    assert f"{data}/old (Debian's): it is Python 3.9; agents need 3.11 or newer" in said
    assert f"{data}/own (Podium's own): it is broken" in said
    with pytest.raises(NoInterpreter, match="not an absolute path"):
        choose_interpreter("python3", None)
    with pytest.raises(NoInterpreter, match="No such file"):
        choose_interpreter("/nowhere/python3", None)
    assert DEBIAN_PYTHON == "/usr/bin/python3.11"
