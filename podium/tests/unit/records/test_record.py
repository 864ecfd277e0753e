"""Records are changed by conditional puts; a put whose answer was lost is still ours."""

import msgspec
import pytest

from podium.objectstore.port import AlreadyExists, Conflict
from podium.records.record import FORMAT, NewerFormat, Record, Records
from tests.support.memory_store import FaultyStore, MemoryStore

KEY = "dev/things/one"


class Thing(Record, kw_only=True):
    """A record for tests."""

    name: str


def losing_answers(store: MemoryStore) -> Records[Thing]:
    """Over a store whose client tries each put twice, as the first answer was lost: the second try meets our own bytes."""

    def second_try(method: str, key: str) -> None:
        if method == "create":
            raise AlreadyExists(key)
        if method == "replace":
            raise Conflict(key)

    return Records(FaultyStore(store, after=second_try), Thing)


@pytest.fixture
def store() -> MemoryStore:
    return MemoryStore()


@pytest.fixture
def things(store: MemoryStore) -> Records[Thing]:
    return Records(store, Thing)


async def test_what_is_written_is_read(things: Records[Thing]) -> None:
    assert await things.read(KEY) is None
    created = await things.create(KEY, Thing(name="a"))
    found = await things.read(KEY)
    assert created
    assert found
    assert (found.record, found.etag) == (created.record, created.etag)
    assert found.record.format == FORMAT


async def test_each_write_has_an_id_of_its_own(things: Records[Thing]) -> None:
    thing = Thing(name="a")
    created = await things.create(KEY, thing)
    assert created
    first = created.record.write_id
    replaced = await things.replace(KEY, created.record, created.etag)
    assert replaced
    assert len({first, replaced.record.write_id, ""}) == 3
    assert replaced.etag != created.etag


async def test_the_first_to_create_wins(things: Records[Thing]) -> None:
    await things.create(KEY, Thing(name="a"))
    assert await things.create(KEY, Thing(name="a")) is None
    assert await things.create(KEY, Thing(name="b")) is None
    found = await things.read(KEY)
    assert found
    assert found.record.name == "a"


async def test_the_first_to_change_wins(things: Records[Thing]) -> None:
    created = await things.create(KEY, Thing(name="a"))
    assert created
    changed = await things.replace(KEY, Thing(name="b"), created.etag)
    assert changed
    assert await things.replace(KEY, Thing(name="c"), created.etag) is None
    assert await things.replace("dev/things/none", Thing(name="c"), created.etag) is None
    again = await things.replace(KEY, Thing(name="d"), changed.etag)
    assert again
    found = await things.read(KEY)
    assert found
    assert found.record.name == "d"


async def test_a_creation_whose_answer_was_lost_is_ours(store: MemoryStore, things: Records[Thing]) -> None:
    created = await losing_answers(store).create(KEY, Thing(name="a"))
    assert created
    assert created.record.name == "a"
    found = await things.read(KEY)
    assert found
    assert found.etag == created.etag


async def test_a_change_whose_answer_was_lost_is_ours(store: MemoryStore, things: Records[Thing]) -> None:
    before = await things.create(KEY, Thing(name="a"))
    assert before
    changed = await losing_answers(store).replace(KEY, Thing(name="b"), before.etag)
    assert changed
    assert changed.record.name == "b"
    assert changed.etag != before.etag


async def test_somebody_elses_record_is_not_ours_however_alike(store: MemoryStore, things: Records[Thing]) -> None:
    before = await things.create(KEY, Thing(name="a"))
    assert before
    assert await losing_answers(store).create(KEY, Thing(name="a")) is None
    assert await losing_answers(store).replace(KEY, Thing(name="a"), "another etag") is None


async def test_a_newer_format_is_refused_before_it_is_understood(store: MemoryStore, things: Records[Thing]) -> None:
    await store.put(KEY, msgspec.json.encode({"format": FORMAT + 1, "called": "a"}))
    with pytest.raises(NewerFormat, match=f"{KEY} has format {FORMAT + 1}"):
        await things.read(KEY)
    with pytest.raises(NewerFormat):
        await things.create(KEY, Thing(name="a"))


async def test_what_a_later_release_added_is_ignored(store: MemoryStore, things: Records[Thing]) -> None:
    await store.put(KEY, msgspec.json.encode({"format": FORMAT, "write_id": "w", "name": "a", "colour": "red"}))
    found = await things.read(KEY)
    assert found
    assert found.record == Thing(write_id="w", name="a")
