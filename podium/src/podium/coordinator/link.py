"""The IPC of one launch: a listening socket of its own, one connection at a time, frames numbered and acknowledged.

The peer is hostile until proven otherwise: another uid, another launch, a frame out of turn or out of bounds ends the
connection. What arrives is held up to a bound; beyond it the agent's writes wait.
"""

import asyncio
import contextlib
import os
import socket
import struct
from collections import deque
from pathlib import Path
from typing import cast

import msgspec

from podium import log
from podium.protocol.documents import check_document
from podium.protocol.framing import FrameError, FrameReader, encode_frame
from podium.protocol.messages import (
    PROTOCOL,
    AckId,
    AckN,
    FromAgent,
    Hello,
    Log,
    Ping,
    Pong,
    StreamUpdate,
    ToAgent,
)

MAX_HELD_FRAMES = 512
MAX_HELD_BYTES = 4 * 1024 * 1024
READ_BYTES = 32 * 1024
MAX_GROUP_FRAMES = 256
"""Frames that are worked on in one go. It and READ_BYTES bound the milliseconds in which no other agent gets its turn."""
MAX_UNHEARD_BYTES = 64 * 1024 * 1024
"""Sent to an agent that has not acknowledged it: what one can be sent at most while it lives, with room to spare."""
HELLO_TIMEOUT_S = 5.0
MAX_ELEMENT_BYTES = 1024 * 1024
MAX_STRANGERS = 4
ACK_AFTER_S = 0.2
ACK_AFTER_FRAMES = 512
ACK_AFTER_BYTES = 256 * 1024

_read_into = bytearray(READ_BYTES)  # one for all: what was read is taken before anything else is
_encoder = msgspec.json.Encoder()
_decoder: msgspec.json.Decoder[FromAgent] = msgspec.json.Decoder(FromAgent)
_logger = log.get("link")


