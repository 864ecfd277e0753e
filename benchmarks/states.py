"""States without agents, for measuring them alone."""

from concurrent.futures import Executor
from contextlib import AsyncExitStack
from datetime import UTC, datetime
from pathlib import Path

from podium.state.sqlite import SqliteState, SqliteStates


async def open_states(stack: AsyncExitStack, folder: Path, executor: Executor, count: int) -> list[SqliteState]:
    """`count` new instances below `folder`, closed with `stack`."""
    states = await SqliteStates.open(folder / "journal", lambda name: folder / f"{name}.db", executor, _now)
    stack.push_async_callback(states.close)
    opened = []
    for n in range(count):
        path = folder / f"a{n}.db"
        state = await states.create(path, instance_id=f"a{n}", tenant_id="platform", epoch=1, boot_id="boot")
        stack.push_async_callback(state.close, clean=True)
        await state.begin_launch("launch", None)
        opened.append(state)
    return opened


def _now() -> datetime:
    return datetime.now(UTC)
