"""Coordinators over one data directory, in the test's own process: they come, crash and go."""

from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path

from podium.coordinator.configuration import Configuration
from podium.coordinator.coordinator import Coordinator
from podium.coordinator.host import Host, Limits
from podium.coordinator.layout import DataDirectory
from podium.coordinator.uids import Uids
from podium.deployments.cache import open_cache
from podium.deployments.interpreter import choose_interpreter
from podium.deployments.registry import Registry
from podium.launcher.processes import ProcessLauncher
from podium.records.configuration import Configurations
from podium.records.instances import Instances, Spec
from podium.sealing import Sealer
from podium.state.sqlite import SqliteStates
from podium.workspace.directory import DirectoryWorkspace
from tests.support.memory_cluster import MemoryCluster
from tests.support.memory_store import MemoryStore


def _now() -> datetime:
    return datetime.now(UTC)


class Machine:
    """One data directory and one object store, over which coordinators come and go."""

    def __init__(self, folder: Path) -> None:
        self.directory = DataDirectory(folder)
        self.directory.prepare()
        self.store = MemoryStore()
        self.records = Instances(self.store, "dev")
        self.executor = ThreadPoolExecutor(2)

    async def coordinator(
        self, *, boot_id: str = "boot-1", coordinator_id: str = "c1", launcher: Path | None = None, limits: Limits | None = None
    ) -> Coordinator:
        """The next coordinator, not started; without a launcher's socket nothing can be started."""
        interpreter = choose_interpreter(None, None)
        cache = await open_cache(self.directory.root, self.store, "dev", interpreter=interpreter, build_uid=None)
        states = await SqliteStates.open(
            self.directory.journal, lambda name: self.directory.instance(name).state_db, self.executor, _now
        )
        process_launcher = ProcessLauncher(launcher or self.directory.run / "none.sock", reach_timeout_s=10 if launcher else 0.1)
        host = Host(
            directory=self.directory, launcher=process_launcher,
            registry=Registry(self.store, "dev"), deployments=cache, states=states, workspace=DirectoryWorkspace,
            uids=Uids(self.directory.host_db), executor=self.executor, clock=_now, boot_id=boot_id,
            coordinator_id=coordinator_id, incarnation="i", limits=limits or Limits(),
            configuration=Configuration(Configurations(self.store, "dev"), MemoryCluster()), sealer=Sealer("for tests only!!"),
        )  # fmt: skip
        return Coordinator(host, self.records, MemoryCluster(), "http://127.0.0.1:1")

    async def specify(self, instance_id: str) -> None:
        """Write the spec of an instance, whose deployment there is not."""
        spec = Spec(instance_id=instance_id, tenant_id="platform", deployment_id="none:1.0.0@00000000", config={}, labels={},
                    created_at=datetime.now(UTC))  # fmt: skip
        assert await self.records.specs.create(self.records.spec_key(instance_id), spec)


async def crash(coordinator: Coordinator) -> None:
    """As if the process had been killed: nothing is closed clean."""
    for instance in coordinator._loaded.values():
        await instance._driver._abandon("crash")
        await instance.logs.close()
        await instance.state.close(clean=False)