class Link:
    """The coordinator's end. `open`, then `send`, `receive` and `ack`, then `close`.

    `received_n` is the last frame whose effect an earlier coordinator has stored.
    """

    def __init__(self, path: Path, launch_id: str, uid: int | None, received_n: int = 0) -> None:
        self.path = path
        self.launch_id = launch_id
        self.uid = uid
        self.received_n = received_n
        self.connected = asyncio.Event()
        self.heard_at = 0.0
        self._server: asyncio.AbstractServer | None = None
        self._connection: _Connection | None = None
        self.strangers = 0
        self._unacknowledged: dict[str, bytes] = {}
        self._unheard_bytes = 0
        self._held: deque[tuple[FromAgent, int]] = deque()
        self._held_bytes = 0
        self._stored_n = received_n
        self._acknowledged_n = 0
        self._unacknowledged_bytes = 0
        self._ack_timer: asyncio.TimerHandle | None = None
        self._news = asyncio.Event()
        self._closed = False
        self._broken: FrameError | None = None

    async def open(self) -> None:
        """Listen. OSError where the socket cannot be made."""
        sock = _listening_socket(self.path, self.uid)
        self._server = await asyncio.get_running_loop().create_unix_server(lambda: _Connection(self), sock=sock)

    def send(self, frame: ToAgent) -> None:
        """Send a frame, now or as soon as the agent is connected, again after each reconnect until it is acknowledged."""
        data = encode_frame(_encoder.encode(frame))
        if not isinstance(frame, AckN | Ping):
            self._unheard_bytes += len(data) - len(self._unacknowledged.get(frame.id, b""))
            self._unacknowledged[frame.id] = data
        if self._unheard_bytes > MAX_UNHEARD_BYTES:
            self.broke(FrameError(f"{MAX_UNHEARD_BYTES} bytes were sent and not acknowledged"))
        self._write(data)

    def ack(self, n: int, *, soon: bool = False) -> None:
        """Tell the agent that the effects of all frames up to `n` are stored: at once, or `soon`, with the next frame.

        Each write wakes the agent's process, which costs more than the frame: between turns an acknowledgement can wait.
        """
        self._stored_n = n
        many = n - self._acknowledged_n >= ACK_AFTER_FRAMES or self._unacknowledged_bytes >= ACK_AFTER_BYTES
        if not soon or many:
            self._write_ack()
        elif self._ack_timer is None:
            self._ack_timer = asyncio.get_running_loop().call_later(ACK_AFTER_S, self._write_ack)

    def _write_ack(self) -> None:
        self._write(b"")

    def _write(self, data: bytes) -> None:
        """Write frames, the acknowledgement that is due before them."""
        if self._ack_timer:
            self._ack_timer.cancel()
            self._ack_timer = None
        if self._stored_n > self._acknowledged_n and self._connection:
            self._acknowledged_n = self._stored_n
            self._unacknowledged_bytes = 0
            data = encode_frame(_encoder.encode(AckN(n=self._stored_n))) + data
        if data and self._connection:
            self._connection.write(data)

    async def receive(self) -> list[FromAgent] | None:
        """The next frames that have come, 1 to MAX_GROUP_FRAMES; None once closed; FrameError if the agent broke the rules."""
        while not self._held:
            if self._broken:
                raise self._broken
            if self._closed:
                return None
            self._news.clear()
            await self._news.wait()
        frames = list[FromAgent]()
        while self._held and len(frames) < MAX_GROUP_FRAMES:
            frame, size_bytes = self._held.popleft()
            frames.append(frame)
            self._held_bytes -= size_bytes
        if self._connection and not self.full:
            self._connection.resume()
        return frames

    def close(self) -> None:
        """Stop listening and drop the connection; what has arrived can still be received. Idempotent."""
        self._closed = True
        if self._ack_timer:
            self._ack_timer.cancel()
        if self._server:
            self._server.close()
        if self._connection:
            self._connection.drop()
        with contextlib.suppress(FileNotFoundError):
            self.path.unlink()
        self._news.set()

    def ping(self) -> None:
        """Ask for a sign of life, which `heard_at` tells of."""
        self.send(Ping())

    @property
    def full(self) -> bool:
        """Whether no more is read from the agent until what has come is taken."""
        return len(self._held) >= MAX_HELD_FRAMES or self._held_bytes >= MAX_HELD_BYTES

    @property
    def pid(self) -> int | None:
        """The process that is connected."""
        return self._connection.pid if self._connection else None

    async def silent(self) -> None:
        """Return once there is no connection, so that nothing more can arrive from a process that has ended."""
        while self._connection:
            await self._connection.lost.wait()

    def welcome(self, connection: "_Connection") -> None:
        """The right agent has said hello: this is the connection from now on, unless there is to be none any more."""
        if self._closed or self._broken:
            connection.drop()
            return
        if self._connection:
            self._connection.drop()
        self._connection = connection
        self._acknowledged_n = 0
        self._write_ack()
        self.connected.set()
        for data in self._unacknowledged.values():
            connection.write(data)

    def gone(self, connection: "_Connection") -> None:
        """A connection was lost."""
        if self._connection is connection:
            self._connection = None

    def take(self, frame: FromAgent, size_bytes: int) -> bool:
        """Hold one frame; False where no more fit."""
        match frame:
            case AckId():
                self._unheard_bytes -= len(self._unacknowledged.pop(frame.id, b""))
                return True
            case Pong():
                return True
            case Hello():
                raise FrameError("hello comes once, first")
        if self._broken or frame.n <= self.received_n:
            return True  # it is over, or this was sent again after a reconnect
        if frame.n != self.received_n + 1:
            raise FrameError(f"frame {frame.n} came after {self.received_n}")
        self.received_n = frame.n
        if isinstance(frame, StreamUpdate) and size_bytes > MAX_ELEMENT_BYTES:
            said = f"an element of {size_bytes} bytes was dropped; {MAX_ELEMENT_BYTES} are allowed: write large results to a file"
            frame = Log(n=frame.n, level="warning", message=said)
        self._held.append((frame, size_bytes))
        self._held_bytes += size_bytes
        self._unacknowledged_bytes += size_bytes
        self._news.set()
        return not self.full

    def broke(self, error: FrameError) -> None:
        """The agent does not speak the protocol: nothing more is taken from it, else it could put off its end for ever."""
        self._broken = error
        if self._connection:
            self._connection.drop()
        self._news.set()


