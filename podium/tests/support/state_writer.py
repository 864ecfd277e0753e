"""A process that writes several states through one journal and says what it was promised: `state_writer FOLDER SEED`.

One line for each promise, after it was given: `accepted STATE ID`, `turn STATE ID TOTAL`, `failed STATE ID`.
"""

import asyncio
import os
import random
import sys
from pathlib import Path
from typing import Any

from podium.state.port import Attempt, Group, NewEvent, TurnEnd
from podium.state.sqlite import SqliteState
from tests.support.states import create_state, open_states

STATES = 5
SEGMENT_BYTES = 64 * 1024


def say(*words: object) -> None:
    """One line, whole or not at all whenever this process dies: a pipe takes so little in one piece."""
    os.write(1, (" ".join(map(str, words)) + "\n").encode())


async def main(folder: Path, seed: int) -> None:
    states = await open_states(folder, segment_bytes=SEGMENT_BYTES)
    opened = [await create_state(states, folder / f"s{n}.db") for n in range(STATES)]
    await asyncio.gather(*(work(state, f"s{n}", random.Random(f"{seed}/{n}")) for n, state in enumerate(opened)))


async def work(state: SqliteState, name: str, rng: random.Random) -> None:
    """Accept a message, stream, and end its turn or fail it; for ever."""
    total = int((await state.document()).state.get("total", 0))
    run = rng.getrandbits(64)
    for n in range(1_000_000):
        message_id = f"{run:x}.{n}"
        body = {"text": "x" * rng.randint(1, 2000), "role": "user", "attachments": []}
        await state.accept(message_id, "message", body, {}, 1000)
        say("accepted", name, message_id)
        for attempt in await state.open_attempts():
            await state.fail_attempt(attempt, "interrupted", {"code": "x", "message": ""}, will_retry=True)
        begun = await state.begin_next("l", None)
        assert begun and begun.attempt
        await stream(state, begun.attempt, rng)
        if rng.random() < 0.2:
            await state.fail_attempt(begun.attempt, "exit", {"code": "x", "message": ""}, will_retry=False)
            say("failed", name, begun.attempt.message_id)
        else:
            total += 1
            await state.end_turn(end_of(begun.attempt, {"total": total, "pad": "y" * rng.randint(0, 3000)}))
            say("turn", name, begun.attempt.message_id, total)


async def stream(state: SqliteState, attempt: Attempt, rng: random.Random) -> None:
    """Some output, whose deltas count only with the turn."""
    for n in range(rng.randint(0, 4)):
        event = NewEvent("update", {"text": "z" * rng.randint(1, 500)}, attempt.message_id, attempt.attempt)
        delta = (attempt.message_id, attempt.attempt, [{"op": "replace", "path": "", "value": {"total": -1}}])
        await state.append(Group(launch_id="l", n=n + 1, events=[event], deltas=[delta]))


def end_of(attempt: Attempt, document: dict[str, Any]) -> TurnEnd:
    """The end of a turn that leaves this document."""
    change = [{"op": "replace", "path": "", "value": document}]
    group = Group(launch_id="l", n=9, deltas=[(attempt.message_id, attempt.attempt, change)])
    return TurnEnd(
        kind="message", message_id=attempt.message_id, position=attempt.position, attempt=attempt.attempt,
        first_seq=attempt.first_seq, stop_reason="end_turn", usage={}, workspace_version=None, started_at=attempt.started_at,
        group=group,
    )  # fmt: skip


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1]), int(sys.argv[2])))
