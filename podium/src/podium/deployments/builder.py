"""Preparing trees under the build uid: a place to work, confined commands, and taking the result over.

    building/{random}/           of the platform, 0711; gone after the build, or at the next start
    building/{random}/{folder}   of the build uid, 0700: it can write nowhere else

One build at a time: what runs under the uid could otherwise reach another tenant's build.
"""

import asyncio
import os
import re
import secrets
import stat
import sys
from collections import deque
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import NamedTuple

import msgspec

from podium.deployments.confine import NOT_ENDED, Confinement
from podium.workspace.removal import remove_tree

SHOWN_LINES = 20
SHOWN_LINE_CHARS = 500
_TAIL_BYTES = 64 * 1024
_STOP_S = 20.0
_GIB = 1024**3
_NOISE = re.compile(r"\x1b\[[0-9;?]*[ -/]*[@-~]|[\x00-\x08\x0b-\x1f\x7f-\x9f]")


class BuildFailed(Exception):
    """A build left something that can neither be used nor ended; the text says what."""


class Outcome(NamedTuple):
    """How a command ended, and its last lines."""

    code: int
    lines: list[str]


class Builder:
    """Builds below `root`. `build_uid` None (not root) builds as the platform's own user."""

    def __init__(
        self,
        root: Path,
        build_uid: int | None,
        *,
        timeout_s: float = 540.0,
        memory_bytes: int = 4 * _GIB,
        file_bytes: int = 4 * _GIB,
        tree_bytes: int = 16 * _GIB,
    ) -> None:
        self._building = root / "building"
        self._uid = build_uid
        self._timeout_s = timeout_s
        self._memory_bytes, self._file_bytes, self._tree_bytes = memory_bytes, file_bytes, tree_bytes
        self._lock = asyncio.Lock()

    @asynccontextmanager
    async def place(self) -> AsyncIterator[Path]:
        """A new directory to build in, for one build at a time; removed with all that is left in it."""
        async with self._lock:
            work = self._building / secrets.token_hex(8)
            await asyncio.to_thread(self._make, work)
            try:
                yield work
            finally:
                await asyncio.to_thread(remove_tree, work)

    async def run(self, work: Path, argv: Sequence[str], env: Mapping[str, str], timeout_s: float | None = None) -> Outcome:
        """Run a command as the build uid and end all it leaves behind; cancelling ends it too. BuildFailed where that fails."""
        spec = Confinement(
            argv=list(argv), parent_pid=os.getpid(), uid=self._uid, cwd=str(work), tree=str(work),
            timeout_s=timeout_s or self._timeout_s, memory_bytes=self._memory_bytes, file_bytes=self._file_bytes,
            tree_bytes=self._tree_bytes,
        )  # fmt: skip
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-I", "-m", "podium.deployments.confine", msgspec.json.encode(spec).decode(),
            stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT, env=env, cwd="/",
        )  # fmt: skip
        assert process.stdout is not None
        try:
            tail = await _tail(process.stdout)
            code = await process.wait()
        except BaseException:
            await _stop(process)
            raise
        if code == NOT_ENDED:
            raise BuildFailed(f"processes of uid {self._uid} are left and do not end")
        return Outcome(code, last_lines(tail))

    async def make_folder(self, work: Path, name: str) -> Path:
        """A directory of the build uid inside `work`."""
        folder = work / name
        await asyncio.to_thread(self._make_folder, folder)
        return folder

    async def hand_over(self, tree: Path) -> None:
        """Give a tree of ours to the build uid."""
        if self._uid is not None:
            await asyncio.to_thread(_take_over, tree, os.getuid(), self._uid, self._uid)

    async def take_back(self, tree: Path) -> None:
        """Make what the build uid left ours: files 0644 or 0755, directories 0755. BuildFailed for what is not its own."""
        builder = os.getuid() if self._uid is None else self._uid
        await asyncio.to_thread(_take_over, tree, builder, os.getuid(), os.getgid())

    async def remove_leftovers(self) -> None:
        """Remove what a crash left, after ending what still runs. Nothing may be building."""
        left = await asyncio.to_thread(self._leftovers)
        if left:
            await self.run(self._building, (), {})
        for work in left:
            await asyncio.to_thread(remove_tree, work)

    def _leftovers(self) -> list[Path]:
        self._building.mkdir(mode=0o711, exist_ok=True)
        self._building.chmod(0o711)
        return list(self._building.iterdir())

    def _make(self, work: Path) -> None:
        work.mkdir()
        work.chmod(0o711)
        for name in ("home", "tmp"):
            self._make_folder(work / name)

    def _make_folder(self, folder: Path) -> None:
        folder.mkdir(mode=0o700)
        if self._uid is not None:
            os.chown(folder, self._uid, self._uid)


def last_lines(tail: bytes) -> list[str]:
    """The last lines of an output that say something: few, short, and without control characters."""
    lines = (_NOISE.sub("", line).rstrip() for line in tail.decode(errors="replace").splitlines())
    return [line[:SHOWN_LINE_CHARS] for line in lines if line][-SHOWN_LINES:]


async def _tail(stream: asyncio.StreamReader) -> bytes:
    chunks: deque[bytes] = deque()
    size = 0
    while chunk := await stream.read(_TAIL_BYTES):
        chunks.append(chunk)
        size += len(chunk)
        while size - len(chunks[0]) >= _TAIL_BYTES:
            size -= len(chunks.popleft())
    return b"".join(chunks)[-_TAIL_BYTES:]


async def _stop(process: asyncio.subprocess.Process) -> None:
    """End a confined command; what it leaves is ended with it."""
    assert process.stdout is not None
    with suppress(ProcessLookupError):
        process.terminate()
    try:
        async with asyncio.timeout(_STOP_S):
            await _tail(process.stdout)
            await process.wait()
    except TimeoutError:
        process.kill()
        await process.wait()


def _take_over(tree: Path, owner: int, new_owner: int, new_group: int) -> None:
    """Change a tree's owner and its modes; nothing that runs may still write to it."""
    changed: set[int] = set()
    pending = [str(tree)]
    _take_entry(pending[0], tree.lstat(), owner, changed, new_owner, new_group)
    while pending:
        with os.scandir(pending.pop()) as entries:
            for entry in entries:
                _take_entry(entry.path, entry.stat(follow_symlinks=False), owner, changed, new_owner, new_group)
                if entry.is_dir(follow_symlinks=False):
                    pending.append(entry.path)


def _take_entry(path: str, status: os.stat_result, owner: int, changed: set[int], new_owner: int, new_group: int) -> None:
    if status.st_ino in changed:  # a file with several names
        return
    if status.st_uid != owner:  # somebody else's file, linked in: it must not become readable
        raise BuildFailed(f"{path[-200:]} belongs to uid {status.st_uid}")
    if not (stat.S_ISREG(status.st_mode) or stat.S_ISDIR(status.st_mode) or stat.S_ISLNK(status.st_mode)):
        raise BuildFailed(f"{path[-200:]} is neither a file nor a directory nor a link")
    os.chown(path, new_owner, new_group, follow_symlinks=False)
    if not stat.S_ISLNK(status.st_mode):
        executable = stat.S_ISDIR(status.st_mode) or status.st_mode & 0o100
        Path(path).chmod(0o755 if executable else 0o644)
    if status.st_nlink > 1:
        changed.add(status.st_ino)
