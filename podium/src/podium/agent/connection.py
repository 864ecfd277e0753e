"""The agent's end of the IPC socket: connects, reconnects, repeats what was not acknowledged, drops what it knows."""

import asyncio
import sys
from collections.abc import Iterable

import msgspec

from podium import __version__
from podium.agent.outbox import Numbered, Outbox
from podium.protocol.framing import FrameError, FrameReader, encode_frame
from podium.protocol.messages import PROTOCOL, AckId, AckN, Hello, Ping, Pong, ToAgent

GIVE_UP_S = 30.0
FIRST_RETRY_S = 0.02
LONGEST_RETRY_S = 1.0
ACCEPTED_AFTER_S = 1.0
"""A coordinator that refuses an agent hangs up sooner; one that has nothing to say does not."""
KNOWN_IDS = 4096

_encoder = msgspec.json.Encoder()
_decoder: msgspec.json.Decoder[ToAgent] = msgspec.json.Decoder(ToAgent)


class ConnectionLost(Exception):
    """No coordinator has answered for too long."""


class Connection:
    """`run` it as a task; `send` and `receive` frames meanwhile. `turn` is the id of the message frame in work, for `hello`."""

    def __init__(self, path: str, launch_id: str, *, give_up_s: float = GIVE_UP_S) -> None:
        self.turn: str | None = None
        self.said_hello = asyncio.Event()
        self._path = path
        self._launch_id = launch_id
        self._give_up_s = give_up_s
        self._outbox = Outbox()
        self._sealed = False
        self._progress = asyncio.Event()
        self._arrived: asyncio.Queue[ToAgent] = asyncio.Queue()
        self._known: dict[str, None] = {}
        self._wire: _Wire | None = None

    async def run(self) -> None:
        """Stay connected for ever; ConnectionLost once no coordinator has accepted the agent for `give_up_s`."""
        loop = asyncio.get_running_loop()
        silent_since, delay_s = loop.time(), FIRST_RETRY_S
        while True:
            wire = await self._connect()
            if wire is not None:
                await wire.lost.wait()
                self._wire = None
                if wire.heard or loop.time() - wire.since >= ACCEPTED_AFTER_S:
                    silent_since, delay_s = loop.time(), FIRST_RETRY_S
            if loop.time() + delay_s - silent_since > self._give_up_s:
                raise ConnectionLost(f"no coordinator on {self._path} for {self._give_up_s:g} s")
            await asyncio.sleep(delay_s)
            delay_s = min(2 * delay_s, LONGEST_RETRY_S)

    async def receive(self) -> ToAgent:
        """The next frame that is new. Acknowledgements and pings are answered before."""
        return await self._arrived.get()

    def send(self, frame: Numbered) -> None:
        """Send a frame now or after the next reconnect; errors as `Outbox.put`."""
        if self._sealed:
            return
        data = self._outbox.put(frame)
        if self._wire:
            self._wire.write(data)

    def seal(self) -> None:
        """The last frame was sent: whatever still runs in this process has nothing more to say."""
        self._sealed = True

    @property
    def full(self) -> bool:
        """Whether too much is unacknowledged to send what can wait or be left out."""
        return self._outbox.full

    async def room(self) -> None:
        """Return once there is room for another frame of output."""
        while self._outbox.full:
            await self._next_progress()

    async def acknowledged(self, timeout_s: float) -> bool:
        """Wait until everything sent is acknowledged; whether that happened in time."""
        try:
            async with asyncio.timeout(timeout_s):
                while not self._outbox.empty:
                    await self._next_progress()
        except TimeoutError:
            return False
        return True

    def take(self, frame: ToAgent, wire: "_Wire") -> None:
        """One frame has arrived."""
        if isinstance(frame, AckN):
            self._outbox.acknowledged(frame.n)
            self._progress.set()
        elif isinstance(frame, Ping):
            wire.write(encode_frame(_encoder.encode(Pong())))
        else:
            wire.write(encode_frame(_encoder.encode(AckId(id=frame.id))))
            if self._is_new(frame.id):
                self._arrived.put_nowait(frame)

    async def _connect(self) -> "_Wire | None":
        try:
            _, wire = await asyncio.get_running_loop().create_unix_connection(lambda: _Wire(self), self._path)
        except OSError:
            return None
        hello = Hello(protocol=PROTOCOL, sdk=f"python/{__version__}", launch_id=self._launch_id, n=self._outbox.n, turn=self.turn)
        wire.write(encode_frame(_encoder.encode(hello)))
        wire.write_all(self._outbox)
        self._wire = wire
        self.said_hello.set()
        return wire

    async def _next_progress(self) -> None:
        self._progress.clear()
        await self._progress.wait()

    def _is_new(self, frame_id: str) -> bool:
        if frame_id in self._known:
            return False
        self._known[frame_id] = None
        if len(self._known) > KNOWN_IDS:
            del self._known[next(iter(self._known))]
        return True


class _Wire(asyncio.Protocol):
    """One connection. What is written within one iteration of the loop leaves in one system call."""

    def __init__(self, connection: Connection) -> None:
        self.lost = asyncio.Event()
        self.heard = False
        self.since = asyncio.get_running_loop().time()
        self._connection = connection
        self._reader = FrameReader()
        self._transport: asyncio.Transport | None = None
        self._unsent: list[bytes] = []
        self._scheduled = False
        self._paused = False

    def write(self, data: bytes) -> None:
        self.write_all((data,))

    def write_all(self, frames: Iterable[bytes]) -> None:
        self._unsent.extend(frames)
        if not self._scheduled:
            self._scheduled = True
            asyncio.get_running_loop().call_soon(self._flush)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        try:
            payloads = self._reader.feed(data)
        except FrameError as error:
            print(f"podium: {error}; connecting anew", file=sys.stderr)
            assert self._transport is not None
            self._transport.abort()
            return
        for payload in payloads:
            self._take(payload)

    def connection_lost(self, exc: Exception | None) -> None:
        self._transport = None
        self.lost.set()

    def pause_writing(self) -> None:
        self._paused = True

    def resume_writing(self) -> None:
        self._paused = False
        self._flush()

    def _take(self, payload: bytes) -> None:
        try:
            frame = _decoder.decode(payload)
        except (msgspec.DecodeError, RecursionError) as error:
            print(f"podium: a frame that this SDK does not know was left out: {error}", file=sys.stderr)
            return
        self.heard = True
        self._connection.take(frame, self)

    def _flush(self) -> None:
        self._scheduled = False
        if self._transport and self._unsent and not self._paused:
            data = b"".join(self._unsent)
            self._unsent.clear()
            self._transport.write(data)
