"""The launcher process: `python -I -B -m podium.launcher.process --socket PATH`.

One thread, no framework, and little to go wrong: it must outlive the coordinator, or its agents die with it. Connections come
and go, several may be open; launches stay until they are forgotten. SIGTERM ends every agent, then the launcher.
"""

import argparse
import os
import selectors
import signal
import socket
import struct
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from pathlib import Path

import msgspec

from podium.launcher import messages
from podium.launcher.exec import close_descriptors
from podium.launcher.launches import Launches, Process
from podium.launcher.port import LaunchError, LaunchSpec
from podium.protocol.framing import FrameError, FrameReader, encode_frame
from podium.supervisor import prctl

_ENDING_S = 10.0
_MAX_UNSENT_BYTES = 32 * 1024 * 1024
_RECEIVE_BYTES = 64 * 1024
_CONFIGURATION_ERROR = 2

_decoder = msgspec.json.Decoder(messages.Request)
_encoder = msgspec.json.Encoder()


class Connection:
    """One peer. What it cannot take yet is kept, up to a bound; beyond it, or once it speaks nonsense, it is dropped."""

    def __init__(self, peer: socket.socket) -> None:
        self.socket = peer
        self.is_open = True
        self.unsent = bytearray()
        self._reader = FrameReader()

    def receive(self) -> list[messages.Request]:
        """The requests that have arrived whole. Closed afterwards where the peer went away or broke the protocol."""
        try:
            data = self.socket.recv(_RECEIVE_BYTES)
            self.is_open = bool(data)
            return [_decoder.decode(frame) for frame in self._reader.feed(data)]
        except BlockingIOError:
            return []
        except (OSError, FrameError, msgspec.DecodeError):
            self.is_open = False
            return []

    def send(self, message: messages.FromLauncher) -> None:
        """Send a message now, or as soon as the peer takes it."""
        self.unsent += encode_frame(_encoder.encode(message))
        self.flush()

    def flush(self) -> None:
        """Send what the peer takes now."""
        try:
            while self.unsent:
                del self.unsent[: self.socket.send(self.unsent)]
        except BlockingIOError:
            self.is_open = self.is_open and len(self.unsent) <= _MAX_UNSENT_BYTES
        except OSError:
            self.is_open = False


