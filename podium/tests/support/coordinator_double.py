"""The coordinator's end of one agent's socket, in memory, and the real runtime started against it.

It stores what arrives by number as the contract says, fails on a gap or on a repeat with other content, and can withhold
acknowledgements and drop connections.
"""

import asyncio
import contextlib
import itertools
import os
import sys
import tempfile
from collections.abc import AsyncIterator, Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from podium.protocol.framing import FrameReader, encode_frame
from podium.protocol.messages import (
    AckId,
    AckN,
    AgentFailure,
    Complete,
    FromAgent,
    Hello,
    Init,
    Message,
    MessageData,
    Origin,
    Pong,
    Ready,
    Shutdown,
    StateDelta,
    StreamUpdate,
    ToAgent,
)

DEADLINE_S = 30.0
F = TypeVar("F", bound=msgspec.Struct)
_decoder = msgspec.json.Decoder(FromAgent)


class CoordinatorDouble:
    """Listens on `socket`. `frames` is what arrived with a number, in order."""

    def __init__(self, directory: Path) -> None:
        self.socket = directory / "ipc.sock"
        self.hellos: list[Hello] = []
        self.frames: list[FromAgent] = []
        self.acked_ids: list[str] = []
        self.pongs = 0
        self.repeats = 0
        self.acknowledging = True
        self._ids = itertools.count(1)
        self._sent: dict[str, ToAgent] = {}
        self._changed = asyncio.Condition()
        self._writer: asyncio.StreamWriter | None = None
        self._server: asyncio.Server | None = None
        self._broken: BaseException | None = None
        self._serving: set[asyncio.Task[None]] = set()

    async def listen(self) -> None:
        """Accept connections."""
        self._server = await asyncio.start_unix_server(self._serve, self.socket)

    async def close(self) -> None:
        """Stop listening and hang up, as a coordinator that dies."""
        assert self._server
        self._server.close()
        self.hang_up()
        if self._serving:
            await asyncio.wait(self._serving)
        await self._server.wait_closed()
        self.socket.unlink(missing_ok=True)
        if self._broken:
            raise self._broken

    def hang_up(self) -> None:
        """Drop the connection at once."""
        if self._writer:
            self._writer.transport.abort()
            self._writer = None

    def send(self, frame: ToAgent) -> None:
        """Send a frame now, and again after each reconnect until it is acknowledged."""
        if hasattr(frame, "id"):
            self._sent[frame.id] = frame
        self._write(frame)

    def write_bytes(self, data: bytes) -> None:
        """Send bytes that need not be a frame."""
        assert self._writer
        self._writer.write(data)

    def acknowledge(self) -> None:
        """Acknowledge all that has arrived."""
        self._write(AckN(n=len(self.frames)))

    def of(self, kind: type[F]) -> list[F]:
        """The frames of one kind."""
        return [frame for frame in self.frames if isinstance(frame, kind)]

    async def until(self, condition: Callable[[], bool]) -> None:
        """Wait until `condition` holds; it is asked again whenever something arrives."""
        async with asyncio.timeout(DEADLINE_S), self._changed:
            await self._changed.wait_for(condition)

    async def first(self, kind: type[F], number: int = 1) -> F:
        """The `number`th frame of a kind, as soon as it is there."""
        await self.until(lambda: len(self.of(kind)) >= number or (kind is not AgentFailure and bool(self.of(AgentFailure))))
        assert len(self.of(kind)) >= number, self.of(AgentFailure)
        return self.of(kind)[number - 1]

    async def init(self, **fields: Any) -> Ready:
        """Send `init` and wait until the agent is ready."""
        self.send_init(**fields)
        return await self.first(Ready)

    def send_init(self, **fields: Any) -> None:
        """Send `init`."""
        document: dict[str, Any] = {"config": {}, "secrets": {}, "state": None} | fields
        self.send(Init(id="init", agent_id="agent_1", agent_type="test", **document))

    def message(self, text: str) -> Message:
        """The next message frame: f1 with message m1, and so on."""
        number = next(self._ids)
        origin = Origin(tenant_id="default")
        return Message(id=f"f{number}", message_id=f"m{number}", data=MessageData(text=text), origin=origin, attempt=1)

    def say(self, text: str) -> str:
        """Send a message; return its id."""
        frame = self.message(text)
        self.send(frame)
        return frame.message_id

    async def ask(self, text: str) -> str:
        """Send a message, wait for its turn to end, return the text of the answer."""
        turns = len(self.of(Complete))
        message_id = self.say(text)
        complete = await self.first(Complete, turns + 1)
        assert complete.message_id == message_id
        return self.text_of(message_id)

    def text_of(self, message_id: str) -> str:
        """What a message was answered."""
        elements = [frame.element for frame in self.of(StreamUpdate) if frame.message_id == message_id]
        return "".join(element["text"] for element in elements if element["type"] in ("text_delta", "text_final"))

    def deltas_of(self, message_id: str) -> list[dict[str, Any]]:
        """What a message or hook did to the state."""
        return [delta for frame in self.of(StateDelta) if frame.message_id == message_id for delta in frame.deltas]

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task
        self._serving.add(task)
        frames = FrameReader()
        try:
            while data := await reader.read(65536):
                for payload in frames.feed(data):
                    self._take(_decoder.decode(payload), writer)
                async with self._changed:
                    self._changed.notify_all()
        except ConnectionError:
            pass
        except BaseException as error:  # the test has to see it
            self._broken = error
        finally:
            self._serving.discard(task)
            writer.close()

    def _take(self, frame: FromAgent, writer: asyncio.StreamWriter) -> None:
        match frame:
            case Hello():
                self.hellos.append(frame)
                self._writer = writer
                for sent in self._sent.values():
                    self._write(sent)
            case AckId():
                self.acked_ids.append(frame.id)
                self._sent.pop(frame.id, None)
            case Pong():
                self.pongs += 1
            case _:
                self._number(frame)

    def _number(self, frame: FromAgent) -> None:
        if frame.n <= len(self.frames):
            assert self.frames[frame.n - 1] == frame, f"frame {frame.n} came again with other content"
            self.repeats += 1
        else:
            assert frame.n == len(self.frames) + 1, f"frame {frame.n} came after {len(self.frames)}"
            self.frames.append(frame)
        if self.acknowledging:
            self.acknowledge()

    def _write(self, frame: ToAgent) -> None:
        if self._writer and not self._writer.is_closing():
            self._writer.write(encode_frame(msgspec.json.encode(frame)))


