"""Numbers, what is kept until it is acknowledged, and when that is too much."""

import json

import pytest

from podium.agent.outbox import MAX_BYTES, MAX_FRAMES, Outbox
from podium.protocol.framing import FrameError, FrameReader
from podium.protocol.messages import Log


def log(message: object = "x") -> Log:
    return Log(n=0, level="info", message=message)  # type: ignore[arg-type]


def numbers(outbox: Outbox) -> list[int]:
    return [json.loads(payload)["n"] for payload in FrameReader().feed(b"".join(outbox))]


def test_frames_are_numbered_and_kept_until_acknowledged() -> None:
    outbox = Outbox()
    for _ in range(4):
        outbox.put(log())
    outbox.acknowledged(2)
    outbox.acknowledged(1)
    assert (outbox.n, numbers(outbox), outbox.empty) == (4, [3, 4], False)
    outbox.acknowledged(99)
    assert (outbox.n, numbers(outbox), outbox.empty) == (4, [], True)


@pytest.mark.parametrize(("message", "error"), [(object(), TypeError), ("\ud800", ValueError), ("x" * 2**24, FrameError)])
def test_what_cannot_be_sent_takes_no_number(message: object, error: type[Exception]) -> None:
    outbox = Outbox()
    with pytest.raises(error):
        outbox.put(log(message))
    outbox.put(log())
    assert numbers(outbox) == [1]


@pytest.mark.parametrize(("message", "frames"), [("x", MAX_FRAMES), ("x" * (MAX_BYTES // 4), 4)])
def test_it_is_full_by_number_or_by_size(message: str, frames: int) -> None:
    outbox = Outbox()
    for _ in range(frames):
        assert not outbox.full
        outbox.put(log(message))
    assert outbox.full
    outbox.acknowledged(1)
    assert not outbox.full
