"""What every object store keeps."""

import asyncio
from collections.abc import Awaitable
from pathlib import Path
from typing import Any

import pytest

from podium.objectstore.directory import DirectoryStore
from podium.objectstore.keys import InvalidKey
from podium.objectstore.port import AlreadyExists, Conflict, Object, ObjectStore
from tests.support.memory_store import MemoryStore

RACERS = 16


@pytest.fixture(params=["directory", "memory"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> ObjectStore:
    return DirectoryStore(tmp_path / "store") if request.param == "directory" else MemoryStore()


async def keys(store: ObjectStore, prefix: str, after: str = "") -> list[str]:
    return [key async for key in store.list(prefix, after=after)]


async def outcomes(calls: list[Awaitable[Any]]) -> tuple[list[Any], list[BaseException]]:
    answers = await asyncio.gather(*calls, return_exceptions=True)
    return [a for a in answers if not isinstance(a, BaseException)], [a for a in answers if isinstance(a, BaseException)]


async def test_an_absent_object_is_none(store: ObjectStore) -> None:
    assert await store.get("a/b") is None
    assert await keys(store, "a/") == []


async def test_put_writes_and_overwrites(store: ObjectStore) -> None:
    first = await store.put("k", b"one")
    assert await store.get("k") == Object(b"one", first)
    second = await store.put("k", b"two")
    assert first != second
    assert await store.get("k") == Object(b"two", second)


async def test_an_object_may_be_empty_or_any_bytes(store: ObjectStore) -> None:
    for body in (b"", bytes(range(256)) * 5000):
        etag = await store.put("k", body)
        assert await store.get("k") == Object(body, etag)


async def test_create_refuses_what_exists(store: ObjectStore) -> None:
    etag = await store.create("k", b"one")
    with pytest.raises(AlreadyExists):
        await store.create("k", b"two")
    assert await store.get("k") == Object(b"one", etag)


async def test_replace_needs_the_etag_that_is_there(store: ObjectStore) -> None:
    first = await store.create("k", b"one")
    second = await store.replace("k", b"two", first)
    with pytest.raises(Conflict):
        await store.replace("k", b"three", first)
    assert await store.get("k") == Object(b"two", second)


async def test_replace_of_an_absent_object_is_a_conflict(store: ObjectStore) -> None:
    etag = await store.put("k", b"one")
    await store.delete("k")
    with pytest.raises(Conflict):
        await store.replace("k", b"two", etag)
    assert await store.get("k") is None


async def test_delete_is_idempotent_and_lets_create_again(store: ObjectStore) -> None:
    await store.delete("a/k")
    await store.create("a/k", b"one")
    await store.delete("a/k")
    await store.delete("a/k")
    assert await keys(store, "a/") == []
    await store.create("a/k", b"two")


async def test_files_go_in_and_out(store: ObjectStore, tmp_path: Path) -> None:
    body = bytes(range(256)) * 10_000
    (tmp_path / "in").write_bytes(body)
    etag = await store.create_from_file("a/k", tmp_path / "in")
    (tmp_path / "in").write_bytes(b"changed later")
    assert await store.get("a/k") == Object(body, etag)
    assert await store.fetch_to_file("a/k", tmp_path / "out")
    assert (tmp_path / "out").read_bytes() == body
    with pytest.raises(AlreadyExists):
        await store.create_from_file("a/k", tmp_path / "in")


async def test_fetching_nothing_leaves_no_file(store: ObjectStore, tmp_path: Path) -> None:
    assert not await store.fetch_to_file("a/k", tmp_path / "out")
    assert not (tmp_path / "out").exists()


async def test_a_key_may_begin_another(store: ObjectStore) -> None:
    for key in ("a", "a/b", "a/b/c", "a.obj", "a-b", "a+b"):
        await store.put(key, key.encode())
    assert await keys(store, "a/") == ["a/b", "a/b/c"]
    await store.delete("a/b")
    assert await store.get("a/b") is None
    assert (await store.get("a/b/c") or Object(b"", "")).body == b"a/b/c"


async def test_keys_are_listed_in_order_of_their_bytes(store: ObjectStore) -> None:
    names = ["z", "a", "a/x", "a/x/y", "a-b", "a.b", "a/b", "A", "a0", "a:b", "b/a", "B/c", "_", "@"]
    for name in names:
        await store.put(f"p/{name}", b"")
        await store.put(f"q/{name}", b"")
    ordered = sorted(f"p/{name}" for name in names)
    assert await keys(store, "p/") == ordered
    for position, after in enumerate(ordered, 1):
        assert await keys(store, "p/", after) == ordered[position:]
    assert await keys(store, "p/", "p/a/") == [key for key in ordered if key > "p/a/"]
    assert await keys(store, "p/", "o/z") == ordered
    assert await keys(store, "p/", "q") == []


async def test_many_keys_are_listed_once_each(store: ObjectStore) -> None:
    names = [f"p/{number:04}" for number in range(600)]
    await asyncio.gather(*(store.put(name, b"") for name in names))
    assert await keys(store, "p/") == names


@pytest.mark.parametrize(
    "key", ["", "/", "a/", "/a", "a//b", ".", "..", "a/../b", "a/.", "a b", "a\0", "a,obj", "ä", "a\n", "x" * 241]
)
async def test_a_bad_key_is_refused_everywhere(store: ObjectStore, key: str, tmp_path: Path) -> None:
    calls = (
        lambda: store.get(key), lambda: store.put(key, b""), lambda: store.create(key, b""), lambda: store.replace(key, b"", "e"),
        lambda: store.delete(key), lambda: store.create_from_file(key, tmp_path), lambda: store.fetch_to_file(key, tmp_path),
    )  # fmt: skip
    for call in calls:
        with pytest.raises(InvalidKey):
            await call()


@pytest.mark.parametrize("prefix", ["", "a", "/", "../", "a//"])
async def test_a_bad_folder_is_refused(store: ObjectStore, prefix: str) -> None:
    with pytest.raises(InvalidKey):
        await keys(store, prefix)


async def test_the_longest_keys_work(store: ObjectStore) -> None:
    key = "/".join(["x" * 240, "y" * 240, "z" * 30])
    assert len(key) == 512
    await store.create(key, b"1")
    assert await keys(store, "x" * 240 + "/") == [key]


async def test_of_many_creates_one_wins(store: ObjectStore) -> None:
    won, lost = await outcomes([store.create("a/k", bytes([n])) for n in range(RACERS)])
    assert len(won) == 1
    assert all(isinstance(error, AlreadyExists) for error in lost)
    found = await store.get("a/k")
    assert found and found.etag == won[0]


async def test_of_many_replaces_one_wins(store: ObjectStore) -> None:
    etag = await store.create("a/k", b"old")
    won, lost = await outcomes([store.replace("a/k", bytes([n]), etag) for n in range(RACERS)])
    assert len(won) == 1
    assert all(isinstance(error, Conflict) for error in lost)
    found = await store.get("a/k")
    assert found and found.etag == won[0]


async def test_a_counter_changed_by_compare_and_swap_loses_nothing(store: ObjectStore) -> None:
    await store.create("n", b"0")

    async def add_one() -> None:
        while True:
            now = await store.get("n")
            assert now
            try:
                await store.replace("n", str(int(now.body) + 1).encode(), now.etag)
            except Conflict:
                continue
            return

    await asyncio.gather(*(add_one() for _ in range(RACERS)))
    assert (await store.get("n") or Object(b"", "")).body == str(RACERS).encode()


async def test_readers_see_whole_objects_while_they_are_replaced(store: ObjectStore) -> None:
    bodies = [bytes([n]) * 100_000 for n in range(8)]
    await store.put("k", bodies[0])

    async def read() -> None:
        found = await store.get("k")
        assert found and found.body in bodies

    await asyncio.gather(*(store.put("k", body) for body in bodies), *(read() for _ in range(RACERS)))
