"""A directory store shared by processes, and left behind by processes that die at any step."""

import asyncio
import errno
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from podium.objectstore.directory import DirectoryStore
from podium.objectstore.port import Object

PODIUM = Path(__file__).parents[3]
PROCESSES, ADDITIONS = 4, 8
OLD, NEW = b"old" * 500, b"new" * 1000
LEAST_STEPS, MOST_STEPS = 4, 40


def start(root: Path, *words: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "tests.contract.objectstore.store_process", str(root), *words]
    return subprocess.Popen(command, cwd=PODIUM, text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE)


def test_processes_race_and_one_wins(tmp_path: Path) -> None:
    store = DirectoryStore(tmp_path)
    asyncio.run(store.create("count", b"0"))
    racers = [start(tmp_path, "race", str(ADDITIONS)) for _ in range(PROCESSES)]
    for racer in racers:
        assert racer.stdin
        racer.stdin.write("go\n")
        racer.stdin.flush()
    said = [racer.communicate()[0] for racer in racers]
    assert sorted(said) == ["lost\n"] * (PROCESSES - 1) + ["won\n"]
    assert (asyncio.run(store.get("count")) or Object(b"", "")).body == str(PROCESSES * ADDITIONS).encode()


@pytest.mark.parametrize(
    ("operation", "there", "allowed"),
    [
        ("create", False, (None, NEW)),
        ("put", False, (None, NEW)),
        ("put", True, (OLD, NEW)),
        ("replace", True, (OLD, NEW)),
        ("delete", True, (OLD, None)),
    ],
)
def test_a_writer_killed_at_any_step_leaves_old_or_new(
    tmp_path: Path, operation: str, there: bool, allowed: tuple[bytes | None, ...]
) -> None:
    seen = set()
    for step in range(MOST_STEPS):
        root = tmp_path / str(step)
        if there:
            asyncio.run(DirectoryStore(root).create("a/k", OLD))
        writer = start(root, "die", str(step), operation)
        writer.communicate()
        seen.add(body := asyncio.run(look(root)))
        assert body in allowed
        if writer.returncode == 0:
            break
        assert writer.returncode == -signal.SIGKILL
    assert writer.returncode == 0
    assert step >= LEAST_STEPS
    assert seen == set(allowed)


async def look(root: Path) -> bytes | None:
    """What a process that comes after sees; it can also write: nothing is locked any more."""
    store = DirectoryStore(root)
    found = await store.get("a/k")
    assert [key async for key in store.list("a/")] == (["a/k"] if found else [])
    etag = await store.put("a/k", b"later")
    await store.replace("a/k", b"again", etag)
    return found.body if found else None


def test_a_full_disk_is_an_oserror_and_leaves_the_old_object(tmp_path: Path) -> None:
    store = DirectoryStore(tmp_path)
    asyncio.run(store.put("a/k", OLD))
    writer = start(tmp_path, "full")
    said, _ = writer.communicate()
    assert said.split() == [str(errno.EFBIG)]
    assert (asyncio.run(store.get("a/k")) or Object(b"", "")).body == OLD
    assert list((tmp_path / "staging").iterdir()) == []
