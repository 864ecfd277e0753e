"""Frames of the IPC sockets (section 6): 4 bytes of little-endian length, then that many bytes of JSON.

The golden vectors are in `spec/framing.json`.
"""

MAX_FRAME_BYTES = 16 * 1024 * 1024
HEADER_BYTES = 4


class FrameError(ValueError):
    """The peer does not speak the protocol; the connection must be closed."""


def encode_frame(payload: bytes) -> bytes:
    """One frame around `payload`; FrameError if it is empty or longer than MAX_FRAME_BYTES."""
    if not 0 < len(payload) <= MAX_FRAME_BYTES:
        raise FrameError(f"a frame holds 1 to {MAX_FRAME_BYTES} bytes, not {len(payload)}")
    return len(payload).to_bytes(HEADER_BYTES, "little") + payload


class FrameReader:
    """Takes bytes as they come and gives whole frames back. Holds at most one unfinished frame."""

    def __init__(self) -> None:
        self._buffer = bytearray()

    def feed(self, data: bytes | memoryview) -> list[bytes]:
        """Return the payloads that `data` completes, in order; FrameError on a length out of bounds."""
        self._buffer += data
        frames: list[bytes] = []
        start = 0
        while len(self._buffer) - start >= HEADER_BYTES:
            size = int.from_bytes(self._buffer[start : start + HEADER_BYTES], "little")
            if not 0 < size <= MAX_FRAME_BYTES:
                raise FrameError(f"a frame of {size} bytes was announced; 1 to {MAX_FRAME_BYTES} are allowed")
            end = start + HEADER_BYTES + size
            if len(self._buffer) < end:
                break
            frames.append(bytes(self._buffer[start + HEADER_BYTES : end]))
            start = end
        del self._buffer[:start]
        return frames