class RunningAgent:
    """A real agent process with a double as its coordinator."""

    def __init__(
        self, coordinator: CoordinatorDouble, process: asyncio.subprocess.Process, workspace: Path, output: Path
    ) -> None:
        self.coordinator = coordinator
        self.process = process
        self.workspace = workspace
        self._output = output

    @property
    def output(self) -> str:
        """What the process has printed."""
        return self._output.read_text()

    async def init(self, **fields: Any) -> Ready:
        """Send `init` and wait until the agent is ready."""
        return await self.coordinator.init(workspace=str(self.workspace), **fields)

    async def exit_code(self) -> int:
        """Wait for the process to end."""
        async with asyncio.timeout(DEADLINE_S):
            return await self.process.wait()

    async def shut_down(self) -> int:
        """Ask for an orderly end; return the exit code."""
        self.coordinator.send(Shutdown(id="bye", reason="test"))
        return await self.exit_code()


Run = Callable[[str], contextlib.AbstractAsyncContextManager[RunningAgent]]
"""Starts an agent whose module has the given code."""


@contextlib.asynccontextmanager
async def running_agent(
    bundle: Path, workspace: Path, entrypoint: str = "agent:Agent", env: Mapping[str, str] = {}
) -> AsyncIterator[RunningAgent]:
    """Start the runtime on a bundle; whatever is left of it ends with the block."""
    workspace.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="podium-") as short:
        coordinator = CoordinatorDouble(Path(short))
        await coordinator.listen()
        output = Path(short, "output")
        names = {
            "AGENT_IPC_SOCKET": str(coordinator.socket), "AGENT_LAUNCH_ID": "launch-1", "AGENT_ID": "agent_1",
            "AGENT_BUNDLE": str(bundle), "AGENT_ENTRYPOINT": entrypoint, "AGENT_WORKSPACE": str(workspace),
        }  # fmt: skip
        with output.open("wb") as file:
            process = await asyncio.create_subprocess_exec(
                sys.executable, "-I", "-B", "-m", "podium.agent.runtime",
                env={"PATH": os.defpath} | names | env, cwd=workspace, stdin=asyncio.subprocess.DEVNULL, stdout=file, stderr=file,
            )  # fmt: skip
        try:
            yield RunningAgent(coordinator, process, workspace, output)
        finally:
            if process.returncode is None:
                process.kill()
            await process.wait()
            await coordinator.close()
