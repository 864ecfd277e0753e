"""What the instances of a host share: the ports they stand on, and the limits they keep."""

import asyncio
from collections.abc import Callable, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any, Protocol

from podium.coordinator.configuration import Configuration
from podium.coordinator.layout import DataDirectory
from podium.coordinator.metrics import CoordinatorMetrics
from podium.coordinator.uids import Uids
from podium.deployments.cache import DeploymentCache
from podium.deployments.registry import Registry
from podium.launcher.port import Launcher
from podium.sealing import Sealer
from podium.state.port import StateStore
from podium.workspace.port import Workspace


@dataclass(frozen=True)
class Limits:
    """Bounds and deadlines; durations in seconds."""

    inbox: int = 1000
    steers: int = 100
    readers: int = 1000
    events: int = 100_000
    agents: int = 1000
    message_bytes: int = 1024 * 1024
    upload_bytes: int = 64 * 1024 * 1024
    spool_bytes: int = 256 * 1024 * 1024
    frames_per_s: float = 100.0
    idle_timeout_s: float = 300.0
    install_timeout_s: float = 600.0
    start_timeout_s: float = 30.0
    idle_check_timeout_s: float = 10.0
    shutdown_timeout_s: float = 10.0
    return_timeout_s: float = 30.0
    stop_grace_s: float = 5.0
    retry_first_s: float = 1.0
    retry_most_s: float = 300.0
    interrupted_attempts: int = 10
    starts_at_once: int = 8


class LocalState(StateStore, Protocol):
    """A state that knows under which boot it was written."""

    @property
    def boot_id(self) -> str | None:
        """The boot under which writes may be unsynced when this was opened; None after a clean stop."""

    async def write_under(self, boot_id: str) -> None:
        """Durably say under which boot the file is written from now on."""


class States(Protocol):
    """Makes and opens the state of instances."""

    async def create(self, path: Path, *, instance_id: str, tenant_id: str, epoch: int, boot_id: str) -> LocalState:
        """Make the file where it is missing, and open it; OSError, NewerFormat."""

    async def asleep(self, paths: Sequence[Path]) -> set[Path]:
        """Which of these files, none of them open, say that their instance sleeps and has nothing to do."""


@dataclass
class Host:
    """The ports of one coordinator. `workspace` makes the workspace of an instance from its directory and uid."""

    directory: DataDirectory
    launcher: Launcher
    registry: Registry
    deployments: DeploymentCache
    states: States
    workspace: Callable[[Path, int | None], Workspace]
    uids: Uids
    executor: Executor
    clock: Callable[[], datetime]
    boot_id: str
    coordinator_id: str
    incarnation: str
    limits: Limits
    configuration: Configuration
    sealer: Sealer
    metrics: CoordinatorMetrics = field(default_factory=CoordinatorMetrics)
    starting: asyncio.Semaphore = field(init=False)

    def __post_init__(self) -> None:
        self.starting = asyncio.Semaphore(self.limits.starts_at_once)

    async def blocking(self, function: Callable[..., Any], *arguments: Any) -> Any:
        """Run something that waits for the disk outside the event loop."""
        return await asyncio.get_running_loop().run_in_executor(self.executor, function, *arguments)
