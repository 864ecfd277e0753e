"""One life of an agent's process, from `init` to its exit code: which hook runs when, and what is said about it."""

import asyncio
import sys
import time
from collections import deque
from collections.abc import Callable
from typing import Any, NoReturn

import msgspec

from podium.agent.base import BaseAgent, handler_of
from podium.agent.connection import Connection, ConnectionLost
from podium.agent.context import AgentContext
from podium.agent.hooks import HookFailed, check, finished
from podium.agent.loader import load_agent
from podium.agent.log import Log, forward_logging
from podium.agent.models.delta_state import load_state
from podium.agent.output import Output, Scope
from podium.protocol.messages import (
    HOOK_IDLE,
    HOOK_INIT,
    HOOK_SHUTDOWN,
    Answer,
    Complete,
    ConfigUpdate,
    IdleCheck,
    IdleReply,
    Init,
    Message,
    Ready,
    Shutdown,
    Steer,
    StopTurn,
    ToAgent,
    ToolResponse,
)

EXIT_FAILED = 1
EXIT_ALONE = 75
STOP_GRACE_S = 0.4
RUN_GRACE_S = 1.0
FAILURE_ACK_S = 2.0
SHUTDOWN_ACK_S = 10.0

Queued = Message | ConfigUpdate | IdleCheck | Shutdown


