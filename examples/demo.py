"""The platform in a few seconds, run by `make demo`: deploy the notes example, talk to it, kill it, put it to sleep, wake it.

Everything it shows it also checks: a surprise ends it with exit code 1 and the platform's last words. It leaves nothing behind.
"""

import asyncio
import io
import json
import os
import signal
import sqlite3
import sys
import time
from contextlib import closing
from pathlib import Path

from demo.platform import PORTS, free_or_any, fresh_folder, heed_signals, running_platform
from demo.screen import Screen, Surprise
from demo.turn import Turn

from podium.client import AsyncPodium
from podium.client.pack import pack
from podium.protocol.errors import PodiumError
from podium.protocol.events import Event

AGENT = "demo"
NOTES = Path(__file__).parent / "notes"
PACE_S = 0.2
LOG_LINES = 20
LIMIT_S = 90
NEXT_STEPS = (
    "podium/.venv/bin/podium deploy examples/notes",
    "podium/.venv/bin/podium instances create notes --id mine",
    'podium/.venv/bin/podium send mine "add buy oats" --stream',
    "podium/.venv/bin/podium instances hibernate mine",
    "podium/.venv/bin/podium send mine list",
    "podium/.venv/bin/podium chat mine",
)


class Demo:
    """The story, one method for each of its chapters."""

    def __init__(self, podium: AsyncPodium, folder: Path, screen: Screen) -> None:
        self._podium = podium
        self._folder = folder
        self._screen = screen

    async def run(self) -> None:
        """All chapters."""
        await self.deploy()
        await self.talk()
        await self.kill()
        await self.sleep()
        await self.wake()

    async def deploy(self) -> None:
        """The bundle, an instance of it, and its first message."""
        self._screen.step("Deploy examples/notes, create an agent")
        began = time.perf_counter()
        bundle = self._folder / "notes.tar.gz"
        await asyncio.to_thread(pack, NOTES, bundle)
        deployment = await self._podium.deploy(bundle)
        self._screen.time("deploy", time.perf_counter() - began)
        self._screen.note(f"deployed {deployment.deployment_id}")
        began = time.perf_counter()
        await self._podium.create(deployment.deployment_id, agent_id=AGENT, config={"pace_s": PACE_S})
        instance = await self._podium.wake(AGENT)
        if instance.status == "failed":
            raise Surprise(f"the agent does not start: {instance.reason}")
        created_s = time.perf_counter() - began
        first = await self.say("add buy oats")
        self._screen.time("create → first event", created_s + first.first_s, "installs the agent's environment, once")
        self._screen.check("the answer is whole", (first.text, first.kinds[-1]), ("Noted as number 1.", "complete"))

    async def talk(self) -> None:
        """A message to an agent that is awake."""
        turn = await self.say("export")
        self._screen.time("message → first event", turn.first_s)
        self._screen.time("reply", turn.whole_s, f"{len(turn.text.split())} tokens, {PACE_S * 1000:.0f} ms apart")
        await self.holds("buy oats")

    async def kill(self) -> None:
        """Its process ends in the middle of an answer."""
        (pid,) = self.processes()
        self._screen.step(f"Kill the agent (kill -9 {pid}) while it answers")
        turn = await self.say("add call Ada", victim=pid)
        self._screen.time("kill → failure told", turn.failed_s - turn.killed_s)
        self._screen.time("kill → next attempt", turn.again_s - turn.killed_s, "a new process, from the state before")
        attempt = ["stream_start", "update"]
        self._screen.check("the stream went on", turn.kinds, [*attempt, "attempt_failed", *attempt, "complete"])
        self._screen.check("the answer is whole", turn.text, "Noted as number 2.")
        self._screen.check("the process is another", pid in self.processes(), False)
        await self.holds("buy oats", "call Ada")
        await self.line_is_whole(turn.events[-1])

    async def sleep(self) -> None:
        """No process is left; all it holds can be read."""
        self._screen.step("Put it to sleep")
        began = time.perf_counter()
        instance = await self._podium.hibernate(AGENT)
        self._screen.time("sleep", time.perf_counter() - began)
        self._screen.check("it sleeps, and no process is left", (instance.status, self.processes()), ("hibernated", []))
        await self.holds("buy oats", "call Ada")
        self._screen.check("looking did not wake it", (await self._podium.instance(AGENT)).status, "hibernated")

    async def wake(self) -> None:
        """A message starts it again."""
        self._screen.step("Wake it with a message")
        turn = await self.say("list")
        self._screen.time("wake → first event", turn.first_s)
        self._screen.check("it knows everything", turn.text, "1. buy oats\n2. call Ada")

    async def say(self, text: str, victim: int | None = None) -> Turn:
        """Send a message and show its stream; `victim` is killed at the first token."""
        self._screen.you(text)
        turn = Turn()
        async for event in self._podium.stream(AGENT, text):
            if not isinstance(event, Event):
                continue
            turn.take(event)
            if event.event_type == "update":
                self._screen.token(event.content["text"])
                if victim is not None:
                    os.kill(victim, signal.SIGKILL)
                    turn.killed_s, victim = turn.whole_s, None
            elif event.event_type == "attempt_failed":
                self._screen.note(f"✗ attempt {event.attempt} failed: {event.content['message']}; again", "red")
        return turn

    async def holds(self, *notes: str) -> None:
        """Check the state, the rows and the exported file, all read from outside."""
        state = (await self._podium.state(AGENT)).state
        self._screen.check(f"state: added = {len(notes)}", state["added"], len(notes))
        database = self._folder / "agent.db"
        database.write_bytes(await self._podium.file(AGENT, ".podium/agent.db"))
        with closing(sqlite3.connect(database)) as sql:
            found = sql.execute("SELECT number, text FROM notes ORDER BY number").fetchall()
        self._screen.check(f"SQL rows: {', '.join(notes)}", found, list(enumerate(notes, 1)))
        exported = await self._podium.file(AGENT, "notes.md")
        self._screen.check("file: notes.md as exported", exported, b"# Notes\n\n- [ ] buy oats\n")

    async def line_is_whole(self, last: Event) -> None:
        """Check that the events are numbered without a gap, as any reader would get them."""
        seqs = []
        async for frame in self._podium.events(AGENT):
            if isinstance(frame, Event):
                seqs.append(frame.seq)
                if frame.seq == last.seq:
                    break
        self._screen.check(f"events 1 to {last.seq}: no gap, none twice", seqs, list(range(1, last.seq + 1)))

    def processes(self) -> list[int]:
        """The agent's own processes, from /proc."""
        mine = {f"AGENT_ID={AGENT}", f"AGENT_WORKSPACE={self._folder}/data/instances/{AGENT}/chronicle/mount"}
        found = []
        for process in Path("/proc").glob("[0-9]*"):
            try:
                environ = set((process / "environ").read_text(errors="replace").split("\0"))
            except OSError:  # it is gone, or not ours to look at
                continue
            if mine <= environ:
                found.append(int(process.name))
        return found


