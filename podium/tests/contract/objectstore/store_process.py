"""A process that uses a DirectoryStore: `python -m tests.contract.objectstore.store_process ROOT VERB …`.

race N       wait for a line on stdin, then try to create `won` and add one to `count` N times by compare and swap
die N OP     do OP on `a/k`, but be killed just before the N-th system call that changes or syncs something
full         put more than the file size limit allows
"""

import asyncio
import os
import resource
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from podium.objectstore.directory import DirectoryStore
from podium.objectstore.port import AlreadyExists, Conflict

CHANGING = ("open", "fsync", "link", "replace", "unlink", "mkdir", "rename")


async def race(store: DirectoryStore, rounds: int) -> None:
    sys.stdin.readline()
    try:
        await store.create("won", str(os.getpid()).encode())
        print("won")
    except AlreadyExists:
        print("lost")
    await asyncio.gather(*(add_one(store) for _ in range(rounds)))


async def add_one(store: DirectoryStore) -> None:
    while True:
        now = await store.get("count")
        assert now
        try:
            await store.replace("count", str(int(now.body) + 1).encode(), now.etag)
        except Conflict:
            continue
        return


async def die(store: DirectoryStore, before: int, operation: str) -> None:
    remaining = [before]
    for name in CHANGING:
        setattr(os, name, _killing(getattr(os, name), remaining))
    match operation:
        case "create":
            await store.create("a/k", b"new" * 1000)
        case "put":
            await store.put("a/k", b"new" * 1000)
        case "replace":
            now = await store.get("a/k")
            assert now
            await store.replace("a/k", b"new" * 1000, now.etag)
        case "delete":
            await store.delete("a/k")


def _killing(call: Callable[..., Any], remaining: list[int]) -> Callable[..., Any]:
    def wrapped(*arguments: Any, **options: Any) -> Any:
        if remaining[0] == 0:
            os.kill(os.getpid(), signal.SIGKILL)
        remaining[0] -= 1
        return call(*arguments, **options)

    return wrapped


async def full(store: DirectoryStore) -> None:
    resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 20, 1 << 20))
    for write in (store.put, store.create):
        try:
            await write("a/k", bytes(2 << 20))
        except OSError as error:
            print(error.errno)


def main() -> None:
    store = DirectoryStore(Path(sys.argv[1]))
    match sys.argv[2:]:
        case ["race", rounds]:
            asyncio.run(race(store, int(rounds)))
        case ["die", before, operation]:
            asyncio.run(die(store, int(before), operation))
        case ["full"]:
            asyncio.run(full(store))


if __name__ == "__main__":
    main()
