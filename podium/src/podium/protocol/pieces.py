"""What coordinators send gateways of a stream: bytes as the client gets them, each piece with the cursor behind it.

A gateway passes pieces on without looking into them, and knows nevertheless where to go on when the coordinator goes away. A
piece is whole frames: it is forwarded whole or not at all.
"""

import struct
from typing import NamedTuple

from podium.protocol.ids import Cursor

MEDIA_TYPE = "application/vnd.podium.pieces"
PIECES_HEADER = "x-podium-pieces"
"""Asks for pieces where the answer is a stream."""
RESUME_HEADER = "x-podium-resume"
"""The cursor behind the last piece that was forwarded: the stream goes on there, without its opening frames."""
MAX_PIECE_BYTES = 32 << 20
"""Above the 16 MiB of the largest frame an agent can send, with its envelope."""
_HEAD = struct.Struct("<IBQQ")


class Piece(NamedTuple):
    """`cursor` None leaves the reader where it is. `moves`: it goes there even if that is back. `fences`: nothing of a lower
    epoch may follow. `last`: nothing follows at all."""

    data: bytes
    cursor: Cursor | None = None
    moves: bool = False
    fences: bool = False
    last: bool = False


class BrokenPiece(ConnectionError):
    """The bytes are no pieces."""


def pack(piece: Piece) -> bytes:
    """The piece as it goes over the wire: 4 bytes of length, flags, epoch and seq, all little-endian, then the data."""
    flags = (piece.cursor is not None) | piece.moves << 1 | piece.fences << 2 | piece.last << 3
    epoch, seq = piece.cursor or (0, 0)
    return _HEAD.pack(len(piece.data), flags, epoch, seq) + piece.data


class PieceReader:
    """Takes bytes as they come, cut anywhere, and gives whole pieces."""

    def __init__(self) -> None:
        self._buffer = bytearray()

    def feed(self, chunk: bytes) -> list[Piece]:
        """The pieces completed by `chunk`; BrokenPiece."""
        self._buffer += chunk
        buffer, start, pieces = self._buffer, 0, list[Piece]()
        while len(buffer) - start >= _HEAD.size:
            size, flags, epoch, seq = _HEAD.unpack_from(buffer, start)
            if size > MAX_PIECE_BYTES:
                raise BrokenPiece(f"a piece of {size} bytes is larger than {MAX_PIECE_BYTES}")
            begin, end = start + _HEAD.size, start + _HEAD.size + size
            if len(buffer) < end:
                break
            cursor = Cursor(epoch, seq) if flags & 1 else None
            pieces.append(Piece(bytes(buffer[begin:end]), cursor, bool(flags & 2), bool(flags & 4), bool(flags & 8)))
            start = end
        del buffer[:start]
        return pieces