async def tell(url: str, folder: Path, screen: Screen) -> None:
    """The story, on the platform at `url`."""
    key = json.loads((folder / "context.json").read_text())["api_key"]
    try:
        async with asyncio.timeout(LIMIT_S), AsyncPodium(url, key) as podium:
            await Demo(podium, folder, screen).run()
    except TimeoutError:
        raise Surprise(f"it is not through after {LIMIT_S} s") from None


def play(folder: Path, screen: Screen) -> None:
    """Start the platform, tell the story, stop the platform."""
    screen.step("Start the platform (podium up)")
    began = time.perf_counter()
    with running_platform(folder) as url:
        screen.time("start of the platform", time.perf_counter() - began)
        screen.note(f"ready at {url}")
        asyncio.run(tell(url, folder, screen))
        began = time.perf_counter()
    screen.time("stop of the platform", time.perf_counter() - began)


def show_next_steps(screen: Screen) -> None:
    """What to type now."""
    screen.step("Try it yourself")
    taken = any(free_or_any(port) == 0 for port in PORTS)
    up = "podium/.venv/bin/podium up --gateway-port 0 --coordinator-port 0" if taken else "make up"
    for command in (f"{up}   # in another terminal, until Ctrl-C", *NEXT_STEPS):
        screen.note(command, "")


def main() -> int:
    """The exit code: 0, 1 after a surprise, 130 after Ctrl-C."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="replace")
    heed_signals()
    screen = Screen()
    with fresh_folder() as folder:
        try:
            play(folder, screen)
        except KeyboardInterrupt:
            screen.note("stopped")
            return 130
        except (Surprise, PodiumError, OSError) as error:
            screen.failure(str(error), (folder / "platform.log").read_text(errors="replace").splitlines()[-LOG_LINES:])
            return 1
    screen.table()
    show_next_steps(screen)
    return 0


if __name__ == "__main__":
    sys.exit(main())
