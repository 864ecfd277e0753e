"""Uploads on their way into a workspace: files named by the hash of their bytes, synced before anybody is told of them.

A file is held as often as something needs it: a request that is at work, an entry of the inbox. What nobody holds is removed, at
the start too: a crash between file and entry leaves nothing.
"""

import hashlib
import os
import secrets
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

from podium.protocol.errors import TooLarge, TooMany

Blocking = Callable[..., Awaitable[Any]]


class Spooled(NamedTuple):
    """An upload that lies in the spool."""

    sha256: str
    size_bytes: int


class Spool:
    """The spool of one instance. `blocking` runs what waits for the disk."""

    def __init__(self, folder: Path, blocking: Blocking, max_upload_bytes: int, max_bytes: int) -> None:
        self._folder = folder
        self._blocking = blocking
        self._max_upload_bytes = max_upload_bytes
        self._max_bytes = max_bytes
        self._held: Counter[str] = Counter()
        self._sizes: dict[str, int] = {}
        self._coming_bytes = 0

    async def recover(self, named: Iterable[str]) -> None:
        """Begin with what entries name; everything else is removed. OSError."""
        self._held = Counter(named)
        self._sizes = await self._blocking(self._sweep, frozenset(self._held))

    async def receive(self, pieces: AsyncIterator[bytes]) -> Spooled:
        """Take in an upload, durably, and hold it. TooLarge, TooMany, OSError."""
        draft = self._folder / f".{secrets.token_hex(8)}"
        digest, size = hashlib.sha256(), 0
        file: BinaryIO = await self._blocking(_create, draft)
        try:
            try:
                async for piece in pieces:
                    self._require_room(size + len(piece), len(piece))
                    size, self._coming_bytes = size + len(piece), self._coming_bytes + len(piece)
                    digest.update(piece)
                    await self._blocking(file.write, piece)
                await self._blocking(_sync, file)
            finally:
                self._coming_bytes -= size
                file.close()
            name = digest.hexdigest()
            self._held[name] += 1
            self._sizes[name] = size
            await self._blocking(_publish, draft, self._folder / name)
        except BaseException:
            draft.unlink(missing_ok=True)
            raise
        return Spooled(name, size)

    def path(self, sha256: str) -> Path:
        """Where an upload lies."""
        return self._folder / sha256

    async def release(self, sha256: str) -> None:
        """Hold it once less; what nobody holds is removed."""
        self._held[sha256] -= 1
        if self._held[sha256] <= 0:
            del self._held[sha256]
            self._sizes.pop(sha256, None)
            await self._blocking(self.path(sha256).unlink, True)

    def _require_room(self, size: int, more: int) -> None:
        if size > self._max_upload_bytes:
            limit = self._max_upload_bytes
            raise TooLarge(f"the file is larger than {limit} bytes: send less, or raise MAX_UPLOAD_SIZE", limit=limit)
        used = sum(self._sizes.values()) + self._coming_bytes
        if used + more > self._max_bytes:
            raise TooMany(
                f"{used} bytes of uploads wait for the end of the turn, and {self._max_bytes} may: try again after it",
                retry_after_s=5, limit=self._max_bytes, current=used,
            )  # fmt: skip

    def _sweep(self, named: frozenset[str]) -> dict[str, int]:
        kept = {}
        for path in self._folder.iterdir():
            if path.name in named:
                kept[path.name] = path.stat().st_size
            else:
                path.unlink()
        return kept


def _create(path: Path) -> BinaryIO:
    return os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600), "wb")


def _sync(file: BinaryIO) -> None:
    file.flush()
    os.fsync(file.fileno())


def _publish(draft: Path, target: Path) -> None:
    draft.rename(target)
    fd = os.open(target.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
