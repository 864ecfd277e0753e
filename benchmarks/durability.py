"""Turns per second of the state alone: no processes, no sockets, one event loop, many instances.

`python benchmarks/durability.py [--agents 50] [--seconds 5]`. A turn is what a small message costs: accepted (durable), begun, a
group of three events and a delta, ended (durable). Each instance has one message in work at a time, as with one client for each.
The baseline is one writer that appends 4 KiB and fdatasyncs on the same disk.
"""

import argparse
import asyncio
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import AsyncExitStack
from pathlib import Path
from tempfile import TemporaryDirectory

import uvloop
from disk import fdatasyncs_per_second
from report import Row, percentile, publish
from states import open_states

from podium.state.port import Group, NewEvent, StateStore, TurnEnd

ORIGIN = {"tenant_id": "platform", "role": "user", "channel": "api"}


async def turn(state: StateStore, n: int) -> float:
    """One message from its acceptance to its end; milliseconds until it was accepted."""
    began = time.perf_counter()
    message_id = f"m{n}"
    await state.accept(message_id, "message", {"text": "x", "role": "user", "attachments": []}, ORIGIN, 1000)
    accepted_ms = (time.perf_counter() - began) * 1000
    begun = await state.begin_next("launch", None)
    assert begun is not None
    assert begun.attempt is not None
    events = [NewEvent("update", {"text": word, "part": 0}, message_id, 1) for word in ("You have ", "sent 5 ", "messages.")]
    deltas = [(message_id, 1, [{"op": "replace" if n else "add", "path": "/count", "value": n}])]
    await state.append(Group(launch_id="launch", n=4 * n + 3, events=events, deltas=deltas))
    await state.end_turn(
        TurnEnd(
            kind="message", message_id=message_id, position=begun.attempt.position, attempt=1, first_seq=begun.attempt.first_seq,
            stop_reason="end_turn", usage={}, workspace_version=None, started_at=begun.attempt.started_at,
            group=Group(launch_id="launch", n=4 * n + 4),
        )
    )  # fmt: skip
    return accepted_ms


async def measure(agents: int, seconds: float) -> list[Row]:
    """Turns per second over all instances, beside what the disk can do."""
    with TemporaryDirectory(dir="/var/tmp") as folder, ThreadPoolExecutor(8) as executor:
        disk = fdatasyncs_per_second(Path(folder), 2)
        async with AsyncExitStack() as stack:
            states = await open_states(stack, Path(folder), executor, agents)
            deadline, latencies = time.perf_counter() + seconds, list[float]()

            async def talk(state: StateStore) -> None:
                n = 0
                while time.perf_counter() < deadline:
                    latencies.append(await turn(state, n))
                    n += 1

            began, cpu = time.perf_counter(), time.process_time()
            await asyncio.gather(*(talk(state) for state in states))
            took, cpu = time.perf_counter() - began, time.process_time() - cpu
    rate, fsync_ms = len(latencies) / took, 1000 / disk
    return [
        Row("durable turns per second, state alone", rate, "1/s", "higher", f"{disk:,.0f} fdatasync/s", rate / disk),
        Row("CPU of a turn, state alone", cpu / len(latencies) * 1e6, "us", "lower", "", 0),
        Row(
            "accept, state alone: p50",
            percentile(latencies, 0.5),
            "ms",
            "lower",
            "fdatasync",
            percentile(latencies, 0.5) / fsync_ms,
        ),
        Row(
            "accept, state alone: p99",
            percentile(latencies, 0.99),
            "ms",
            "lower",
            "fdatasync",
            percentile(latencies, 0.99) / fsync_ms,
        ),
    ]


def main() -> None:
    """Measure and publish."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--agents", type=int, default=50)
    parser.add_argument("--seconds", type=float, default=5)
    arguments = parser.parse_args()
    publish("durability", uvloop.run(measure(arguments.agents, arguments.seconds)))


if __name__ == "__main__":
    main()
