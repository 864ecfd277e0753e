import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from podium.deployments.interpreter import Interpreter, choose_interpreter
from tests.support.launchers import fresh_uid

BUILD_UID = fresh_uid() if os.getuid() == 0 else None


@pytest.fixture
def build_uid() -> int | None:
    """As root an unprivileged uid, else None: builds then run as the tester."""
    return BUILD_UID


@pytest.fixture
def data() -> Iterator[Path]:
    """A data directory that other uids can search, unlike pytest's own."""
    root = Path(tempfile.mkdtemp(prefix="podium-test-"))
    root.chmod(0o711)
    try:
        yield root
    finally:
        shutil.rmtree(root)


@pytest.fixture(scope="session")
def interpreter() -> Interpreter:
    """The interpreter the platform would choose."""
    return choose_interpreter(None, BUILD_UID)