class _Connection(asyncio.BufferedProtocol):
    """One connection: a stranger until its hello."""

    def __init__(self, link: Link) -> None:
        self.lost = asyncio.Event()
        self.pid: int | None = None
        self._link = link
        self._reader = FrameReader()
        self._known = False
        self._transport: asyncio.Transport | None = None
        self._hello_timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        transport = cast(asyncio.Transport, transport)  # uvloop's own class is not registered as one
        self._transport = transport
        self._link.strangers += 1
        self.pid, uid = _peer(transport.get_extra_info("socket"))
        wanted = os.getuid() if self._link.uid is None else self._link.uid
        if uid != wanted or self._link.strangers > MAX_STRANGERS:
            _logger.warning("a stranger was refused", launch_id=self._link.launch_id, uid=uid)
            transport.abort()
            return
        self._hello_timer = asyncio.get_running_loop().call_later(HELLO_TIMEOUT_S, transport.abort)

    def get_buffer(self, sizehint: int) -> bytearray:
        return _read_into

    def buffer_updated(self, nbytes: int) -> None:
        try:
            for payload in self._reader.feed(memoryview(_read_into)[:nbytes]):
                self._take(payload)
        except (ValueError, RecursionError) as error:
            self._refuse(FrameError(str(error)))

    def connection_lost(self, exc: Exception | None) -> None:
        self.lost.set()
        if not self._known:
            self._link.strangers -= 1
        if self._hello_timer:
            self._hello_timer.cancel()
        self._link.gone(self)

    def write(self, data: bytes) -> None:
        """Send bytes; the agent's slowness is bounded by what the coordinator has for it."""
        if self._transport and not self._transport.is_closing():
            self._transport.write(data)

    def resume(self) -> None:
        """Read on after a pause."""
        if self._transport and not self._transport.is_closing():
            self._transport.resume_reading()

    def drop(self) -> None:
        """End the connection at once."""
        if self._transport:
            self._transport.abort()

    def _take(self, payload: bytes) -> None:
        frame = _decoder.decode(payload)
        check_document(payload)
        if self._known:
            self._link.heard_at = asyncio.get_running_loop().time()
            if not self._link.take(frame, len(payload)) and self._transport:
                self._transport.pause_reading()
            return
        if not isinstance(frame, Hello) or frame.launch_id != self._link.launch_id or frame.protocol > PROTOCOL:
            _logger.warning("a hello of another launch or protocol was refused", launch_id=self._link.launch_id)
            raise FrameError("this is not the agent that was started")
        self._known = True
        self._link.strangers -= 1
        if self._hello_timer:
            self._hello_timer.cancel()
        self._link.welcome(self)

    def _refuse(self, error: FrameError) -> None:
        if self._known:
            self._link.broke(error)
        self.drop()


def _peer(sock: socket.socket) -> tuple[int, int]:
    """The process at the other end and its uid."""
    pid, uid, _ = struct.unpack("3i", sock.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i")))
    return int(pid), int(uid)


def _listening_socket(path: Path, uid: int | None) -> socket.socket:
    """A listening socket that only `uid` can connect to, from its first moment."""
    with contextlib.suppress(FileNotFoundError):
        path.unlink()
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        os.fchmod(sock.fileno(), 0o600)  # Linux takes the mode of the file from the socket's inode at bind
        sock.bind(str(path))
        if uid is not None:
            os.chown(path, uid, uid)
        sock.setblocking(False)
        sock.listen(8)
    except OSError:
        sock.close()
        raise
    return sock
