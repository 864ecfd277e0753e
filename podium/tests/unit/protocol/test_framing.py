"""The golden vectors of `spec/framing.json`, and that cutting a stream anywhere changes nothing."""

import itertools
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from podium.protocol.framing import MAX_FRAME_BYTES, FrameError, FrameReader, encode_frame

VECTORS = json.loads((Path(__file__).parents[4] / "spec" / "framing.json").read_text())


def _named(kind: str) -> list[Any]:
    return [pytest.param(vector, id=vector["name"]) for vector in VECTORS[kind]]


@pytest.mark.parametrize("vector", _named("frames"))
def test_golden_frame(vector: dict[str, Any]) -> None:
    payload = vector["payload"].encode()
    assert encode_frame(payload).hex() == vector["frame_hex"]
    assert FrameReader().feed(bytes.fromhex(vector["frame_hex"])) == [payload]


@pytest.mark.parametrize("vector", _named("streams"))
def test_golden_stream(vector: dict[str, Any]) -> None:
    reader = FrameReader()
    payloads = [payload for piece in vector["pieces_hex"] for payload in reader.feed(bytes.fromhex(piece))]
    assert payloads == [payload.encode() for payload in vector["payloads"]]


@pytest.mark.parametrize("vector", _named("refused"))
def test_golden_refusal(vector: dict[str, Any]) -> None:
    with pytest.raises(FrameError):
        FrameReader().feed(bytes.fromhex(vector["bytes_hex"]))


@given(st.lists(st.binary(min_size=1, max_size=300), max_size=8), st.lists(st.integers(0, 2500), max_size=8))
def test_a_stream_may_be_cut_anywhere(payloads: list[bytes], cuts: list[int]) -> None:
    stream = b"".join(encode_frame(payload) for payload in payloads)
    places = [0, *sorted(min(cut, len(stream)) for cut in cuts), len(stream)]
    reader = FrameReader()
    pieces = [stream[start:end] for start, end in itertools.pairwise(places)]
    assert [payload for piece in pieces for payload in reader.feed(piece)] == payloads


@given(st.binary(max_size=64))
def test_garbage_gives_frames_or_is_refused(data: bytes) -> None:
    reader = FrameReader()
    try:
        payloads = reader.feed(data)
    except FrameError:
        return
    assert sum(len(payload) + 4 for payload in payloads) <= len(data)


@pytest.mark.parametrize("size", [0, MAX_FRAME_BYTES + 1])
def test_what_no_reader_takes_is_not_written(size: int) -> None:
    with pytest.raises(FrameError):
        encode_frame(bytes(size))


def test_the_largest_frame_passes() -> None:
    payload = bytes(MAX_FRAME_BYTES)
    assert FrameReader().feed(encode_frame(payload)) == [payload]
