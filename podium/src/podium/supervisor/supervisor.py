"""Keeps processes running, each for itself, in the order they depend on each other.

`Supervisor.run` starts them one after the other as the one before serves, starts each again that ends, and at the end stops
them in reverse. What happens is told through callbacks; they are called on the event loop and must not raise or block.
"""

import asyncio
import subprocess
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any

from podium.supervisor.child import Child
from podium.supervisor.restarts import GiveUp, History, Run, after, decide
from podium.supervisor.spec import EventKind, Outcome, ProcessEvent, ProcessSpec

_PROBE_PAUSE_S = 0.03
_CANNOT_START = 127

OnEvent = Callable[[ProcessEvent], None]
OnOutput = Callable[[str, bytes], None]


class Supervisor:
    """Runs `specs` until it is stopped or one of them cannot be had.

    `on_output` gets the name of a process and whole lines of its standard output and error. To be used on the main thread's
    loop, once.
    """

    def __init__(
        self,
        specs: Sequence[ProcessSpec],
        *,
        on_event: OnEvent,
        on_output: OnOutput,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._keepers = [_Keeper(spec, on_event, on_output, clock) for spec in specs]
        self._on_event = on_event
        self._stopping = asyncio.Event()
        self._hurry = asyncio.Event()

    def stop(self) -> None:
        """End `run`: each process gets its stop signal and its grace. A second call ends the grace.

        A signal handler of the loop may call it.
        """
        if self._stopping.is_set():
            self._hurry.set()
        self._stopping.set()

    async def run(self) -> Outcome:
        """Start all, keep them running, stop all. Also when cancelled, nothing is left when it returns."""
        if threading.current_thread() is not threading.main_thread():
            raise RuntimeError("processes must be started by the main thread: its end is what the kernel tells them of")
        tasks: list[asyncio.Task[Outcome]] = [asyncio.create_task(self._until_stopped())]
        try:
            if await self._start_all(tasks):
                self._on_event(ProcessEvent(kind="up"))
            done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            return next(task for task in tasks if task in done).result()
        finally:
            await self._stop_all(tasks)

    async def _start_all(self, tasks: list[asyncio.Task[Outcome]]) -> bool:
        """Start each process once the one before serves; False as soon as any of the tasks ends."""
        for keeper in self._keepers:
            tasks.append(keeper.begin())
            serving = asyncio.create_task(keeper.is_serving.wait())
            try:
                await asyncio.wait({serving, *tasks}, return_when=asyncio.FIRST_COMPLETED)
            finally:
                serving.cancel()
            if any(task.done() for task in tasks):
                return False
        return True

    async def _until_stopped(self) -> Outcome:
        await self._stopping.wait()
        return Outcome(0, "stopped")

    async def _stop_all(self, tasks: list[asyncio.Task[Outcome]]) -> None:
        tasks[0].cancel()
        for keeper in reversed(self._keepers):
            await keeper.stop(self._hurry)


class _Keeper:
    """Keeps one process running."""

    def __init__(self, spec: ProcessSpec, on_event: OnEvent, on_output: OnOutput, clock: Callable[[], float]) -> None:
        self.is_serving = asyncio.Event()
        self._spec = spec
        self._on_event = on_event
        self._on_output = on_output
        self._clock = clock
        self._child: Child | None = None
        self._task: asyncio.Task[Outcome] | None = None

    def begin(self) -> asyncio.Task[Outcome]:
        """Start the process and keep it. The task ends only when that is given up."""
        self._task = asyncio.create_task(self._keep())
        return self._task

    async def stop(self, hurry: asyncio.Event) -> None:
        """Keep it no more, and stop it."""
        if self._task is not None:
            self._task.cancel()
            # Whatever it ended with, `run` has it already.
            await asyncio.wait({self._task})
        if self._child is not None and not self._child.ended.done():
            self._tell("stopping", pid=self._child.pid)
            await self._child.stop(hurry)
            self._tell("ended", pid=self._child.pid, code=self._child.ended.result() if self._child.ended.done() else None)

    async def _keep(self) -> Outcome:
        history = History()
        while True:
            run, detail = await self._run()
            history = after(history, run, self._spec.restarts)
            self._tell("ended", code=run.code, detail=detail)
            decision = decide(history, self._spec.restarts)
            if isinstance(decision, GiveUp):
                return Outcome(decision.code, detail or f"{self._spec.name} ended with {run.code} before it served")
            self._tell("restarting", pause_s=decision.pause_s)
            await asyncio.sleep(decision.pause_s)

    async def _run(self) -> tuple[Run, str]:
        """Run the process once, to its end; also the last line it had to say."""
        began_s = self._clock()
        try:
            self._child = child = Child(self._spec, self._on_output)
        except (OSError, subprocess.SubprocessError) as error:
            return Run(code=_CANNOT_START, ran_s=0.0, was_ready=False), f"{self._spec.name} cannot be started: {error}"
        self._tell("started", pid=child.pid)
        was_ready = await self._serves(child)
        if was_ready:
            self._tell("ready", pid=child.pid)
            self.is_serving.set()
        code = await asyncio.shield(child.ended)
        return Run(code=code, ran_s=self._clock() - began_s, was_ready=was_ready), child.last_error_line

    async def _serves(self, child: Child) -> bool:
        """Wait until the process serves. False where it ends first, or is killed for taking too long."""
        probing = asyncio.create_task(self._probe())
        either: set[asyncio.Future[Any]] = {probing, child.ended}
        try:
            await asyncio.wait(either, timeout=self._spec.ready_timeout_s, return_when=asyncio.FIRST_COMPLETED)
            if child.ended.done():
                return False
            if not probing.done():
                self._tell("unready", pid=child.pid, detail=f"does not serve after {self._spec.ready_timeout_s:g} s")
                child.kill()
            return probing.done()
        finally:
            probing.cancel()

    async def _probe(self) -> None:
        while self._spec.ready is not None:
            with suppress(Exception):  # a probe that fails is a no
                if await self._spec.ready():
                    return
            await asyncio.sleep(_PROBE_PAUSE_S)

    def _tell(self, kind: EventKind, **facts: Any) -> None:
        self._on_event(ProcessEvent(kind=kind, name=self._spec.name, **facts))
