"""The same tree gives the same bytes, and nothing that does not belong into a bundle gets in."""

import os
import socket
import tarfile
from pathlib import Path

import pytest

from podium.client.manifest import Manifest, parse_manifest, read_manifest
from podium.client.pack import Packed, pack
from podium.protocol.errors import InvalidBundle

MANIFEST = '[agent]\ntype = "notes"\nversion = "1.2.3"\nruntime = "python"\nentrypoint = "notes.agent:Notes"\n'
TREE = {
    "podium.toml": MANIFEST,
    "notes/__init__.py": "",
    "notes/agent.py": "class Notes: ...\n",
    "notes/ünïcödé and a very long name " + "x" * 120 + ".txt": "text",
    "tests/test_notes.py": "def test(): ...\n",
    "run.sh": "#!/bin/sh\n",
}


def grow(root: Path, *, umask: int = 0o022, mtime: int = 1_700_000_000, backwards: bool = False) -> Path:
    old = os.umask(umask)
    try:
        for name, content in sorted(TREE.items(), reverse=backwards):
            path = root / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(content)
            os.utime(path, (mtime, mtime))
        (root / "run.sh").chmod(0o777 & ~umask)
        (root / "latest").symlink_to("notes/agent.py")
    finally:
        os.umask(old)
    return root


def packed(root: Path) -> tuple[Packed, dict[str, tarfile.TarInfo]]:
    out = root.parent / f"{root.name}.tar.gz"
    result = pack(root, out)
    with tarfile.open(out) as archive:
        return result, {member.name: member for member in archive}


def test_times_umask_order_and_empty_directories_change_nothing(tmp_path: Path) -> None:
    one, two = grow(tmp_path / "one"), grow(tmp_path / "two", umask=0o077, mtime=1, backwards=True)
    (two / "empty/in/depth").mkdir(parents=True)
    (two / "notes/__pycache__").mkdir()
    (two / "notes/__pycache__/agent.cpython-311.pyc").write_bytes(b"x")
    first, second = tmp_path / "1.tar.gz", tmp_path / "another-name.tar.gz"
    pack(one, first)
    pack(two, second)
    assert first.read_bytes() == second.read_bytes()


def test_members_are_sorted_and_tell_nothing_of_this_machine(tmp_path: Path) -> None:
    result, members = packed(grow(tmp_path / "tree"))
    assert list(members) == sorted([*TREE, "latest", "notes", "tests"], key=os.fsencode)
    for member in members.values():
        assert (member.mtime, member.uid, member.gid, member.uname, member.gname) == (0, 0, 0, "", "")
    modes = {name: members[name].mode for name in ("podium.toml", "run.sh", "notes")}
    assert modes == {"podium.toml": 0o644, "run.sh": 0o755, "notes": 0o755}
    assert members["latest"].linkname == "notes/agent.py"
    assert result.manifest == Manifest("notes", "1.2.3")
    assert result.files == len(TREE) + 1
    assert result.size_bytes == (tmp_path / "tree.tar.gz").stat().st_size


def test_what_is_made_again_elsewhere_is_left_out_and_named(tmp_path: Path) -> None:
    root = grow(tmp_path / "tree")
    for name in (
        ".git/HEAD",
        ".venv/bin/python",
        "web/node_modules/a/index.js",
        "x.dist-info/METADATA",
        "notes/a.pyc",
        "web/a.js",
    ):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text("x")
    result, members = packed(root)
    assert result.left_out == [".git", ".venv", "notes/a.pyc", "web/node_modules", "x.dist-info"]
    assert "web/a.js" in members
    assert "tests/test_notes.py" in members
    assert not any(part in name for name in members for part in (".git", ".venv", "node_modules", "dist-info", ".pyc"))


@pytest.mark.parametrize("target", ["/etc/passwd", "../outside", "notes/../../outside", ".."])
def test_links_that_leave_the_root_are_refused(tmp_path: Path, target: str) -> None:
    root = grow(tmp_path / "tree")
    (root / "escape").symlink_to(target)
    with pytest.raises(InvalidBundle, match=r"link escape points to .*outside the bundle"):
        packed(root)


