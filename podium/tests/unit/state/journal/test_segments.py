"""What a segment holds is read back up to the first record that is not whole, whatever stands behind it."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from podium.protocol.errors import NewerFormat
from podium.state.journal import segments
from podium.state.journal.segments import BLOCK_BYTES, Header, Record, encode, encode_header, read_header, read_records

SIZE = 64 * 1024
records = st.lists(st.tuples(st.integers(1, 1000), st.binary(max_size=20), st.binary(max_size=300)), max_size=20)


def write(path: Path, header: Header, *chunks: bytes) -> Path:
    data = encode_header(header) + b"".join(chunks)
    path.write_bytes(data.ljust(SIZE, b"\0"))
    return path


@given(records)
def test_what_was_written_is_read(tmp_path_factory: pytest.TempPathFactory, steps: list[tuple[int, bytes, bytes]]) -> None:
    number, expected = 7, list[Record]()
    for step, key, body in steps:
        number += step
        expected.append(Record(number, key, body))
    path = write(tmp_path_factory.mktemp("segment") / "0.segment", Header(7, 3), *(encode(*record) for record in expected))
    assert read_header(path) == Header(7, 3)
    assert list(read_records(path, 7)) == expected


@given(st.data())
def test_a_torn_tail_ends_the_records_and_nothing_else(tmp_path_factory: pytest.TempPathFactory, data: st.DataObject) -> None:
    """Any byte behind the fsync may be anything: what stands before it is read, what stands behind it is not."""
    whole = [Record(n, b"a.1", bytes([n]) * data.draw(st.integers(0, 50))) for n in range(1, 8)]
    encoded = [encode(*record) for record in whole]
    torn = data.draw(st.integers(0, 6))
    at = BLOCK_BYTES + sum(map(len, encoded[:torn])) + data.draw(st.integers(0, len(encoded[torn]) - 1))
    path = write(tmp_path_factory.mktemp("segment") / "0.segment", Header(0, 0), *encoded)
    content = bytearray(path.read_bytes())
    content[at] ^= data.draw(st.integers(1, 255))
    path.write_bytes(content)
    assert list(read_records(path, 0)) == whole[:torn]


def test_records_of_an_earlier_use_do_not_count(tmp_path: Path) -> None:
    old = [encode(n, b"a.1", b"old" * 10) for n in range(1, 9)]
    new = [encode(n, b"a.1", b"new" * 10) for n in range(101, 104)]
    path = write(tmp_path / "0.segment", Header(100, 100), *new, *old[3:])
    assert [record.number for record in read_records(path, 100)] == [101, 102, 103]


@pytest.mark.parametrize("content", [b"", b"PODJ", bytes(SIZE), b"x" * SIZE])
def test_what_was_never_begun_has_no_header(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "0.segment"
    path.write_bytes(content)
    assert read_header(path) is None


def test_a_newer_journal_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(segments, "FORMAT", segments.FORMAT + 1)
    path = write(tmp_path / "0.segment", Header(0, 0))
    monkeypatch.undo()
    with pytest.raises(NewerFormat, match="upgrade"):
        read_header(path)


def test_a_segment_that_cannot_be_made_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        segments.make(tmp_path / "missing" / "0.segment", SIZE)
    segments.make(tmp_path / "0.segment", SIZE)
    assert [(path.name, path.stat().st_size) for path in tmp_path.iterdir()] == [("0.segment", SIZE)]
