"""A key names one request: its repeats work on the id that the first try chose."""

import asyncio

import pytest

from podium.protocol.errors import IdempotencyMismatch
from podium.records.requests import Requests
from podium.sealing import Sealer
from tests.support.memory_store import MemoryStore

SEALER = Sealer("a key for tests only")
ROUTE = "create_instance"
BODY = b'{"deployment_id": "notes"}'


@pytest.fixture
def store() -> MemoryStore:
    return MemoryStore()


@pytest.fixture
def requests(store: MemoryStore) -> Requests:
    return Requests(store, "dev", SEALER)


async def test_a_repeat_gets_what_the_first_try_chose(requests: Requests) -> None:
    assert await requests.choose("t1", ROUTE, "key", BODY, "agent_1") == "agent_1"
    assert await requests.choose("t1", ROUTE, "key", BODY, "agent_2") == "agent_1"


async def test_repeats_at_the_same_time_agree(requests: Requests) -> None:
    tries = [requests.choose("t1", ROUTE, "key", BODY, f"agent_{n}") for n in range(8)]
    assert len(set(await asyncio.gather(*tries))) == 1


async def test_the_key_with_another_body_is_refused(requests: Requests) -> None:
    await requests.choose("t1", ROUTE, "key", BODY, "agent_1")
    with pytest.raises(IdempotencyMismatch, match="another body"):
        await requests.choose("t1", ROUTE, "key", BODY + b" ", "agent_2")
    assert await requests.choose("t1", ROUTE, "key", BODY, "agent_3") == "agent_1"


async def test_tenants_routes_and_keys_do_not_meet(requests: Requests) -> None:
    places = [("t1", ROUTE, "key"), ("t2", ROUTE, "key"), ("t1", "deploy", "key"), ("t1", ROUTE, "key2")]
    chosen = [await requests.choose(*place, BODY, f"agent_{n}") for n, place in enumerate(places)]
    assert chosen == ["agent_0", "agent_1", "agent_2", "agent_3"]


async def test_any_text_is_a_key(requests: Requests, store: MemoryStore) -> None:
    for key in ("../../etc/passwd", "a/b", "", "é", "x" * 5000):
        assert await requests.choose("t1", ROUTE, key, BODY, "agent_1") == "agent_1"
    assert await Requests(store, "staging", SEALER).choose("t1", ROUTE, "a/b", BODY, "agent_2") == "agent_2"
