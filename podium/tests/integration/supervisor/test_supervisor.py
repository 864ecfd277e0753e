"""The supervisor over real processes: order, restarts, readiness, giving up, the end."""

import asyncio
import os
import signal
import sys
import textwrap
from collections.abc import Callable
from pathlib import Path

import pytest

from podium.supervisor.restarts import RestartPolicy
from podium.supervisor.spec import Outcome, ProcessEvent, ProcessSpec
from podium.supervisor.supervisor import Supervisor
from tests.support.launchers import is_running, until

QUICK = RestartPolicy(first_pause_s=0.01, longest_pause_s=0.05)
SLEEP = "import time; time.sleep(1000)"


class Watched:
    """A supervisor with a record of all it told."""

    def __init__(self, *specs: ProcessSpec) -> None:
        self.events: list[ProcessEvent] = []
        self.output: list[tuple[str, bytes]] = []
        self.supervisor = Supervisor(specs, on_event=self.events.append, on_output=lambda *said: self.output.append(said))

    def begin(self) -> asyncio.Task[Outcome]:
        return asyncio.create_task(self.supervisor.run())

    def told(self, kind: str) -> list[str]:
        return [event.name for event in self.events if event.kind == kind]

    def pids(self) -> dict[str, int]:
        """The newest pid of each process."""
        return {event.name: event.pid for event in self.events if event.kind == "started" and event.pid is not None}

    def said(self, name: str) -> bytes:
        return b"".join(lines for who, lines in self.output if who == name)


def process(name: str, code: str = SLEEP, **changes: object) -> ProcessSpec:
    fields: dict[str, object] = {"env": {}, "restarts": QUICK, "argv": [sys.executable, "-I", "-S", "-c", textwrap.dedent(code)]}
    return ProcessSpec(name=name, **(fields | changes))  # type: ignore[arg-type]


async def stopped(watched: Watched, running: asyncio.Task[Outcome]) -> None:
    watched.supervisor.stop()
    assert await running == Outcome(0, "stopped")
    assert not any(is_running(pid) for pid in watched.pids().values())


async def test_each_starts_when_the_one_before_serves_and_ends_before_it(tmp_path: Path) -> None:
    async def ready() -> bool:
        if not (tmp_path / "may serve").exists():
            raise ConnectionError("not yet")
        return True

    watched = Watched(process("first", ready=ready), process("second"), process("third"))
    running = watched.begin()
    await until(lambda: watched.told("started"))
    assert watched.told("started") == ["first"]
    (tmp_path / "may serve").touch()
    await until(lambda: watched.told("up"))
    assert [event.kind for event in watched.events] == ["started", "ready"] * 3 + ["up"]
    assert watched.told("started") == ["first", "second", "third"]
    await stopped(watched, running)
    assert watched.told("stopping") == watched.told("ended") == ["third", "second", "first"]


async def test_each_that_is_killed_is_started_again_and_the_rest_goes_on() -> None:
    names = ["a", "b", "c"]
    watched = Watched(*map(process, names))
    running = watched.begin()
    await until(lambda: watched.told("up"))
    for name in names:
        before = watched.pids()
        os.kill(before[name], signal.SIGKILL)
        await until(lambda before=before, name=name: watched.pids()[name] != before[name])
        assert {each for each in names if watched.pids()[each] != before[each]} == {name}
    assert [event.pause_s for event in watched.events if event.kind == "restarting"] == [0.0, 0.0, 0.0]
    assert {event.code for event in watched.events if event.kind == "ended"} == {-signal.SIGKILL}
    await stopped(watched, running)


async def test_restarts_wait_longer_each_time() -> None:
    watched = Watched(process("dying", "raise SystemExit(3)"))
    running = watched.begin()
    await until(lambda: len(watched.told("restarting")) >= 5)
    await stopped(watched, running)
    pauses = [event.pause_s for event in watched.events if event.kind == "restarting"]
    assert pauses[:5] == [0.0, 0.01, 0.02, 0.04, 0.05]


async def never() -> bool:
    return False


async def test_a_refused_configuration_stops_all_with_its_last_line() -> None:
    code = """
        import sys
        print("some talk on standard output")
        print("first line", file=sys.stderr)
        print("GATEWAY_PORT must be a number", file=sys.stderr)
        sys.exit(2)
    """
    watched = Watched(process("fine"), process("refusing", code, ready=never), process("never"))
    assert await watched.begin() == Outcome(2, "GATEWAY_PORT must be a number")
    assert watched.told("started") == ["fine", "refusing"]
    assert watched.told("stopping") == ["fine"]
    assert not any(is_running(pid) for pid in watched.pids().values())


async def test_what_never_serves_is_given_up() -> None:
    watched = Watched(process("fine"), process("broken", "raise SystemExit('no luck')", ready=never))
    assert await watched.begin() == Outcome(1, "no luck")
    assert watched.told("started") == ["fine"] + ["broken"] * 5
    assert not is_running(watched.pids()["fine"])


