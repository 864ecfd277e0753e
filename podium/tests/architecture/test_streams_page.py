"""The page on streams says what the code does at each bound."""

import re
from pathlib import Path

from podium.config import rows
from podium.coordinator import link, sse, stream
from podium.gateway import held, upstream
from podium.server import socket

PAGE = (Path(__file__).parents[3] / "docs" / "explanation" / "streams.md").read_text()
BOUNDS = {
    cells[0]: cells[1] for line in PAGE.splitlines() if (cells := [cell.strip() for cell in line.strip("|").split("|")])[1:]
}
KIB = 1024


def test_the_bounds_are_those_of_the_code() -> None:
    assert (
        BOUNDS["frames an agent has sent, not yet stored"]
        == f"{link.MAX_HELD_FRAMES} frames, {link.MAX_HELD_BYTES // KIB**2} MiB"
    )
    memory = f"{stream.RECENT_BYTES // KIB**2} MiB, {stream.UNREAD_BYTES // KIB} KiB while nobody reads"
    assert BOUNDS["an instance's newest events in memory"] == memory
    batch = f"{stream.BATCH_BYTES // KIB} KiB of groups, {stream.PAGE_EVENTS} events from the log, or one event"
    assert BOUNDS["one batch to a reader"] == batch
    assert BOUNDS["what a gateway has read for one client"] == f"{2 * upstream.READ_BUFFER_BYTES // KIB} KiB and one piece"
    assert BOUNDS["silence of a coordinator"] == f"{held.SILENCE_S:g} s; it says something every {sse.HEARTBEAT_S:g} s"
    assert BOUNDS["no coordinator that could go on"] == f"{held.HOLD_FOR_S:g} s"
    assert BOUNDS["a client's frame without a receipt"] == f"{held.HOLD_FOR_S:g} s"
    assert BOUNDS["frames of a client that wait for their receipt"] == str(socket.MAX_WAITING_FRAMES)
    assert BOUNDS["a client that does not answer a close"] == f"{socket.CLOSE_TIMEOUT_S:g} s"


def test_the_settings_it_names_exist() -> None:
    named = {name for cell in BOUNDS.values() for name in re.findall(r"`([A-Z_]+)`", cell)}
    assert named
    assert named <= {row.name for _, row in rows()}
