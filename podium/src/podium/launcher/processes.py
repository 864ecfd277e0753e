"""The launcher port over the Unix socket of the launcher process.

Connects on first use and again whenever the connection is lost; what was asked meanwhile is asked again, all requests being
idempotent. Works on one event loop.
"""

import asyncio
import itertools
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import msgspec

from podium.launcher import messages
from podium.launcher.port import Exit, Launch, LaunchError, LaunchSpec
from podium.protocol.framing import FrameError, FrameReader, encode_frame

_FIRST_PAUSE_S = 0.02
_LONGEST_PAUSE_S = 0.25
_RECEIVE_BYTES = 64 * 1024

_decoder = msgspec.json.Decoder(messages.FromLauncher)
_encoder = msgspec.json.Encoder()


class _LinkLost(Exception):
    """The connection ended before the answer came."""


class _Link:
    """One connection, and what is known over it. A future that is resolved with None was lost with the connection."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.is_open = True
        self._reader, self._writer = reader, writer
        self._numbers = itertools.count(1)
        self._pending: dict[int, asyncio.Future[messages.Reply | None]] = {}
        self._known: dict[str, Launch] = {}
        self._ends: dict[str, asyncio.Future[Exit | None]] = {}
        self._receiving = asyncio.create_task(self._receive())

    @classmethod
    async def open(cls, socket: Path) -> "_Link":
        """Connect and learn which launches there are; OSError or _LinkLost where that fails."""
        link = cls(*await asyncio.open_unix_connection(socket))
        try:
            await link.ask(lambda number: messages.List(id=number))
        except BaseException:
            await link.close()
            raise
        return link

    async def ask(self, request: Callable[[int], messages.Request]) -> messages.Reply:
        """The reply; _LinkLost where the connection ends before it."""
        number = next(self._numbers)
        future: asyncio.Future[messages.Reply | None] = asyncio.get_running_loop().create_future()
        self._pending[number] = future
        try:
            if not self.is_open:
                raise _LinkLost
            self._writer.write(encode_frame(_encoder.encode(request(number))))
            reply = await future
        finally:
            del self._pending[number]
        if reply is None:
            raise _LinkLost
        return reply

    async def exit_of(self, launch_id: str) -> Exit:
        """How a launch ended, once it has; _LinkLost where the connection ends before that."""
        if launch_id not in self._known:
            await self.ask(lambda number: messages.List(id=number))
        launch = self._known.get(launch_id)
        if launch is None:
            return Exit()
        if launch.exit is not None:
            return launch.exit
        end = self._ends.setdefault(launch_id, asyncio.get_running_loop().create_future())
        exit_ = await asyncio.shield(end)
        if exit_ is None:
            raise _LinkLost
        return exit_

    def forget(self, launch_id: str) -> None:
        """Drop what is known of a launch."""
        self._known.pop(launch_id, None)

    async def close(self) -> None:
        """Lose the connection on purpose."""
        self._receiving.cancel()
        with suppress(asyncio.CancelledError):
            await self._receiving
        with suppress(OSError):
            await self._writer.wait_closed()

    async def _receive(self) -> None:
        frames = FrameReader()
        try:
            while data := await self._reader.read(_RECEIVE_BYTES):
                for frame in frames.feed(data):
                    self._take(_decoder.decode(frame))
        except (OSError, FrameError, msgspec.DecodeError):
            pass
        finally:
            self._lose()

    def _take(self, message: messages.FromLauncher) -> None:
        match message:
            case messages.Exited(launch_id=launch_id, exit=exit_):
                self._learn_exit(launch_id, exit_)
                return
            case messages.Started(launch=launch):
                self._known[launch.launch_id] = launch
            case messages.Launches(launches=launches):
                self._known = {launch.launch_id: launch for launch in launches}
        future = self._pending.get(message.id)
        if future is not None and not future.done():
            future.set_result(message)

    def _learn_exit(self, launch_id: str, exit_: Exit) -> None:
        launch = self._known.get(launch_id)
        if launch is not None:
            self._known[launch_id] = msgspec.structs.replace(launch, exit=exit_)
        end = self._ends.pop(launch_id, None)
        if end is not None:
            end.set_result(exit_)

    def _lose(self) -> None:
        self.is_open = False
        self._writer.close()
        for reply in self._pending.values():
            if not reply.done():
                reply.set_result(None)
        for end in self._ends.values():
            end.set_result(None)
        self._ends.clear()


class ProcessLauncher:
    """Asks the launcher process at `socket`. ConnectionError where no answer comes within `reach_timeout_s`."""

    def __init__(self, socket: Path, *, reach_timeout_s: float = 10.0) -> None:
        self._socket = socket
        self._reach_timeout_s = reach_timeout_s
        self._link: _Link | None = None
        self._connecting: asyncio.Task[_Link | str] | None = None

    async def start(self, spec: LaunchSpec) -> Launch:
        """Start the process; LaunchError where that fails. Starting a known launch_id returns what is there."""
        reply = await self._ask(lambda number: messages.Start(id=number, spec=spec))
        if isinstance(reply, messages.Failed):
            raise LaunchError(reply.reason)
        assert isinstance(reply, messages.Started)
        return reply.launch

    async def kill(self, launch_id: str) -> None:
        """End the process and, where it has a uid of its own, everything of that uid. Returns at once; idempotent."""
        await self._ask(lambda number: messages.Kill(id=number, launch_id=launch_id))

    async def list(self) -> list[Launch]:
        """Every launch that was not forgotten."""
        reply = await self._ask(lambda number: messages.List(id=number))
        assert isinstance(reply, messages.Launches)
        return reply.launches

    async def forget(self, launch_id: str) -> None:
        """Drop an ended launch; idempotent."""
        await self._ask(lambda number: messages.Forget(id=number, launch_id=launch_id))
        if self._link is not None:
            self._link.forget(launch_id)

    async def wait(self, launch_id: str) -> Exit:
        """Return once the process has ended and nothing of it is left, at once where it has.

        A launch that the launcher does not know has ended, nobody saw how: so have all of a launcher that died, once another
        is there to ask.
        """
        while True:
            link = await self._reach()
            with suppress(_LinkLost):
                return await link.exit_of(launch_id)

    async def close(self) -> None:
        """Drop the connection. Nothing may be waiting on it."""
        if self._connecting is not None:
            self._connecting.cancel()
        if self._link is not None:
            await self._link.close()
        self._connecting = self._link = None

    async def _ask(self, request: Callable[[int], messages.Request]) -> messages.Reply:
        try:
            async with asyncio.timeout(self._reach_timeout_s):
                while True:
                    link = await self._reach()
                    with suppress(_LinkLost):
                        return await link.ask(request)
        except TimeoutError:
            raise ConnectionError(f"the launcher at {self._socket} does not answer") from None

    async def _reach(self) -> _Link:
        """The link, or ConnectionError: all who ask while it is being made share one outcome."""
        if self._link is not None and self._link.is_open:
            return self._link
        if self._connecting is None:
            self._connecting = asyncio.create_task(self._connect())
            self._connecting.add_done_callback(self._connected)
        link = await asyncio.shield(self._connecting)
        if isinstance(link, str):
            raise ConnectionError(f"the launcher at {self._socket} cannot be reached: {link}")
        return link

    def _connected(self, connecting: asyncio.Task[_Link | str]) -> None:
        if not connecting.cancelled():
            link = connecting.result()
            self._link = link if isinstance(link, _Link) else None
        self._connecting = None

    async def _connect(self) -> _Link | str:
        pause_s, reason = _FIRST_PAUSE_S, "it does not answer"
        with suppress(TimeoutError):
            async with asyncio.timeout(self._reach_timeout_s):
                while True:
                    try:
                        return await _Link.open(self._socket)
                    except OSError as error:
                        reason = str(error)
                    except _LinkLost:
                        reason = "it closes the connection"
                    await asyncio.sleep(pause_s)
                    pause_s = min(2 * pause_s, _LONGEST_PAUSE_S)
        return reason
