"""An object store in a local directory, safe between processes: conditional put by link(2), rename(2) and flock(2).

    objects/prod/deployments/notes,obj     the object `prod/deployments/notes`
    objects/prod/deployments/notes/a,obj   the object `prod/deployments/notes/a`
    locks/00 … ff                          who replaces a key holds the lock its hash names
    staging/                               bodies being written; a crash leaves them here and nothing refers to them

A key's last segment gets the suffix `,obj`, which no segment can contain, so that objects and folders never clash and a file
name gives its key back. Folders stay when their last object goes: removing them would race with a create.
"""

import asyncio
import fcntl
import hashlib
import os
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager, suppress
from itertools import islice
from pathlib import Path
from typing import BinaryIO, NoReturn

from podium.objectstore.keys import checked_key, checked_prefix
from podium.objectstore.listing import SUFFIX, keys_below
from podium.objectstore.port import AlreadyExists, Conflict, Object

STALE_S = 3600
DURABLE_FOLDERS = 10_000
CHUNK_BYTES = 1 << 20
PAGE = 256


class DirectoryStore:
    """Objects as files below `root`, which is made (mode 0700) where it is missing. Any number of processes may share it."""

    def __init__(self, root: Path) -> None:
        self._objects, self._locks, self._staging = (root / name for name in ("objects", "locks", "staging"))
        root.mkdir(mode=0o700, parents=True, exist_ok=True)
        root.chmod(0o700)
        for folder in (self._objects, self._locks, self._staging):
            folder.mkdir(mode=0o700, exist_ok=True)
        _sync(root.parent)
        _sync(root)
        self._durable = {self._objects}
        self._remove_stale()

    async def get(self, key: str) -> Object | None:
        return await asyncio.to_thread(self._get, self._path(key))

    async def put(self, key: str, body: bytes) -> str:
        return await asyncio.to_thread(self._put, self._path(key), body)

    async def create(self, key: str, body: bytes) -> str:
        return await asyncio.to_thread(self._create, self._path(key), body)

    async def replace(self, key: str, body: bytes, etag: str) -> str:
        return await asyncio.to_thread(self._replace, self._path(key), body, etag)

    async def create_from_file(self, key: str, source: Path) -> str:
        return await asyncio.to_thread(self._create_from_file, self._path(key), source)

    async def fetch_to_file(self, key: str, target: Path) -> bool:
        return await asyncio.to_thread(self._fetch_to_file, self._path(key), target)

    async def delete(self, key: str) -> None:
        await asyncio.to_thread(self._delete, self._path(key))

    async def list(self, prefix: str, *, after: str = "") -> AsyncIterator[str]:
        keys = keys_below(self._objects, checked_prefix(prefix), after)
        while page := await asyncio.to_thread(lambda: [*islice(keys, PAGE)]):
            for key in page:
                yield key

    def _get(self, path: Path) -> Object | None:
        try:
            body = path.read_bytes()
        except FileNotFoundError:
            return None
        return Object(body, _hash(body))

    def _put(self, path: Path, body: bytes) -> str:
        with self._staged(body) as (staged, etag):
            self._make_folder(path.parent)
            with self._locked(path):
                staged.replace(path)
                _sync(path.parent)
        return etag

    def _create(self, path: Path, body: bytes) -> str:
        if path.exists():
            self._refuse(path)
        with self._staged(body) as (staged, etag):
            self._link(staged, path)
        return etag

    def _create_from_file(self, path: Path, source: Path) -> str:
        if path.exists():
            self._refuse(path)
        with source.open("rb") as body, self._staged(body) as (staged, etag):
            self._link(staged, path)
        return etag

    def _replace(self, path: Path, body: bytes, etag: str) -> str:
        with self._staged(body) as (staged, new_etag), self._locked(path):
            now = self._get(path)
            if now is None or now.etag != etag:
                raise Conflict(self._key(path))
            self._make_folder(path.parent)
            staged.replace(path)
            _sync(path.parent)
        return new_etag

    def _fetch_to_file(self, path: Path, target: Path) -> bool:
        try:
            source = path.open("rb")
        except FileNotFoundError:
            return False
        with source:
            _write_new(target, source)
        return True

    def _delete(self, path: Path) -> None:
        with self._locked(path), suppress(FileNotFoundError):
            path.unlink()
            _sync(path.parent)

    def _link(self, staged: Path, path: Path) -> None:
        self._make_folder(path.parent)
        try:
            path.hardlink_to(staged)
        except FileExistsError:
            self._refuse(path)
        _sync(path.parent)

    def _refuse(self, path: Path) -> NoReturn:
        """The writer may have died before it synced; who is told that the object exists may rely on it."""
        self._make_folder(path.parent)
        _sync(path.parent)
        raise AlreadyExists(self._key(path))

    @contextmanager
    def _staged(self, body: bytes | BinaryIO) -> Iterator[tuple[Path, str]]:
        """A durable file with these bytes, gone at the end unless it was renamed."""
        staged = self._staging / os.urandom(16).hex()
        etag = _write_new(staged, body)
        try:
            yield staged, etag
        finally:
            staged.unlink(missing_ok=True)

    @contextmanager
    def _locked(self, path: Path) -> Iterator[None]:
        number = hashlib.blake2b(self._key(path).encode(), digest_size=1).hexdigest()
        fd = os.open(self._locks / number, os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(fd, fcntl.LOCK_EX)
            yield
        finally:
            os.close(fd)

    def _make_folder(self, folder: Path) -> None:
        """Make `folder` and its parents durable: one that exists may be from a process that died before syncing it."""
        if folder in self._durable:
            return
        self._make_folder(folder.parent)
        folder.mkdir(mode=0o700, exist_ok=True)
        _sync(folder.parent)
        if len(self._durable) >= DURABLE_FOLDERS:
            self._durable = {self._objects}
        self._durable.add(folder)

    def _key(self, path: Path) -> str:
        return str(path.relative_to(self._objects)).removesuffix(SUFFIX)

    def _path(self, key: str) -> Path:
        return self._objects / (checked_key(key) + SUFFIX)

    def _remove_stale(self) -> None:
        oldest = time.time() - STALE_S
        for staged in self._staging.iterdir():
            with suppress(FileNotFoundError):
                if staged.stat().st_mtime < oldest:
                    staged.unlink()


def _write_new(path: Path, body: bytes | BinaryIO) -> str:
    """Write a new file, mode 0600, sync it, return the hash of its bytes; no file is left where that fails."""
    digest = hashlib.blake2b(digest_size=32)
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(fd, "wb") as file:
            for chunk in _chunks(body):
                digest.update(chunk)
                file.write(chunk)
            file.flush()
            os.fsync(fd)
    except BaseException:
        path.unlink(missing_ok=True)
        raise
    return digest.hexdigest()


def _chunks(body: bytes | BinaryIO) -> Iterator[bytes]:
    if isinstance(body, bytes):
        yield body
        return
    while chunk := body.read(CHUNK_BYTES):
        yield chunk


def _hash(body: bytes) -> str:
    return hashlib.blake2b(body, digest_size=32).hexdigest()


def _sync(folder: Path) -> None:
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
