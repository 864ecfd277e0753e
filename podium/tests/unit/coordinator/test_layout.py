"""Where things lie, and who may enter."""

import os
import stat
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from podium.coordinator.layout import MAX_SOCKET_PATH_BYTES, DataDirectory, unsearchable_parent
from tests.support.launchers import needs_root
from tests.support.rights import NOBODY


@pytest.fixture
def short() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="podium-") as directory:
        yield Path(directory)


@pytest.fixture
def far(short: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A data directory so deep that sockets do not fit below it; temporary files go to `short`."""
    monkeypatch.setattr(tempfile, "tempdir", str(short))
    return short / ("deep" * 30) / "data"


def mode(path: Path) -> int:
    return stat.S_IMODE(path.lstat().st_mode)


def test_agents_may_search_the_way_to_their_workspace_and_no_further(short: Path) -> None:
    data = DataDirectory(short / "data")
    data.prepare()
    instance = data.instance("agent_1")
    instance.prepare()
    for path in (data.root, data.instances, data.run, instance.root, instance.workspace.parent):
        assert mode(path) == 0o711, path
    for path in (instance.state_db.parent, instance.logs_db.parent, instance.output.parent):
        assert mode(path) == 0o700, path


def test_a_mode_that_was_widened_is_put_right(short: Path) -> None:
    data = DataDirectory(short / "data")
    data.prepare()
    instance = data.instance("agent_1")
    instance.prepare()
    data.root.chmod(0o777)
    instance.state_db.parent.chmod(0o755)
    data.prepare()
    instance.prepare()
    assert mode(data.root) == 0o711
    assert mode(instance.state_db.parent) == 0o700


def test_the_socket_lies_below_the_data_directory_where_it_fits(short: Path) -> None:
    data = DataDirectory(short / "data")
    assert data.run == short / "data" / "run"
    assert len(os.fsencode(data.instance("a" * 64).socket)) <= MAX_SOCKET_PATH_BYTES


def test_where_it_does_not_fit_it_lies_in_a_short_directory_of_our_own(far: Path, short: Path) -> None:
    data = DataDirectory(far)
    data.prepare()
    assert data.run.parent == short
    assert mode(data.run) == 0o711
    assert len(os.fsencode(data.instance("a" * 64).socket)) <= MAX_SOCKET_PATH_BYTES
    assert DataDirectory(far).run == data.run
    assert DataDirectory(far.with_name("other")).run != data.run


def test_every_instance_has_a_socket_of_its_own_and_a_link_to_it(short: Path) -> None:
    data = DataDirectory(short / "data")
    data.prepare()
    one, other = data.instance("agent_1"), data.instance("agent_2")
    one.prepare()
    one.prepare()
    assert one.socket != other.socket
    assert (one.root / "ipc.sock").readlink() == one.socket


def test_the_link_follows_a_data_directory_that_was_moved(short: Path) -> None:
    data = DataDirectory(short / "data")
    data.prepare()
    data.instance("agent_1").prepare()
    data.root.rename(short / "moved")
    moved = DataDirectory(short / "moved")
    moved.prepare()
    instance = moved.instance("agent_1")
    instance.prepare()
    assert (instance.root / "ipc.sock").readlink() == instance.socket


def test_a_link_in_the_place_of_the_run_directory_is_refused(far: Path, short: Path) -> None:
    data = DataDirectory(far)
    (short / "elsewhere").mkdir()
    data.run.symlink_to(short / "elsewhere")
    with pytest.raises(PermissionError, match="must be a directory of the user that runs the platform"):
        data.prepare()


@needs_root
def test_a_run_directory_that_somebody_else_has_made_is_refused(far: Path) -> None:
    data = DataDirectory(far)
    data.run.mkdir(mode=0o777)
    os.chown(data.run, NOBODY, NOBODY)
    with pytest.raises(PermissionError, match="must be a directory of the user that runs the platform"):
        data.prepare()
    assert data.run.stat().st_uid == NOBODY


def test_a_file_in_the_place_of_the_run_directory_is_refused(far: Path) -> None:
    data = DataDirectory(far)
    data.run.touch()
    with pytest.raises(OSError, match="exists"):
        data.prepare()


def test_one_process_has_the_directory(short: Path) -> None:
    data = DataDirectory(short)
    first = data.lock()
    with pytest.raises(BlockingIOError):
        data.lock()
    assert not os.get_inheritable(first)
    os.close(first)
    os.close(data.lock())
    assert mode(short / "lock") == 0o600


def test_a_parent_that_agents_cannot_search_is_named(short: Path) -> None:
    short.chmod(0o711)
    (short / "open" / "inner").mkdir(parents=True)
    (short / "closed" / "inner").mkdir(parents=True)
    (short / "open").chmod(0o711)
    (short / "closed").chmod(0o700)
    assert unsearchable_parent(short / "open" / "inner" / "not-yet" / "data") is None
    assert unsearchable_parent(short / "closed" / "inner" / "data") == (short / "closed").resolve()
    (short / "open" / "way").symlink_to(short / "closed")
    assert unsearchable_parent(short / "open" / "way" / "data") == (short / "closed").resolve()
