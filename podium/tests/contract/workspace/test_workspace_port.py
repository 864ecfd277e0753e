"""What every workspace keeps, whatever the agent that writes to it does. Chronicle joins by another fixture parameter."""

import fcntl
import os
import signal
import socket
import stat
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from podium.protocol.errors import Conflict, InvalidRequest, NotAFile, NotFound, TooLarge
from podium.workspace.directory import DirectoryWorkspace
from podium.workspace.listing import MAX_DEPTH, MAX_ENTRIES
from podium.workspace.port import Workspace

SECRET = "of the platform"

only_root = pytest.mark.skipif(os.geteuid() != 0, reason="needs root: the rule is about files of other uids")


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    return DirectoryWorkspace(tmp_path / "instances/agent_1/mount", None)


@pytest.fixture
def root(workspace: Workspace) -> Path:
    return workspace.mount()


@pytest.fixture
def secret(tmp_path: Path) -> Path:
    (tmp_path / "secret").write_text(SECRET)
    return tmp_path / "secret"


def paths(workspace: Workspace, path: str = "", depth: int = MAX_DEPTH) -> list[str]:
    return [entry.path for entry in workspace.list(path, depth)]


def content(workspace: Workspace, path: str) -> bytes:
    with workspace.open(path).file as file:
        return file.read()


# ---- mount, commit, delete


def test_mount_is_idempotent_and_keeps_what_is_there(workspace: Workspace) -> None:
    root = workspace.mount()
    (root / "f").write_text("1")
    root.chmod(0)
    assert workspace.mount() == root
    assert stat.S_IMODE(root.stat().st_mode) == 0o700
    assert (root / "f").read_text() == "1"


def test_unmount_is_idempotent_and_loses_nothing(workspace: Workspace, root: Path) -> None:
    (root / "f").write_text("1")
    workspace.unmount()
    workspace.unmount()
    assert (workspace.mount() / "f").read_text() == "1"


def test_versions_come_from_versioned_workspaces_only(workspace: Workspace, root: Path) -> None:
    (root / "f").write_text("1")
    version = workspace.commit()
    assert (version is not None) == workspace.versioned
    workspace.restore(version)
    assert (root / "f").read_text() == "1"


def test_delete_removes_everything_and_may_be_repeated(workspace: Workspace, root: Path) -> None:
    (root / "a/b").mkdir(parents=True)
    (root / "a/b/f").write_text("1")
    workspace.unmount()
    workspace.delete()
    workspace.delete()
    assert not root.exists()
    assert list(workspace.mount().iterdir()) == []


def test_delete_follows_no_link(workspace: Workspace, root: Path, secret: Path) -> None:
    (root / "d").mkdir()
    (root / "d/up").symlink_to(secret.parent)
    (root / "file").symlink_to(secret)
    workspace.delete()
    assert secret.read_text() == SECRET


# ---- list


def test_entries_come_parents_first_in_order_of_their_bytes(workspace: Workspace, root: Path) -> None:
    (root / "b/c").mkdir(parents=True)
    for name in ("b/c/f", "b/a", "a", "Z"):
        (root / name).write_text(name)
    assert paths(workspace) == ["Z", "a", "b", "b/a", "b/c", "b/c/f"]
    assert paths(workspace, depth=1) == ["Z", "a", "b"]
    assert paths(workspace, "b") == paths(workspace, "./b//") == ["b/a", "b/c", "b/c/f"]


def test_an_entry_says_kind_size_and_time(workspace: Workspace, root: Path) -> None:
    (root / "d").mkdir()
    (root / "f").write_text("12345")
    os.utime(root / "f", ns=(1, 1_700_000_000_123_456_789))
    (root / "l").symlink_to("f")
    os.mkfifo(root / "p")
    with socket.socket(socket.AF_UNIX) as bound, pytest.MonkeyPatch.context() as patch:
        patch.chdir(root)
        bound.bind("s")
    listed = {entry.path: entry for entry in workspace.list("", 1)}
    assert {path: entry.kind for path, entry in listed.items()} == {
        "d": "directory", "f": "file", "l": "symlink", "p": "other", "s": "other",
    }  # fmt: skip
    assert listed["f"].size_bytes == 5
    assert listed["f"].modified_ns == 1_700_000_000_123_456_789