class Session:
    """Runs an agent. `phases` are milliseconds of start-up by name, added to here and sent with `ready`."""

    _agent: BaseAgent
    _ctx: AgentContext
    _output: Output

    def __init__(self, connection: Connection, phases: dict[str, float]) -> None:
        loop = asyncio.get_running_loop()
        self._connection = connection
        self._phases = phases
        self._since = time.perf_counter()
        self._init: asyncio.Future[Init] = loop.create_future()
        self._broken: asyncio.Future[int] = loop.create_future()
        self._queue: deque[Queued] = deque()
        self._arrived = asyncio.Event()
        self._scope: Scope | None = None
        self._tasks: list[asyncio.Task[Any]] = []
        self._early: dict[str, list[Steer | StopTurn]] = {}

    async def run(self, entrypoint: str, bundle: str) -> int:
        """Live until shutdown, failure or loneliness; return the process's exit code."""
        connected = asyncio.create_task(self._connection.run())
        reading = asyncio.create_task(self._read())
        living = asyncio.create_task(self._live(entrypoint, bundle))
        ends: set[asyncio.Future[Any]] = {connected, reading, living, self._broken}
        await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
        try:
            for end in (self._broken, living, reading):
                if end.done():
                    return end.result()
            connected.result()
        except HookFailed as failed:
            await self._report(failed)
            return EXIT_FAILED
        except ConnectionLost as lost:
            print(f"podium: {lost}; the agent ends", file=sys.stderr)
        return EXIT_ALONE

    def terminate(self) -> None:
        """End as after a `shutdown` from the coordinator; at once if the agent is not there yet."""
        if self._init.done():
            self._enqueue(Shutdown(id="", reason="SIGTERM"))
        elif not self._broken.done():
            self._broken.set_result(0)

    # ---- what arrives

    async def _read(self) -> NoReturn:
        while True:
            self._dispatch(await self._connection.receive())

    def _dispatch(self, frame: ToAgent) -> None:
        match frame:
            case Init():
                if not self._init.done():
                    self._init.set_result(frame)
            case StopTurn() | Steer():
                self._control(frame)
            case Answer() | ToolResponse() if self._scope:
                self._ctx._questions.take(frame)
            case IdleCheck() if self._scope or self._queue:
                self._connection.send(IdleReply(n=0, idle=False, reason="the agent is at work"))
            case Message():
                self._connection.turn = frame.id
                self._enqueue(frame)
            case ConfigUpdate() | IdleCheck() | Shutdown():
                self._enqueue(frame)

    def _enqueue(self, frame: Queued) -> None:
        self._queue.append(frame)
        self._arrived.set()

    def _control(self, frame: Steer | StopTurn) -> None:
        """Stop or guide the turn it names: the one that runs, or one whose message waits here for its turn."""
        scope = self._scope
        if scope is None or scope.message_id != frame.message_id:
            if any(isinstance(queued, Message) and queued.message_id == frame.message_id for queued in self._queue):
                self._early.setdefault(frame.message_id, []).append(frame)
        elif isinstance(frame, StopTurn):
            scope.cancelled = True
            self._ctx._questions.cancel()
            asyncio.get_running_loop().call_later(STOP_GRACE_S, self._cancel, scope)
        elif handler := handler_of(self._agent, "steer"):
            self._tasks.append(self._beside(handler, self._ctx, frame.content))
        else:
            scope.steers.append(frame.content)

    def _cancel(self, scope: Scope) -> None:
        if self._scope is scope:
            for task in self._tasks:
                task.cancel()

    # ---- the life

    async def _live(self, entrypoint: str, bundle: str) -> int:
        init = await self._init
        self._phase("connect")
        self._load(init, entrypoint, bundle)
        self._phase("load")
        await self._hook(Scope(HOOK_INIT), self._agent.on_init, lazily=True)
        self._phase("init")
        self._connection.send(Ready(n=0, phases=self._phases))
        background = self._beside(self._agent.run, self._ctx)
        while True:
            match await self._next():
                case Message() as frame:
                    await self._turn(frame)
                case ConfigUpdate() as frame:
                    merge(self._ctx.config, frame.changes)
                    await self._call(None, self._agent.on_config_change, frame.changes)
                case IdleCheck():
                    await self._idle()
                case Shutdown():
                    background.cancel()
                    await asyncio.wait({background}, timeout=RUN_GRACE_S)
                    return await self._shutdown()

    def _load(self, init: Init, entrypoint: str, bundle: str) -> None:
        try:
            log = Log(self._connection)
            agent_class = load_agent(entrypoint, bundle)
            forward_logging(log)
            state = load_state(agent_class.State, init.state, log.warning)
            self._output = Output(self._connection, state)
            self._ctx = AgentContext(init, state, self._output, log)
            self._agent = agent_class()
        except (Exception, SystemExit) as error:
            raise HookFailed("load_failed", None) from error

    async def _next(self) -> Queued:
        while not self._queue:
            self._arrived.clear()
            await self._arrived.wait()
        return self._queue.popleft()

    async def _turn(self, frame: Message) -> None:
        scope = Scope(frame.message_id, frame.attempt)
        await self._hook(scope, self._agent.on_message, _as_dict(frame))
        if scope.steers:
            self._ctx.log.info("%d pieces of guidance were not read: no handler, and left in ctx.steers", len(scope.steers))
        reason = "stopped" if scope.cancelled else "end_turn"
        self._connection.turn = None
        self._connection.send(Complete(n=0, message_id=frame.message_id, stop_reason=reason, usage=scope.usage))

    async def _idle(self) -> None:
        reason, idle = self._ctx._awake_for, False
        if not reason:
            answer = await self._hook(Scope(HOOK_IDLE), self._agent.on_idle_timeout, lazily=True)
            idle = answer is None or bool(answer)
            reason = "" if idle else "on_idle_timeout returned False"
        self._connection.send(IdleReply(n=0, idle=idle, reason=reason))

    async def _shutdown(self) -> int:
        await self._hook(Scope(HOOK_SHUTDOWN), self._agent.on_shutdown, lazily=True)
        self._connection.send(Complete(n=0, message_id=HOOK_SHUTDOWN))
        self._connection.seal()
        return 0 if await self._connection.acknowledged(SHUTDOWN_ACK_S) else EXIT_ALONE

    # ---- hooks

    def _beside(self, hook: Callable[..., Any], *args: Any) -> asyncio.Task[Any]:
        """Run the author's code beside the hooks. If it raises, that ends the process, and the turn in flight with it."""
        task = asyncio.create_task(finished(hook, *args))
        task.add_done_callback(self._watch)
        return task

    def _watch(self, task: asyncio.Task[Any]) -> None:
        error = None if task.cancelled() else task.exception()
        if error and not self._broken.done():
            failed = HookFailed("agent_error", self._scope.message_id if self._scope else None)
            failed.__cause__ = error
            self._broken.set_exception(failed)

    async def _hook(self, scope: Scope, hook: Callable[..., Any], *args: Any, lazily: bool = False) -> Any:
        """Run a hook, then make what it did ready to be committed; HookFailed where either raises."""
        result = await self._call(scope, hook, *args)
        try:
            self._output.flush(scope, lazily=lazily)
            self._ctx._close_sql(commit=True)
        except Exception as error:
            raise HookFailed("agent_error", scope.message_id) from error
        return result

    async def _call(self, scope: Scope | None, hook: Callable[..., Any], *args: Any) -> Any:
        """Run a hook and the event handlers that begin meanwhile; None where it was stopped."""
        self._scope = self._output.scope = scope
        task = asyncio.create_task(finished(hook, self._ctx, *args))
        self._tasks = [task]
        for frame in self._early.pop(scope.message_id, ()) if scope else ():
            self._control(frame)
        try:
            for running in self._tasks:  # grows while the first one runs
                await asyncio.wait({running})
                check(running, scope)
        finally:
            self._scope = self._output.scope = None
        return None if task.cancelled() else task.result()

    async def _report(self, failed: HookFailed) -> None:
        """Undo what is not committed, say what happened and let nothing follow."""
        frame = failed.frame()
        print(frame.traceback, file=sys.stderr, end="")
        if hasattr(self, "_ctx"):
            self._ctx._close_sql(commit=False)
        self._connection.send(frame)
        self._connection.seal()
        await self._connection.acknowledged(FAILURE_ACK_S)

    def _phase(self, name: str) -> None:
        now = time.perf_counter()
        self._phases[name] = round((now - self._since) * 1000, 3)
        self._since = now


def merge(config: dict[str, Any], changes: dict[str, Any]) -> None:
    """Apply a JSON Merge Patch (RFC 7396) in place: null removes, objects are merged, all else replaces."""
    for key, value in changes.items():
        if value is None:
            config.pop(key, None)
        elif isinstance(value, dict):
            target = config.get(key)
            config[key] = target if isinstance(target, dict) else {}
            merge(config[key], value)
        else:
            config[key] = value


def _as_dict(frame: Message) -> dict[str, Any]:
    data: dict[str, Any] = msgspec.to_builtins(frame.data)
    return data | {"id": frame.message_id, "attempt": frame.attempt, "origin": msgspec.to_builtins(frame.origin)}
