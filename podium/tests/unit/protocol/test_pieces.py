"""Pieces come out as they went in, wherever the bytes are cut."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from podium.protocol.ids import Cursor
from podium.protocol.pieces import MAX_PIECE_BYTES, BrokenPiece, Piece, PieceReader, pack

numbers = st.integers(0, 10**18 - 1)
pieces = st.builds(
    Piece, st.binary(max_size=300), st.none() | st.builds(Cursor, numbers, numbers), st.booleans(), st.booleans(), st.booleans()
)


@given(st.lists(pieces, max_size=8), st.integers(1, 40))
def test_any_pieces_cut_anywhere(sent: list[Piece], chunk_bytes: int) -> None:
    data, reader, got = b"".join(map(pack, sent)), PieceReader(), list[Piece]()
    for start in range(0, len(data), chunk_bytes):
        got += reader.feed(data[start : start + chunk_bytes])
    assert got == sent


def test_half_a_piece_is_none() -> None:
    reader, data = PieceReader(), pack(Piece(b"data", Cursor(1, 2)))
    assert reader.feed(data[:-1]) == []
    assert reader.feed(data[-1:]) == [Piece(b"data", Cursor(1, 2))]


def test_a_length_that_nobody_sends_is_refused_before_it_is_read() -> None:
    with pytest.raises(BrokenPiece):
        PieceReader().feed((MAX_PIECE_BYTES + 1).to_bytes(4, "little") + bytes(17))