def test_names_that_are_no_text_survive(workspace: Workspace, root: Path) -> None:
    name = b"caf\xe9\n\x1b[31m"
    Path(os.fsdecode(os.fsencode(root) + b"/" + name)).write_text("1")
    [path] = paths(workspace)
    assert os.fsencode(path) == name
    assert content(workspace, path) == b"1"


@pytest.mark.parametrize("path", ["nope", "f", "f/x", "link", "link/x", "x" * 300, "x/" * 100 + "y"])
def test_what_is_no_directory_is_not_found(workspace: Workspace, root: Path, path: str) -> None:
    (root / "f").write_text("1")
    (root / "d/x").mkdir(parents=True)
    (root / "link").symlink_to("d")
    with pytest.raises(NotFound):
        workspace.list(path, 1)


def test_links_are_listed_and_never_entered(workspace: Workspace, root: Path, secret: Path) -> None:
    (root / "out").symlink_to(secret.parent)
    (root / "loop").symlink_to(".")
    assert paths(workspace) == ["loop", "out"]


@pytest.mark.parametrize("depth", [0, -1, MAX_DEPTH + 1])
def test_depth_is_limited(workspace: Workspace, root: Path, depth: int) -> None:
    with pytest.raises(InvalidRequest):
        workspace.list("", depth)


def test_too_many_entries_are_refused_naming_the_limit(workspace: Workspace, root: Path) -> None:
    for number in range(MAX_ENTRIES):
        os.mknod(root / str(number), stat.S_IFREG)
    assert len(paths(workspace)) == MAX_ENTRIES
    os.mknod(root / "one more", stat.S_IFREG)
    with pytest.raises(TooLarge, match=str(MAX_ENTRIES)):
        workspace.list("", 1)


def test_a_listing_never_leaves_while_a_directory_is_swapped_for_a_link(workspace: Workspace, root: Path, secret: Path) -> None:
    (root / "d").mkdir()
    (root / "d/inside").touch()
    (root / "link").symlink_to(secret.parent)
    done = threading.Event()

    def swap() -> None:
        while not done.is_set():
            for source, target in (("d", "t"), ("link", "d"), ("d", "link"), ("t", "d")):
                (root / source).rename(root / target)

    attacker = threading.Thread(target=swap)
    attacker.start()
    try:
        for _ in range(500):
            assert not [path for path in paths(workspace) if "secret" in path or "instances" in path]
            for path in ("d/secret", "link/secret"):
                with pytest.raises((NotFound, NotAFile)):
                    workspace.open(path)
    finally:
        done.set()
        attacker.join()


# ---- open


def test_a_file_is_opened_with_size_and_tag(workspace: Workspace, root: Path) -> None:
    (root / "d").mkdir()
    (root / "d/f").write_bytes(b"12345")
    opened = workspace.open("d/f")
    with opened.file as file:
        assert (file.read(), opened.size_bytes) == (b"12345", 5)


def test_the_tag_stays_while_the_file_does_and_changes_with_it(workspace: Workspace, root: Path) -> None:
    def tag() -> str:
        opened = workspace.open("f")
        opened.file.close()
        return opened.etag

    (root / "f").write_text("1")
    first = tag()
    assert tag() == first
    (root / "f").write_text("22")
    second = tag()
    (root / "g").write_text("33")
    (root / "g").rename(root / "f")
    assert len({first, second, tag()}) == 3


def test_an_open_file_stays_whole_when_it_is_replaced_or_removed(workspace: Workspace, root: Path) -> None:
    (root / "f").write_text("old")
    opened = workspace.open("f")
    (root / "g").write_text("new")
    (root / "g").rename(root / "f")
    with opened.file as file:
        assert file.read() == b"old"


