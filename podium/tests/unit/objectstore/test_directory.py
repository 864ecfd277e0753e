import os
import time
from pathlib import Path

import pytest

from podium.objectstore.directory import STALE_S, DirectoryStore


def modes(root: Path) -> set[int]:
    return {path.stat().st_mode & 0o777 for path in [root, *root.rglob("*")]}


def folder_of(fd: int) -> str:
    return Path(f"/proc/self/fd/{fd}").readlink().parent.name


async def test_everything_is_private(tmp_path: Path) -> None:
    (tmp_path / "store").mkdir(mode=0o755)
    store = DirectoryStore(tmp_path / "store")
    etag = await store.put("a/k", b"1")
    await store.replace("a/k", b"2", etag)
    await store.fetch_to_file("a/k", tmp_path / "store" / "out")
    assert modes(tmp_path / "store") == {0o700, 0o600}


async def test_the_file_of_a_key_can_be_told_from_its_name(tmp_path: Path) -> None:
    await DirectoryStore(tmp_path).put("dev/deployments/notes", b"1")
    assert (tmp_path / "objects/dev/deployments/notes,obj").read_bytes() == b"1"


def test_old_leftovers_go_and_young_ones_stay(tmp_path: Path) -> None:
    DirectoryStore(tmp_path)
    old, young = tmp_path / "staging/old", tmp_path / "staging/young"
    for path in (old, young):
        path.touch()
    os.utime(old, (0, time.time() - STALE_S - 60))
    DirectoryStore(tmp_path)
    assert not old.exists()
    assert young.exists()


async def test_a_fetch_never_overwrites(tmp_path: Path) -> None:
    store = DirectoryStore(tmp_path / "store")
    await store.put("k", b"1")
    (tmp_path / "out").write_bytes(b"mine")
    with pytest.raises(FileExistsError):
        await store.fetch_to_file("k", tmp_path / "out")
    assert (tmp_path / "out").read_bytes() == b"mine"


async def test_no_staged_file_is_left(tmp_path: Path) -> None:
    store = DirectoryStore(tmp_path)
    etag = await store.create("k", b"1")
    await store.replace("k", b"2", etag)
    await store.put("k", b"3")
    with pytest.raises(FileNotFoundError):
        await store.create_from_file("f", tmp_path / "nope")
    assert list((tmp_path / "staging").iterdir()) == []


async def test_stores_that_spell_the_root_differently_share_locks(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(tmp_path / "store")
    for root in ("store", "link"):
        await DirectoryStore(tmp_path / root).put("a/k", b"1")
    assert len(list((tmp_path / "store/locks").iterdir())) == 1


async def test_bytes_are_synced_before_they_are_named_and_the_name_after(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = DirectoryStore(tmp_path)
    steps: list[str] = []
    fsync, link, replace = os.fsync, os.link, os.replace
    monkeypatch.setattr(os, "fsync", lambda fd: (steps.append(f"sync in {folder_of(fd)}"), fsync(fd)))
    monkeypatch.setattr(os, "link", lambda *paths, **options: (steps.append("name"), link(*paths, **options)))
    monkeypatch.setattr(os, "replace", lambda *paths: (steps.append("name"), replace(*paths)))
    etag = await store.create("p/k", b"1")
    assert steps == ["sync in staging", f"sync in {tmp_path.name}", "name", "sync in objects"]
    steps.clear()
    await store.replace("p/k", b"2", etag)
    await store.put("p/k", b"3")
    assert steps == ["sync in staging", "name", "sync in objects"] * 2
