"""The spool: what is held is there, what nobody holds is not, and it has a bound."""

import asyncio
import hashlib
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest

from podium.coordinator.spool import Spool
from podium.protocol.errors import TooLarge, TooMany


async def blocking(function: Callable[..., Any], *arguments: Any) -> Any:
    return await asyncio.to_thread(function, *arguments)


async def pieces(*found: bytes) -> AsyncIterator[bytes]:
    for piece in found:
        yield piece


async def broken() -> AsyncIterator[bytes]:
    yield b"some"
    raise ConnectionError("the client left")


@pytest.fixture
def spool(tmp_path: Path) -> Spool:
    return Spool(tmp_path, blocking, 10, 16)


async def test_it_holds_what_came_under_its_hash(spool: Spool, tmp_path: Path) -> None:
    spooled = await spool.receive(pieces(b"ab", b"", b"c"))
    assert spooled == (hashlib.sha256(b"abc").hexdigest(), 3)
    assert spool.path(spooled.sha256).read_bytes() == b"abc"
    await spool.release(spooled.sha256)
    assert list(tmp_path.iterdir()) == []


async def test_the_same_bytes_twice_are_one_file_until_both_let_go(spool: Spool, tmp_path: Path) -> None:
    one, other = await spool.receive(pieces(b"same")), await spool.receive(pieces(b"same"))
    assert one == other
    await spool.release(one.sha256)
    assert spool.path(one.sha256).exists()
    await spool.release(one.sha256)
    assert list(tmp_path.iterdir()) == []


async def test_too_much_is_refused_and_leaves_nothing(spool: Spool, tmp_path: Path) -> None:
    with pytest.raises(TooLarge) as refused:
        await spool.receive(pieces(b"x" * 11))
    assert refused.value.extra == {"limit": 10}
    with pytest.raises(ConnectionError):
        await spool.receive(broken())
    assert list(tmp_path.iterdir()) == []
    held = await spool.receive(pieces(b"x" * 10))
    with pytest.raises(TooMany) as full:
        await spool.receive(pieces(b"y" * 7))
    assert full.value.extra == {"limit": 16, "current": 10}
    await spool.release(held.sha256)
    await spool.receive(pieces(b"y" * 7))


async def test_the_start_keeps_what_is_named_and_nothing_else(spool: Spool, tmp_path: Path) -> None:
    for name in ("named", "orphan", ".draft"):
        (tmp_path / name).write_bytes(b"x" * 9)
    await spool.recover(["named", "named"])
    assert [path.name for path in tmp_path.iterdir()] == ["named"]
    with pytest.raises(TooMany):
        await spool.receive(pieces(b"y" * 8))
    await spool.release("named")
    await spool.release("named")
    assert list(tmp_path.iterdir()) == []