@pytest.mark.parametrize("path", ["nope", "f/x", "x" * 300, "d/nope", "link/f", "out/secret"])
def test_what_is_not_there_is_not_found(workspace: Workspace, root: Path, secret: Path, path: str) -> None:
    (root / "f").write_text("1")
    (root / "d").mkdir()
    (root / "d/f").write_text("1")
    (root / "link").symlink_to("d")
    (root / "out").symlink_to(secret.parent)
    with pytest.raises(NotFound):
        workspace.open(path)


@pytest.mark.parametrize("path", ["", ".", "d", "passwd", "inner", "dangling", "self", "fifo", "socket"])
def test_what_is_no_regular_file_is_refused_at_once(workspace: Workspace, root: Path, path: str) -> None:
    (root / "d").mkdir()
    (root / "f").write_text("1")
    for name, target in (("passwd", "/etc/passwd"), ("inner", "f"), ("dangling", "nope"), ("self", "/proc/self/environ")):
        (root / name).symlink_to(target)
    os.mkfifo(root / "fifo")
    with socket.socket(socket.AF_UNIX) as bound, pytest.MonkeyPatch.context() as patch:
        patch.chdir(root)
        bound.bind("socket")
    with pytest.raises(NotAFile):
        workspace.open(path)


@only_root
def test_a_device_is_refused_without_being_opened(workspace: Workspace, root: Path) -> None:
    os.mknod(root / "null", stat.S_IFCHR | 0o666, os.makedev(1, 3))
    os.mknod(root / "nothing", stat.S_IFCHR | 0o666, os.makedev(240, 99))  # opening it would be ENXIO
    for path in ("null", "nothing"):
        with pytest.raises(NotAFile):
            workspace.open(path)


@pytest.mark.parametrize(
    "path", ["..", "../secret", "d/../../secret", "d/..", "/etc/passwd", "//etc", "f\0", "\ud800", "x/" * 3000]
)
def test_paths_that_could_lead_out_are_refused(workspace: Workspace, root: Path, secret: Path, path: str) -> None:
    (root / "d").mkdir()
    for call in (lambda: workspace.open(path), lambda: workspace.list(path, 1)):
        with pytest.raises(InvalidRequest):
            call()


def test_a_fifo_in_use_is_left_alone(workspace: Workspace, root: Path) -> None:
    """Opening it for reading would let the writer's open return."""
    os.mkfifo(root / "fifo")
    with pytest.raises(NotAFile):
        workspace.open("fifo")
    with pytest.raises(OSError, match="No such device or address"):
        os.open(root / "fifo", os.O_WRONLY | os.O_NONBLOCK)


def test_a_lease_cannot_hold_us_up(workspace: Workspace, root: Path) -> None:
    (root / "f").write_text("1")
    with holding_a_lease(root / "f") as holder:
        with pytest.raises(Conflict, match="lease"):
            workspace.open("f")
        holder.kill()
        holder.wait()
    assert content(workspace, "f") == b"1"


