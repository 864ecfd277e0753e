"""What is done to a platform under load, at moments that a seed chooses; it counts once for each agent that is at work."""

import asyncio
import contextlib
import os
import random
import signal
import uuid
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path

import psutil

from podium.crashpoint import POINTS
from tests.support.ledger import Fault, Ledger
from tests.support.platform import Platform, until
from tests.support.small_disk import SmallDisk

PROGRESS_S = 90.0
"""Within this after each fault work goes on, or the platform hangs."""
POINT_S = 10.0
"""How long a named point may take to be passed."""
NOTHING: frozenset[str] = frozenset()
DIED = frozenset({"exit", "interrupted"})
EXCUSES = {
    "kill launcher": DIED, "kill platform": DIED, "cut power": DIED,
    "kill agent": DIED, "fill disk": frozenset({"exit", "exception", "interrupted"}),
}  # fmt: skip
"""The outcomes of attempts that a fault may lead to. All others lead to none: agents outlive their coordinator and gateway."""


class Faults:
    """Chooses and does them. `boot` is the file that plays the kernel's boot id; without a disk of our own none is filled."""

    def __init__(
        self, platform: Platform, ledgers: Sequence[Ledger], rng: random.Random, boot: Path, disk: SmallDisk | None
    ) -> None:
        self.points = 0
        self.by_kind: Counter[str] = Counter()
        self._platform = platform
        self._ledgers = ledgers
        self._rng = rng
        self._boot = boot
        self._untried: list[str] = []
        self._crash_at = boot.with_name("crash_at")
        self._disk = disk
        self._kinds: dict[str, tuple[float, Callable[[], Awaitable[None]]]] = {
            "kill coordinator": (16, lambda: self._kill("coordinator")),
            "kill coordinator at": (36, self._kill_at),
            "kill gateway": (12, lambda: self._kill("gateway")),
            "kill launcher": (10, lambda: self._kill("launcher")),
            "kill valkey": (4, lambda: self._kill("valkey")),
            "stop coordinator": (5, lambda: self._freeze("coordinator")),
            "stop gateway": (3, lambda: self._freeze("gateway")),
            "stop launcher": (3, lambda: self._freeze("launcher")),
            "stop valkey": (2, lambda: self._freeze("valkey")),
            "kill agent": (16, self._kill_agent),
            "stop agent": (5, self._freeze_agent),
            "kill platform": (3, self._kill_platform),
        }
        if disk:
            self._kinds |= {"fill disk": (4, self._fill_disk), "cut power": (3, self._cut_power)}

    async def until_points(self, wanted: int) -> None:
        """Each kind once in a shuffled order, then any, until there were so many points."""
        first = sorted(self._kinds)
        self._rng.shuffle(first)
        while self.points < wanted or first:
            kind = first.pop() if first else self._choose()
            await asyncio.sleep(self._rng.random() ** 2 * 0.5)
            await self._do(kind)

    def _choose(self) -> str:
        return self._rng.choices(list(self._kinds), [weight for weight, _ in self._kinds.values()])[0]

    async def _do(self, kind: str) -> None:
        self._fault = Fault(
            kind=kind, excuses=EXCUSES.get(kind, NOTHING), begun=self._tick(), times=3 if kind == "fill disk" else 1,
            loses_events=kind == "cut power",
        )  # fmt: skip
        for ledger in self._ledgers:
            ledger.faults.append(self._fault)
        done = {ledger.agent: ledger.completions for ledger in self._ledgers}
        await self._kinds[kind][1]()
        quorum = 1 if kind.endswith("agent") or kind.startswith("stop") else len(self._ledgers) // 2
        try:
            await until(lambda: sum(ledger.completions > done[ledger.agent] for ledger in self._ledgers) >= quorum, PROGRESS_S)
        except (TimeoutError, AssertionError):
            raise AssertionError(f"nothing goes on after {kind}; {self.points} points\n{self._platform.output[-4000:]}") from None
        self._fault.ended = self._tick()

    def _tick(self) -> int:
        return self._ledgers[0].ticks()

    def _hit(self, ledgers: Sequence[Ledger] | None = None) -> None:
        """It happens now: a point for each agent that has a message on its way."""
        hit = sum(ledger.busy for ledger in ledgers or self._ledgers)
        self.points += hit
        self.by_kind[self._fault.kind] += hit

    # ---- faults

    async def _kill(self, part: str) -> None:
        victim = await until(lambda: self._platform.part(part))
        self._hit()
        victim.kill()
        await until(lambda: self._platform.part(part).pid != victim.pid)

    async def _kill_at(self) -> None:
        """The coordinator dies at a named point, after it was killed to learn of it; alone where it does not come there."""
        if not self._untried:
            self._untried = self._rng.sample(sorted(POINTS), len(POINTS))
        point = self._untried.pop()
        self._crash_at.write_text(f"{point}:{self._rng.choice([1, 1, 2, 3, 20])}\n")
        await self._kill("coordinator")
        armed = await until(lambda: self._platform.part("coordinator"))
        with contextlib.suppress(TimeoutError, AssertionError):
            await until(lambda: self._platform.part("coordinator").pid != armed.pid, POINT_S)
        if armed.is_running():
            await self._kill("coordinator")
        else:
            self._hit()
            self.by_kind[f"at {point}"] += 1

    async def _freeze(self, part: str) -> None:
        victim = await until(lambda: self._platform.part(part))
        self._hit()
        await self._stopped(victim)

    async def _stopped(self, victim: psutil.Process) -> None:
        with contextlib.suppress(psutil.NoSuchProcess):
            victim.send_signal(signal.SIGSTOP)
            await asyncio.sleep(self._rng.uniform(0.05, 1.0))
            victim.send_signal(signal.SIGCONT)

    async def _agent(self) -> psutil.Process | None:
        ledger = self._rng.choice(self._ledgers)
        self._fault.agent = ledger.agent
        with contextlib.suppress(LookupError):
            found = self._platform.agent(ledger.agent)
            self._hit([ledger])
            return found
        return None

    async def _kill_agent(self) -> None:
        if victim := await self._agent():
            with contextlib.suppress(psutil.NoSuchProcess):
                victim.kill()

    async def _freeze_agent(self) -> None:
        if victim := await self._agent():
            await self._stopped(victim)

    async def _kill_platform(self) -> None:
        """Everything at once, and a new boot: the disk has it all."""
        self._hit()
        await self._all_down()
        self._boot.write_text(str(uuid.uuid4()))
        await self._platform.up()

    async def _fill_disk(self) -> None:
        assert self._disk
        self._hit()
        self._disk.fill()
        try:
            await asyncio.sleep(self._rng.uniform(0.2, 1.5))
        finally:
            self._disk.release()

    async def _cut_power(self) -> None:
        """What was not synced is gone."""
        assert self._disk
        self._hit()
        self._disk.cut_power()
        await self._all_down()
        await asyncio.to_thread(self._disk.power_on)
        self._boot.write_text(str(uuid.uuid4()))
        await self._platform.up()

    async def _all_down(self) -> None:
        children = psutil.Process(self._platform.pid).children(recursive=True)
        os.kill(self._platform.pid, signal.SIGKILL)
        await self._platform.wait()
        for child in children:
            with contextlib.suppress(psutil.NoSuchProcess):
                child.kill()
        await until(lambda: not [c for c in children if c.is_running() and c.status() != "zombie"])
