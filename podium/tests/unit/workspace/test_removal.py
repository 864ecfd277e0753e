import errno
import os
import stat
from pathlib import Path

import pytest

from podium.workspace import removal
from podium.workspace.removal import BATCH, remove_tree
from tests.support.rights import folder_of_nobody, nobody


def test_nothing_happens_where_there_is_nothing(tmp_path: Path) -> None:
    remove_tree(tmp_path / "nope")


def test_directories_closed_to_everybody_are_removed_without_roots_rights() -> None:
    with folder_of_nobody() as folder, nobody():
        (folder / "root/a/b/c").mkdir(parents=True)
        (folder / "root/a/b/f").write_text("1")
        for path in ("root/a/b/c", "root/a/b", "root/a", "root"):
            (folder / path).chmod(0)
        remove_tree(folder / "root")
        assert list(folder.iterdir()) == []


def test_more_entries_than_one_batch(tmp_path: Path) -> None:
    (tmp_path / "root/d").mkdir(parents=True)
    for number in range(BATCH + 10):
        os.mknod(tmp_path / f"root/f{number}", stat.S_IFREG)
        os.mknod(tmp_path / f"root/d/f{number}", stat.S_IFREG)
    remove_tree(tmp_path / "root")
    assert list(tmp_path.iterdir()) == []


def test_special_files_go_and_linked_ones_stay(tmp_path: Path) -> None:
    (tmp_path / "root/d").mkdir(parents=True)
    (tmp_path / "outside").write_text("1")
    (tmp_path / "root/d/hard").hardlink_to(tmp_path / "outside")
    (tmp_path / "root/d/soft").symlink_to(tmp_path)
    os.mkfifo(tmp_path / "root/d/fifo")
    remove_tree(tmp_path / "root")
    assert [path.name for path in tmp_path.iterdir()] == ["outside"]


def test_a_link_in_place_of_the_tree_is_refused(tmp_path: Path) -> None:
    (tmp_path / "precious").mkdir()
    (tmp_path / "root").symlink_to("precious")
    with pytest.raises(NotADirectoryError):
        remove_tree(tmp_path / "root")
    assert (tmp_path / "precious").exists()


def test_a_directory_swapped_for_a_link_does_not_lead_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "precious").mkdir()
    (tmp_path / "precious/f").write_text("1")
    (tmp_path / "root/d").mkdir(parents=True)
    unlink, root = os.unlink, tmp_path / "root"

    def unlink_then_swap(name: str, *, dir_fd: int) -> None:
        """The attacker strikes between our finding a directory and our opening it, once."""
        try:
            unlink(name, dir_fd=dir_fd)
        except IsADirectoryError:
            (root / name).rmdir()
            (root / name).symlink_to(tmp_path / "precious")
            raise

    monkeypatch.setattr(os, "unlink", unlink_then_swap)
    remove_tree(root)
    assert (tmp_path / "precious/f").exists()
    assert not root.exists()


def test_a_tree_that_never_gets_empty_is_given_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "root/d").mkdir(parents=True)

    def not_empty(name: str, *, dir_fd: int) -> None:
        raise OSError(errno.ENOTEMPTY, "not empty", name)

    monkeypatch.setattr(removal.os, "rmdir", not_empty)
    with pytest.raises(OSError, match="still writes"):
        remove_tree(tmp_path / "root")


def test_a_removal_broken_off_is_run_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "root/a/b/c/d").mkdir(parents=True)
    rename = os.rename
    left = [2]

    def break_off(source: str, target: str, *, src_dir_fd: int, dst_dir_fd: int) -> None:
        left[0] -= 1
        if left[0] == 0:
            raise OSError(errno.EIO, "the disk has gone")
        rename(source, target, src_dir_fd=src_dir_fd, dst_dir_fd=dst_dir_fd)

    monkeypatch.setattr(os, "rename", break_off)
    with pytest.raises(OSError, match="the disk has gone"):
        remove_tree(tmp_path / "root")
    remove_tree(tmp_path / "root")
    assert list(tmp_path.iterdir()) == []
