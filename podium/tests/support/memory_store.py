"""An object store in memory, and one that fails where a test says: both implement `podium.objectstore.port.ObjectStore`."""

import asyncio
import hashlib
import os
from collections.abc import AsyncIterator, Callable
from pathlib import Path

from podium.objectstore.keys import checked_key, checked_prefix
from podium.objectstore.port import AlreadyExists, Conflict, Object, ObjectStore


class MemoryStore:
    """Objects in a dictionary. Every call lets others run first, so that races are races."""

    def __init__(self) -> None:
        self.objects: dict[str, bytes] = {}

    async def get(self, key: str) -> Object | None:
        await self._turn(key)
        body = self.objects.get(key)
        return None if body is None else Object(body, _etag(body))

    async def put(self, key: str, body: bytes) -> str:
        await self._turn(key)
        return self._set(key, body)

    async def create(self, key: str, body: bytes) -> str:
        await self._turn(key)
        if key in self.objects:
            raise AlreadyExists(key)
        return self._set(key, body)

    async def replace(self, key: str, body: bytes, etag: str) -> str:
        await self._turn(key)
        if key not in self.objects or _etag(self.objects[key]) != etag:
            raise Conflict(key)
        return self._set(key, body)

    async def create_from_file(self, key: str, source: Path) -> str:
        checked_key(key)
        return await self.create(key, source.read_bytes())

    async def fetch_to_file(self, key: str, target: Path) -> bool:
        await self._turn(key)
        if key not in self.objects:
            return False
        fd = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(fd, "wb") as file:
            file.write(self.objects[key])
        return True

    async def delete(self, key: str) -> None:
        await self._turn(key)
        self.objects.pop(key, None)

    async def list(self, prefix: str, *, after: str = "") -> AsyncIterator[str]:
        checked_prefix(prefix)
        await asyncio.sleep(0)
        for key in sorted(self.objects):
            if key.startswith(prefix) and key > after and key in self.objects:
                yield key

    async def _turn(self, key: str) -> None:
        checked_key(key)
        await asyncio.sleep(0)

    def _set(self, key: str, body: bytes) -> str:
        self.objects[key] = bytes(body)
        return _etag(body)


class Crash(BaseException):
    """The process dies here. No `except Exception` gets hold of it."""


class FaultyStore:
    """Passes calls on to `store`; `before` and `after` see each as (method, key) and may raise instead."""

    def __init__(
        self,
        store: ObjectStore,
        *,
        before: Callable[[str, str], None] = lambda method, key: None,
        after: Callable[[str, str], None] = lambda method, key: None,
    ) -> None:
        self._store = store
        self._before = before
        self._after = after
        self.calls: list[tuple[str, str]] = []

    async def get(self, key: str) -> Object | None:
        self._enter("get", key)
        found = await self._store.get(key)
        self._after("get", key)
        return found

    async def put(self, key: str, body: bytes) -> str:
        self._enter("put", key)
        etag = await self._store.put(key, body)
        self._after("put", key)
        return etag

    async def create(self, key: str, body: bytes) -> str:
        self._enter("create", key)
        etag = await self._store.create(key, body)
        self._after("create", key)
        return etag

    async def replace(self, key: str, body: bytes, etag: str) -> str:
        self._enter("replace", key)
        new_etag = await self._store.replace(key, body, etag)
        self._after("replace", key)
        return new_etag

    async def create_from_file(self, key: str, source: Path) -> str:
        self._enter("create_from_file", key)
        etag = await self._store.create_from_file(key, source)
        self._after("create_from_file", key)
        return etag

    async def fetch_to_file(self, key: str, target: Path) -> bool:
        self._enter("fetch_to_file", key)
        found = await self._store.fetch_to_file(key, target)
        self._after("fetch_to_file", key)
        return found

    async def delete(self, key: str) -> None:
        self._enter("delete", key)
        await self._store.delete(key)
        self._after("delete", key)

    async def list(self, prefix: str, *, after: str = "") -> AsyncIterator[str]:
        self._enter("list", prefix)
        async for key in self._store.list(prefix, after=after):
            yield key

    def _enter(self, method: str, key: str) -> None:
        self.calls.append((method, key))
        self._before(method, key)


def _etag(body: bytes) -> str:
    return hashlib.sha256(body).hexdigest()