async def test_a_program_that_is_not_there_is_given_up_by_name() -> None:
    watched = Watched(process("missing", argv=["/no/such/program"], ready=never))
    outcome = await watched.begin()
    assert outcome.code == 1
    assert "missing cannot be started" in outcome.reason
    assert "/no/such/program" in outcome.reason


async def test_what_takes_too_long_to_serve_is_killed_and_started_again() -> None:
    watched = Watched(process("slow", ready=never, ready_timeout_s=0.05))
    outcome = await watched.begin()
    assert outcome.code == 1
    assert watched.told("unready") == ["slow"] * 5
    assert [event.code for event in watched.events if event.kind == "ended"] == [-signal.SIGKILL] * 5


STUBBORN = "import signal, time; signal.signal(15, signal.SIG_IGN); print('up', flush=True); time.sleep(1000)"


async def test_what_ignores_its_stop_signal_is_killed_after_its_grace() -> None:
    watched = Watched(process("stubborn", STUBBORN, stop_grace_s=0.05))
    running = watched.begin()
    await until(lambda: b"up" in watched.said("stubborn"))
    await stopped(watched, running)
    assert watched.events[-1].code == -signal.SIGKILL


async def test_a_second_stop_ends_the_grace() -> None:
    watched = Watched(process("stubborn", STUBBORN, stop_grace_s=1000))
    running = watched.begin()
    await until(lambda: b"up" in watched.said("stubborn"))
    watched.supervisor.stop()
    await until(lambda: watched.told("stopping"))
    await stopped(watched, running)


async def test_the_stop_signal_is_the_one_asked_for() -> None:
    code = "import signal, sys, time; signal.signal(10, lambda *_: sys.exit(0)); print('up', flush=True); time.sleep(1000)"
    watched = Watched(process("polite", code, stop_signal=signal.SIGUSR1))
    running = watched.begin()
    await until(lambda: b"up" in watched.said("polite"))
    await stopped(watched, running)
    assert watched.events[-1].code == 0


async def test_stopping_does_not_wait_for_a_start() -> None:
    watched = Watched(process("slow", ready=never, ready_timeout_s=1000), process("never"))
    running = watched.begin()
    await until(lambda: watched.told("started"))
    await stopped(watched, running)
    assert watched.told("started") == ["slow"]


async def test_a_cancelled_run_leaves_nothing() -> None:
    watched = Watched(process("a"), process("b"))
    running = watched.begin()
    await until(lambda: watched.told("up"))
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    assert not any(is_running(pid) for pid in watched.pids().values())


async def test_helpers_of_a_process_end_with_it() -> None:
    code = """
        import os, time
        print("helper" if os.fork() == 0 else "parent", os.getpid(), flush=True)
        time.sleep(1000)
    """
    watched = Watched(process("parent", code))
    running = watched.begin()
    await until(lambda: watched.said("parent").count(b"\n") == 2)
    helper = int(dict(line.split() for line in watched.said("parent").splitlines())[b"helper"])
    os.kill(watched.pids()["parent"], signal.SIGKILL)
    await until(lambda: not is_running(helper))
    await stopped(watched, running)


async def test_output_comes_in_whole_lines() -> None:
    code = """
        import sys, time
        sys.stdout.write("one\\ntw"); sys.stdout.flush()
        sys.stderr.write("problem\\n"); sys.stderr.flush()
        sys.stdout.write("o\\n" + "x" * 200_000 + "\\nlast"); sys.stdout.flush()
    """
    watched = Watched(process("talking", code))
    running = watched.begin()
    await until(lambda: watched.told("ended"))
    await stopped(watched, running)
    assert all(lines.endswith(b"\n") for _, lines in watched.output)
    said = watched.said("talking")
    assert b"one\ntwo\n" in said.replace(b"problem\n", b"")
    assert b"last\n" in said
    assert said.count(b"x") >= 200_000


async def test_listening_sockets_are_handed_over() -> None:
    code = """
        import socket, sys, time
        print(socket.socket(fileno=int(sys.argv[1])).getsockname()[1], flush=True)
        time.sleep(1000)
    """
    server = await asyncio.start_server(lambda _reader, writer: writer.close(), "127.0.0.1", 0)
    listener = server.sockets[0]
    spec = process("gateway", code, pass_fds=[listener.fileno()])
    watched = Watched(ProcessSpec(name="gateway", argv=[*spec.argv, str(listener.fileno())], env={}, pass_fds=spec.pass_fds))
    running = watched.begin()
    await until(lambda: watched.said("gateway"))
    assert int(watched.said("gateway")) == listener.getsockname()[1]
    await stopped(watched, running)
    server.close()


async def test_only_the_main_thread_starts_processes() -> None:
    def elsewhere(make: Callable[[], Watched]) -> Outcome:
        return asyncio.run(make().supervisor.run())

    with pytest.raises(RuntimeError, match="main thread"):
        await asyncio.to_thread(elsewhere, lambda: Watched(process("a")))
