"""What the agent has said and the coordinator has not yet acknowledged."""

from collections import deque
from collections.abc import Iterator

import msgspec

from podium.protocol.framing import encode_frame
from podium.protocol.messages import AgentFailure, Complete, IdleReply, Log, Ready, StateDelta, StreamUpdate, ToolRequest

MAX_BYTES = 1024 * 1024
MAX_FRAMES = 1024

Numbered = Ready | StreamUpdate | StateDelta | Log | ToolRequest | Complete | IdleReply | AgentFailure
_encoder = msgspec.json.Encoder()


class Outbox:
    """Numbers frames 1, 2, 3 … and keeps each until it is acknowledged."""

    def __init__(self) -> None:
        self.n = 0
        self._kept: deque[tuple[int, bytes]] = deque()
        self._size_bytes = 0

    def __iter__(self) -> Iterator[bytes]:
        return (data for _, data in self._kept)

    @property
    def empty(self) -> bool:
        """Whether everything was acknowledged."""
        return not self._kept

    @property
    def full(self) -> bool:
        """Whether whoever can wait should."""
        return self._size_bytes >= MAX_BYTES or len(self._kept) >= MAX_FRAMES

    def put(self, frame: Numbered) -> bytes:
        """Give the frame the next number; return it encoded. FrameError, TypeError or ValueError where it cannot be: then no
        number is used."""
        frame.n = self.n + 1
        data = encode_frame(_encoder.encode(frame))
        self.n = frame.n
        self._kept.append((frame.n, data))
        self._size_bytes += len(data)
        return data

    def acknowledged(self, n: int) -> None:
        """Forget the frames up to `n`."""
        while self._kept and self._kept[0][0] <= n:
            self._size_bytes -= len(self._kept.popleft()[1])
