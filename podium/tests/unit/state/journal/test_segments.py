"""What a segment holds is read back up to the first record that is not whole, whatever stands behind it."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from podium.protocol.errors import NewerFormat
from podium.state.journal import segments
from podium.state.journal.recovery import recover
from podium.state.journal.segments import (
    BLOCK_BYTES,
    Header,
    Record,
    encode,
    encode_header,
    read_header,
    read_records,
    seal,
    wipe,
)

SIZE = 64 * 1024
records = st.lists(st.tuples(st.integers(1, 1000), st.binary(max_size=20), st.binary(max_size=300)), max_size=20)


def write(path: Path, header: Header, *chunks: bytes) -> Path:
    data = encode_header(header) + b"".join(chunks)
    path.write_bytes(data.ljust(SIZE, b"\0"))
    return path


def sealed(record: Record, salt: int = 5) -> bytes:
    return seal([encode(record)], salt)


def some(first: int, count: int) -> list[Record]:
    return [Record(first + n, b"a.1", b"%d" % n) for n in range(1, count + 1)]


@given(records)
def test_what_was_written_is_read(tmp_path_factory: pytest.TempPathFactory, steps: list[tuple[int, bytes, bytes]]) -> None:
    number, expected = 7, list[Record]()
    for step, key, body in steps:
        number += step
        expected.append(Record(number, key, body))
    path = write(tmp_path_factory.mktemp("segment") / "0.segment", Header(7, 3, 5), *map(sealed, expected))
    assert read_header(path) == Header(7, 3, 5)
    assert list(read_records(path, Header(7, 3, 5))) == expected


@given(st.data())
def test_a_torn_tail_ends_the_records_and_nothing_else(tmp_path_factory: pytest.TempPathFactory, data: st.DataObject) -> None:
    """Any byte behind the fsync may be anything: what stands before it is read, what stands behind it is not."""
    whole = [Record(n, b"a.1", bytes([n]) * data.draw(st.integers(0, 50))) for n in range(1, 8)]
    encoded = [sealed(record) for record in whole]
    torn = data.draw(st.integers(0, 6))
    at = BLOCK_BYTES + sum(map(len, encoded[:torn])) + data.draw(st.integers(0, len(encoded[torn]) - 1))
    path = write(tmp_path_factory.mktemp("segment") / "0.segment", Header(0, 0, 5), *encoded)
    content = bytearray(path.read_bytes())
    content[at] ^= data.draw(st.integers(1, 255))
    path.write_bytes(content)
    assert list(read_records(path, Header(0, 0, 5))) == whole[:torn]


def test_records_of_an_earlier_use_do_not_count(tmp_path: Path) -> None:
    """Not even where their numbers would fit."""
    new, old = some(100, 3), some(103, 5)
    path = write(tmp_path / "0.segment", Header(100, 100, 6), *(sealed(record, 6) for record in new), *map(sealed, old))
    assert list(read_records(path, Header(100, 100, 6))) == new


# ---- recovery


def test_segments_are_read_in_the_order_of_their_records(tmp_path: Path) -> None:
    write(tmp_path / "1.segment", Header(0, 0, 5), *map(sealed, some(0, 3)))
    write(tmp_path / "0.segment", Header(3, 0, 5), *map(sealed, some(3, 3)))
    recovered = recover(tmp_path)
    assert (recovered.last, recovered.records) == (6, {b"a.1": [*some(0, 3), *some(3, 3)]})


def test_nothing_counts_behind_what_was_lost(tmp_path: Path) -> None:
    """The power went when neither the end of one segment nor the next was synced, and the disk kept only the latter."""
    write(tmp_path / "0.segment", Header(0, 0, 5), *map(sealed, some(0, 3)))
    write(tmp_path / "1.segment", Header(5, 0, 5), *map(sealed, some(5, 3)))
    recovered = recover(tmp_path)
    assert (recovered.last, recovered.records) == (3, {b"a.1": some(0, 3)})


def test_what_the_files_hold_is_not_read_again(tmp_path: Path) -> None:
    write(tmp_path / "0.segment", Header(0, 0, 5), *map(sealed, some(0, 3)))
    write(tmp_path / "1.segment", Header(3, 3, 5), *map(sealed, some(3, 3)))
    assert recover(tmp_path).records == {b"a.1": some(3, 3)}


def test_a_wiped_segment_was_never_begun(tmp_path: Path) -> None:
    path = write(tmp_path / "0.segment", Header(0, 0, 5), *map(sealed, some(0, 3)))
    wipe(path)
    assert (read_header(path), path.stat().st_size) == (None, SIZE)
    assert recover(tmp_path).records == {}


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