class LauncherProcess:
    """Joins sockets, signals and launches in one loop."""

    def __init__(self, listener: socket.socket) -> None:
        self._listener = listener
        self._launches = Launches(warn=_warn)
        self._connections: list[Connection] = []
        self._starting: dict[str, list[tuple[Connection, int]]] = {}
        self._selector = selectors.DefaultSelector()
        self._awoken, self._waking = socket.socketpair()
        self._is_ending = False

    def run(self) -> None:
        """Serve until SIGTERM or SIGINT, then end every launch, and return."""
        self._watch(self._listener, self._accept)
        self._catch_signals()
        while not self._is_ending:
            self._turn(None)
        self._stop_listening()
        self._launches.kill_all()
        deadline = time.monotonic() + _ENDING_S
        while not self._launches.all_ended() and (left_s := deadline - time.monotonic()) > 0:
            self._turn(left_s)

    def _stop_listening(self) -> None:
        """Whoever connects from here on shall find the next launcher."""
        self._selector.unregister(self._listener)
        self._listener.close()

    def _turn(self, timeout_s: float | None) -> None:
        for key, mask in self._selector.select(timeout_s):
            key.data(mask)
        for connection in self._connections:
            events = selectors.EVENT_READ | (selectors.EVENT_WRITE if connection.unsent else 0)
            if not connection.is_open:
                self._selector.unregister(connection.socket)
                connection.socket.close()
            elif self._selector.get_key(connection.socket).events != events:
                self._selector.modify(connection.socket, events, partial(self._serve, connection))
        self._connections = [connection for connection in self._connections if connection.is_open]

    def _watch(self, source: socket.socket | int, callback: Callable[[int], None]) -> None:
        self._selector.register(source, selectors.EVENT_READ, callback)

    def _accept(self, _mask: int) -> None:
        try:
            peer, _ = self._listener.accept()
        except OSError:
            return
        if not _is_trusted(peer):
            peer.close()
            return
        peer.setblocking(False)
        connection = Connection(peer)
        self._connections.append(connection)
        self._watch(peer, partial(self._serve, connection))

    def _serve(self, connection: Connection, mask: int) -> None:
        if mask & selectors.EVENT_WRITE:
            connection.flush()
        if mask & selectors.EVENT_READ:
            for request in connection.receive():
                self._answer(connection, request)

    def _answer(self, connection: Connection, request: messages.Request) -> None:
        match request:
            case messages.Start(id=number, spec=spec):
                self._start(connection, number, spec)
            case messages.Kill(id=number, launch_id=launch_id):
                self._launches.kill(launch_id)
                connection.send(messages.Done(id=number))
            case messages.List(id=number):
                connection.send(messages.Launches(id=number, launches=self._launches.known()))
            case messages.Forget(id=number, launch_id=launch_id):
                self._launches.forget(launch_id)
                connection.send(messages.Done(id=number))

    def _start(self, connection: Connection, number: int, spec: LaunchSpec) -> None:
        try:
            if self._is_ending:
                raise LaunchError("the launcher is ending")
            process = self._launches.start(spec)
        except LaunchError as error:
            connection.send(messages.Failed(id=number, reason=str(error)))
            return
        if spec.launch_id in self._starting:
            self._starting[spec.launch_id].append((connection, number))
        elif process.settled:
            connection.send(messages.Started(id=number, launch=process.launch()))
        else:
            self._starting[spec.launch_id] = [(connection, number)]
            self._watch(process.told, partial(self._settle, process))

    def _settle(self, process: Process, _mask: int) -> None:
        reason = self._launches.settle(process)
        self._selector.unregister(process.told)
        os.close(process.told)
        for connection, number in self._starting.pop(process.launch_id):
            if reason is None:
                connection.send(messages.Started(id=number, launch=process.launch()))
            else:
                connection.send(messages.Failed(id=number, reason=reason))

    def _catch_signals(self) -> None:
        """Every signal writes a byte to a socket that the loop watches."""
        self._awoken.setblocking(False)
        self._waking.setblocking(False)
        signal.set_wakeup_fd(self._waking.fileno(), warn_on_full_buffer=False)
        signal.signal(signal.SIGCHLD, lambda _number, _frame: None)
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._end)
        self._watch(self._awoken, self._collect_children)

    def _end(self, _number: int, _frame: object) -> None:
        self._is_ending = True

    def _collect_children(self, _mask: int) -> None:
        with suppress(BlockingIOError):
            self._awoken.recv(_RECEIVE_BYTES)
        for launch in self._launches.reap():
            assert launch.exit is not None
            for connection in self._connections:
                connection.send(messages.Exited(launch_id=launch.launch_id, exit=launch.exit))


def _is_trusted(peer: socket.socket) -> bool:
    _pid, uid, _gid = struct.unpack("iII", peer.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("iII")))
    return uid in (0, os.geteuid())


def _listen(path: Path) -> socket.socket:
    """Take the path over from a launcher that went before; only our own uid may connect."""
    path.unlink(missing_ok=True)
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    os.umask(0o177)
    listener.bind(str(path))
    os.umask(0o077)
    listener.listen()
    listener.setblocking(False)
    return listener


def _warn(line: str) -> None:
    # Nobody reading is no reason to end.
    with suppress(OSError):
        print(f"launcher: {line}", file=sys.stderr, flush=True)


def main() -> int:
    """Run the launcher; the exit code is 2 where the socket cannot be made."""
    parser = argparse.ArgumentParser(prog="podium.launcher.process", description="Starts and ends agent processes.")
    parser.add_argument("--socket", type=Path, required=True, metavar="PATH", help="the Unix socket to listen on")
    path: Path = parser.parse_args().socket
    close_descriptors()
    prctl.adopt_orphans()
    try:
        listener = _listen(path)
    except OSError as error:
        _warn(f"cannot listen on {path}: {error}. Choose a shorter path, or a directory that can be written to.")
        return _CONFIGURATION_ERROR
    LauncherProcess(listener).run()
    return 0


if __name__ == "__main__":
    sys.exit(main())
