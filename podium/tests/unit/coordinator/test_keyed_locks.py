"""A lock per name, and none left behind."""

import asyncio

import pytest

from podium.coordinator.keyed_locks import KeyedLocks


def left_behind(locks: KeyedLocks) -> int:
    return len(locks._locks)


async def test_one_name_is_held_by_one_at_a_time_in_order() -> None:
    locks, inside, order = KeyedLocks(), 0, list[int]()

    async def hold(number: int) -> None:
        nonlocal inside
        async with locks.hold("a"):
            inside += 1
            await asyncio.sleep(0)
            assert inside == 1
            order.append(number)
            inside -= 1

    await asyncio.gather(*(hold(number) for number in range(20)))
    assert order == list(range(20))
    assert left_behind(locks) == 0


async def test_other_names_do_not_wait() -> None:
    locks = KeyedLocks()
    async with locks.hold("a"), locks.hold("b"):
        assert left_behind(locks) == 2
    assert left_behind(locks) == 0


async def test_whoever_gives_up_waiting_leaves_nothing() -> None:
    locks = KeyedLocks()

    async def hold() -> None:
        async with locks.hold("a"):
            pass

    async with locks.hold("a"):
        waiting = [asyncio.create_task(hold()) for _ in range(3)]
        await asyncio.sleep(0)
        waiting[1].cancel()
        await asyncio.wait({waiting[1]})
        assert waiting[1].cancelled()
    await asyncio.gather(waiting[0], waiting[2])
    assert left_behind(locks) == 0


async def test_an_error_inside_lets_the_next_one_in() -> None:
    locks = KeyedLocks()
    with pytest.raises(RuntimeError, match="inside"):
        async with locks.hold("a"):
            raise RuntimeError("inside")
    assert left_behind(locks) == 0
    async with locks.hold("a"):
        assert left_behind(locks) == 1
