"""Clients that wait for the end of a message."""

import asyncio

import pytest

from podium.coordinator.waiters import Waiters
from podium.protocol.api import MessageStatus
from podium.protocol.errors import InstanceFailed
from tests.support.states import START

DONE = MessageStatus(message_id="m1", status="complete", role="user", text="hello", accepted_at=START)


async def test_all_who_wait_for_a_message_hear_of_its_end() -> None:
    waiters = Waiters()
    first, second, other = waiters.add("m1"), waiters.add("m1"), waiters.add("m2")
    waiters.settle("m1", DONE)
    assert (await first, await second) == (DONE, DONE)
    assert not other.done()
    assert "m1" not in waiters
    assert "m2" in waiters


async def test_who_leaves_is_forgotten_and_the_others_stay() -> None:
    waiters = Waiters()
    first, second = waiters.add("m1"), waiters.add("m1")
    waiters.remove("m1", first)
    assert "m1" in waiters
    waiters.remove("m1", second)
    waiters.remove("m1", second)
    assert "m1" not in waiters
    waiters.settle("m1", DONE)
    assert not first.done()


async def test_a_client_that_gave_up_does_not_disturb() -> None:
    waiters = Waiters()
    gone, waiting, elsewhere = waiters.add("m1"), waiters.add("m1"), waiters.add("m2")
    gone.cancel()
    elsewhere.cancel()
    waiters.settle("m1", DONE)
    waiters.fail(InstanceFailed("no interpreter"))
    assert await waiting == DONE


async def test_a_failure_is_told_to_everybody() -> None:
    waiters = Waiters()
    futures = [waiters.add("m1"), waiters.add("m1"), waiters.add("m2")]
    waiters.fail(InstanceFailed("no interpreter"))
    for future in futures:
        with pytest.raises(InstanceFailed, match="no interpreter"):
            await future
    assert "m1" not in waiters
    assert "m2" not in waiters


async def test_a_failure_that_nobody_hears_any_more_is_not_reported_as_lost() -> None:
    lost = list[object]()
    asyncio.get_running_loop().set_exception_handler(lambda loop, context: lost.append(context))
    waiters = Waiters()
    future = waiters.add("m1")
    waiters.fail(InstanceFailed("no interpreter"))
    waiters.remove("m1", future)
    del future
    assert lost == []