def holding_a_lease(path: Path) -> subprocess.Popen[bytes]:
    script = (
        "import fcntl, os, signal, sys\n"
        f"signal.signal({int(signal.SIGIO)}, signal.SIG_IGN)\n"
        f"fcntl.fcntl(os.open(sys.argv[1], os.O_RDWR), {fcntl.F_SETLEASE}, {fcntl.F_WRLCK})\n"
        "os.write(1, b'held')\nsys.stdin.read()\n"
    )
    holder = subprocess.Popen([sys.executable, "-c", script, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert holder.stdout
    assert holder.stdout.read(4) == b"held"
    return holder


def test_a_very_deep_tree_is_listed_to_the_limit_and_removed(workspace: Workspace, root: Path) -> None:
    depth = 3000
    fd = os.open(root, os.O_RDONLY)
    for _ in range(depth):
        os.mkdir("d", dir_fd=fd)
        below = os.open("d", os.O_RDONLY, dir_fd=fd)
        os.close(fd)
        fd = below
    os.close(fd)
    assert len(paths(workspace)) == MAX_DEPTH
    workspace.delete()
    assert not root.exists()


# ---- putting and removing from outside


@pytest.fixture
def source(tmp_path: Path) -> Path:
    (tmp_path / "source").write_bytes(b"new")
    return tmp_path / "source"


def test_a_file_is_put_with_its_folders_and_replaced(workspace: Workspace, source: Path) -> None:
    first = workspace.put("a/b/f", source, "t1")
    assert (first.created, content(workspace, "a/b/f")) == (True, b"new")
    opened = workspace.open("a/b/f")
    opened.file.close()
    assert opened.etag == first.etag
    source.write_bytes(b"newer")
    second = workspace.put("a/b/f", source, "t2")
    assert (second.created, content(workspace, "a/b/f")) == (False, b"newer")
    assert second.etag != first.etag
    assert paths(workspace) == ["a", "a/b", "a/b/f"]


def test_before_the_first_mount_it_can_be_put_too(workspace: Workspace, source: Path) -> None:
    assert workspace.put("f", source, "t").created
    assert content(workspace, "f") == b"new"


def test_what_was_open_stays_what_it_was_and_keeps_its_mode(workspace: Workspace, root: Path, source: Path) -> None:
    (root / "run.sh").write_text("old")
    (root / "run.sh").chmod(0o750)
    with (root / "run.sh").open() as old:
        inode = (root / "run.sh").stat().st_ino
        workspace.put("run.sh", source, "t")
        assert old.read() == "old"
    assert (root / "run.sh").stat().st_ino != inode
    assert stat.S_IMODE((root / "run.sh").stat().st_mode) == 0o750


def test_a_put_that_a_crash_has_cut_short_is_taken_up_again(workspace: Workspace, root: Path, source: Path) -> None:
    (root / ".podium-upload.t").write_text("half")
    (root / "a").mkdir()
    assert workspace.put("f", source, "t").created
    assert not workspace.put("f", source, "t").created
    assert paths(workspace) == ["a", "f"]


def test_removing_is_idempotent(workspace: Workspace, source: Path) -> None:
    workspace.put("a/f", source, "t")
    assert [workspace.remove("a/f"), workspace.remove("a/f"), workspace.remove("no/such/f")] == [True, False, False]
    assert paths(workspace) == ["a"]


def test_no_link_is_followed_and_nothing_but_files_is_touched(
    workspace: Workspace, root: Path, source: Path, secret: Path
) -> None:
    (root / "link").symlink_to(secret)
    (root / "out").symlink_to(secret.parent)
    (root / "folder").mkdir()
    os.mkfifo(root / "fifo")
    (root / "plain").write_text("1")
    for path in ("link", "folder", "fifo", "out/f", "out/a/f", "plain/f"):
        with pytest.raises(NotAFile):
            workspace.put(path, source, "t")
    for path in ("link", "folder", "fifo"):
        with pytest.raises(NotAFile):
            workspace.remove(path)
    assert secret.read_text() == SECRET
    assert sorted(child.name for child in secret.parent.iterdir()) == ["instances", "secret", "source"]
    assert not [path for path in paths(workspace) if ".podium-upload." in path]


@pytest.mark.parametrize(
    "path", ["", ".", "/f", "../f", "a/../f", "a/", "a\0b", "x" * 256, ".podium-upload.x", "a/" * 3000 + "f"]
)
def test_what_is_no_path_of_a_file_is_refused(workspace: Workspace, source: Path, path: str) -> None:
    with pytest.raises(InvalidRequest):
        workspace.put(path, source, "t")
    with pytest.raises(InvalidRequest):
        workspace.remove(path)


@only_root
def test_what_is_put_belongs_to_the_agent(tmp_path: Path, source: Path) -> None:
    workspace = DirectoryWorkspace(tmp_path / "mount", 12345)
    workspace.put("a/b/f", source, "t")
    for path in ("a", "a/b", "a/b/f"):
        status = (tmp_path / "mount" / path).lstat()
        assert (status.st_uid, status.st_gid) == (12345, 12345)
