"""The record of the runtime configuration: revisions grow, racing writers are put in a row."""

import asyncio

from podium.records.configuration import Configurations
from tests.support.memory_store import MemoryStore
from tests.support.states import START


async def test_nothing_written_is_an_empty_document_at_revision_nought() -> None:
    found = await Configurations(MemoryStore(), "dev").read()
    assert (found.revision, found.config) == (0, {})


async def test_each_change_takes_the_next_revision_and_the_same_again_none() -> None:
    configurations = Configurations(MemoryStore(), "dev")
    revisions = [(await configurations.write(config, START)).revision for config in ({"a": 1}, {"a": 1}, {"a": 2}, {"a": 1})]
    assert revisions == [1, 1, 2, 3]
    assert (await configurations.read()).config == {"a": 1}


async def test_racing_writers_each_get_a_revision() -> None:
    store = MemoryStore()
    written = await asyncio.gather(*(Configurations(store, "dev").write({"n": n}, START) for n in range(4)))
    assert sorted(record.revision for record in written) == [1, 2, 3, 4]
    last = max(written, key=lambda record: record.revision)
    assert (await Configurations(store, "dev").read()).config == last.config


async def test_environments_are_apart() -> None:
    store = MemoryStore()
    await Configurations(store, "dev").write({"a": 1}, START)
    assert (await Configurations(store, "staging").read()).config == {}