def test_a_link_that_leaves_by_way_of_another_is_refused(tmp_path: Path) -> None:
    root = grow(tmp_path / "tree")
    (root / "a/b").mkdir(parents=True)
    (root / "a/b/up").symlink_to("../..")
    (root / "out").symlink_to("a/b/up/../outside")
    with pytest.raises(InvalidBundle, match="outside the bundle"):
        packed(root)


def test_links_in_a_circle_are_refused(tmp_path: Path) -> None:
    root = grow(tmp_path / "tree")
    (root / "a").symlink_to("b")
    (root / "b").symlink_to("a")
    with pytest.raises(InvalidBundle, match="circle"):
        packed(root)


def test_linked_directories_are_not_followed(tmp_path: Path) -> None:
    root = grow(tmp_path / "tree")
    (root / "alias").symlink_to("notes")
    _, members = packed(root)
    assert members["alias"].issym()
    assert not any(name.startswith("alias/") for name in members)


def test_hard_links_are_files(tmp_path: Path) -> None:
    root = grow(tmp_path / "tree")
    (root / "notes/again.py").hardlink_to(root / "notes/agent.py")
    _, members = packed(root)
    assert members["notes/again.py"].isreg()
    assert members["notes/again.py"].size == members["notes/agent.py"].size


def test_special_files_are_refused(tmp_path: Path) -> None:
    root = grow(tmp_path / "tree")
    os.mkfifo(root / "pipe")
    with pytest.raises(InvalidBundle, match="pipe is neither file"):
        packed(root)
    (root / "pipe").unlink()
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(root / "socket"))
        with pytest.raises(InvalidBundle, match="socket is neither file"):
            packed(root)


def test_names_that_are_not_utf8_are_refused(tmp_path: Path) -> None:
    root = grow(tmp_path / "tree")
    Path(os.fsdecode(os.fsencode(root) + b"/bad\xff")).touch()
    with pytest.raises(InvalidBundle, match=r"bad\\xff.*not UTF-8"):
        packed(root)


def test_a_directory_without_a_manifest_says_so(tmp_path: Path) -> None:
    with pytest.raises(InvalidBundle, match=r"has no podium\.toml"):
        pack(tmp_path, tmp_path / "out.tar.gz")
    with pytest.raises(InvalidBundle, match="not a directory"):
        pack(tmp_path / "nowhere", tmp_path / "out.tar.gz")
    assert not (tmp_path / "out.tar.gz").exists()


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        ("[agent", "not valid TOML"),
        ("agent = 1", "no \\[agent\\] table"),
        ("[agent]\nversion = '1.0.0'", "agent.type"),
        ("[agent]\ntype = 'Notes'\nversion = '1.0.0'", "agent.type"),
        ("[agent]\ntype = 'notes'\nversion = '1.0'", "agent.version"),
        ("[agent]\ntype = 'notes'\nversion = 1", "agent.version"),
        (f"[agent]\ntype = 'notes'\nversion = '1.0.0-{'a' * 200}'", "longer than"),
    ],
)
def test_a_manifest_that_names_nothing_is_refused(content: str, complaint: str) -> None:
    with pytest.raises(InvalidBundle, match=complaint):
        parse_manifest(content.encode())


def test_the_manifest_is_read_out_of_a_bundle(tmp_path: Path) -> None:
    pack(grow(tmp_path / "tree"), tmp_path / "bundle.tar.gz")
    assert read_manifest(tmp_path / "bundle.tar.gz") == Manifest("notes", "1.2.3")


def test_what_is_no_bundle_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "bundle.tar.gz"
    path.write_bytes(b"not a bundle")
    with pytest.raises(InvalidBundle, match=r"not a tar\.gz"):
        read_manifest(path)
    with tarfile.open(path, "w:gz"):
        pass
    with pytest.raises(InvalidBundle, match=r"no podium\.toml"):
        read_manifest(path)
