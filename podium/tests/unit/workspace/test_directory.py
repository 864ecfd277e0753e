import os
import stat
from pathlib import Path

import pytest

from podium.protocol.errors import Conflict, NotAFile, NotFound
from podium.workspace.directory import DirectoryWorkspace
from tests.support.rights import folder_of_nobody, nobody

AGENT, OTHER = 61_001, 61_002

only_root = pytest.mark.skipif(os.geteuid() != 0, reason="needs root: gives files to other uids")


def test_it_is_not_versioned(tmp_path: Path) -> None:
    workspace = DirectoryWorkspace(tmp_path / "w", None)
    assert not workspace.versioned
    assert workspace.commit() is None


@only_root
def test_the_agent_owns_the_root_and_can_reach_it(tmp_path: Path) -> None:
    umask = os.umask(0o077)
    try:
        root = DirectoryWorkspace(tmp_path / "a/b/w", AGENT).mount()
    finally:
        os.umask(umask)
    status = root.stat()
    assert (status.st_uid, status.st_gid, stat.S_IMODE(status.st_mode)) == (AGENT, AGENT, 0o700)
    assert [stat.S_IMODE((tmp_path / path).stat().st_mode) for path in ("a", "a/b")] == [0o711, 0o711]


def test_a_link_in_place_of_the_root_is_refused(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir(mode=0o755)
    (tmp_path / "w").symlink_to("elsewhere")
    with pytest.raises(NotADirectoryError):
        DirectoryWorkspace(tmp_path / "w", None).mount()
    assert stat.S_IMODE((tmp_path / "elsewhere").stat().st_mode) == 0o755


@only_root
def test_only_files_of_the_agent_are_handed_out(tmp_path: Path) -> None:
    """A hard link to a file it cannot read is all an agent needs where the kernel does not protect them."""
    root = DirectoryWorkspace(tmp_path / "w", AGENT).mount()
    (tmp_path / "key").write_text("of the platform")
    (root / "stolen").hardlink_to(tmp_path / "key")
    (root / "own").write_text("1")
    os.chown(root / "own", AGENT, AGENT)
    with pytest.raises(NotAFile, match="does not belong"):
        DirectoryWorkspace(root, AGENT).open("stolen")
    DirectoryWorkspace(root, AGENT).open("own").file.close()
    with pytest.raises(NotAFile):
        DirectoryWorkspace(root, OTHER).open("own")


def test_a_file_closed_to_us_says_so() -> None:
    with folder_of_nobody() as folder, nobody():
        workspace = DirectoryWorkspace(folder / "w", None)
        root = workspace.mount()
        (root / "d").mkdir(mode=0)
        (root / "f").touch(mode=0)
        for call in (lambda: workspace.open("f"), lambda: workspace.open("d/f"), lambda: workspace.list("d", 1)):
            with pytest.raises(Conflict, match="permissions"):
                call()
        assert [entry.path for entry in workspace.list("", 3)] == ["d", "f"]


def test_no_descriptor_is_left_open(tmp_path: Path) -> None:
    workspace = DirectoryWorkspace(tmp_path / "w", None)
    root = workspace.mount()
    (root / "d/e").mkdir(parents=True)
    before = sorted(os.listdir("/proc/self/fd"))
    for _ in range(3):
        list(workspace.list("", 3))
        for path in ("nope", "d", "d/e/f"):
            with pytest.raises((NotFound, NotAFile)):
                workspace.open(path)
    assert sorted(os.listdir("/proc/self/fd")) == before
