"""Log records when nobody takes them."""

import pytest

from podium.agent.connection import Connection
from podium.agent.log import MAX_MESSAGE_CHARS, Log
from podium.agent.outbox import MAX_FRAMES


async def test_too_many_records_go_to_stderr(capsys: pytest.CaptureFixture[str]) -> None:
    connection = Connection("/nowhere", "launch-1")
    log = Log(connection)
    for number in range(MAX_FRAMES + 2):
        log.info("record %d", number)
    assert capsys.readouterr().err == f"info: record {MAX_FRAMES}\ninfo: record {MAX_FRAMES + 1}\n"


async def test_records_are_cut_and_made_sendable() -> None:
    connection = Connection("/nowhere", "launch-1")
    log = Log(connection)
    log.info("\ud800" * (MAX_MESSAGE_CHARS + 1))
    [data] = connection._outbox
    assert data.count(b"?") == MAX_MESSAGE_CHARS


async def test_an_exception_is_logged_with_its_traceback() -> None:
    connection = Connection("/nowhere", "launch-1")
    try:
        raise LookupError("lost")
    except LookupError:
        Log(connection).exception("looked for %s", "it")
    [data] = connection._outbox
    assert b"looked for it\\nTraceback" in data
    assert b"LookupError: lost" in data
