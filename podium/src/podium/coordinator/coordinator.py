"""All instances of this host: loaded when they are needed, created, deleted, recovered after a crash."""

import asyncio
import contextlib
import shutil
from collections.abc import AsyncIterator
from pathlib import Path

from podium import log
from podium.auth import PLATFORM_TENANT
from podium.cluster.port import Cluster, CoordinatorInfo
from podium.coordinator.adoption import Recovery
from podium.coordinator.belongings import Belongings
from podium.coordinator.host import Host, LocalState
from podium.coordinator.instance import Instance
from podium.coordinator.keyed_locks import KeyedLocks
from podium.coordinator.layout import InstanceDirectory
from podium.coordinator.lifecycle import Status
from podium.coordinator.log_store import LogStore
from podium.coordinator.metrics import CoordinatorMetrics
from podium.coordinator.ownership import Ownership
from podium.coordinator.stream import Stream
from podium.deployments.registry import DIGEST_CHARS
from podium.launcher.port import Launch
from podium.protocol.errors import InstanceReplaced, Moved, NotFound, PodiumError, TooMany, Unavailable
from podium.protocol.ids import DeploymentId
from podium.records.instances import Instances, Owner, Spec

ANNOUNCE_EVERY_S = 1.0
ANNOUNCE_TTL_S = 4.0
SWEEP_EVERY_S = 15.0
RECOVER_AT_ONCE = 16
_logger = log.get("coordinator")
_STORED = {"hibernated": Status.HIBERNATED, "failed": Status.FAILED}


class Coordinator:
    """Owns the instances of one data directory."""

    def __init__(self, host: Host, records: Instances, cluster: Cluster, url: str) -> None:
        self.host = host
        self._records = records
        self._cluster = cluster
        self._url = url
        self._ownership = Ownership(records, host.coordinator_id, host.incarnation, host.clock)
        self._loaded: dict[str, Instance] = {}
        self._found: dict[str, Launch] = {}
        self._locks = KeyedLocks()
        self._tasks: list[asyncio.Task[None]] = []
        self._stopping = False

    @property
    def awake(self) -> int:
        """How many instances have a process or want one."""
        return sum(instance.awake for instance in self._loaded.values())

    def announcement(self) -> CoordinatorInfo:
        """This coordinator as others should see it."""
        return CoordinatorInfo(
            coordinator_id=self.host.coordinator_id, incarnation=self.host.incarnation, url=self._url, load=self.awake,
            capacity=self.host.limits.agents,
        )  # fmt: skip

    def statuses(self) -> dict[str, str]:
        """The status of every loaded instance; others sleep."""
        return {instance_id: instance.status.value for instance_id, instance in self._loaded.items()}

    async def measure(self) -> CoordinatorMetrics:
        """What is counted, with the gauges as they are now. What sleeps has an empty inbox and no reader that counts."""
        metrics, loaded = self.host.metrics, list(self._loaded.values())
        awake = [instance for instance in loaded if instance.awake]
        metrics.awake.set(len(awake))
        metrics.loaded.set(len(loaded))
        metrics.readers.set(sum(instance.stream.readers for instance in loaded))
        metrics.queued.set(sum([(await instance.state.overview()).queued for instance in awake]))
        return metrics

    async def prepare(self, agent_type: str, version: str, checksum: str) -> str:
        """Fetch and prepare a deployment; its id. EnvironmentFailed; NotFound, also where the checksum is another."""
        wanted = DeploymentId(agent_type, version, checksum.removeprefix("sha256:")[:DIGEST_CHARS])
        deployment = await self.host.registry.get(str(wanted), PLATFORM_TENANT)
        prepared = await self.host.deployments.prepare(deployment)
        return prepared.deployment_id

    # ---- life of the coordinator

    async def start(self) -> None:
        """Take over the agents that live, close what was left open, wake what was awake; then keep announcing."""
        await self.host.configuration.read()
        await self.host.deployments.evict(self.host.registry.exists)
        self._found = {launch.launch_id: launch for launch in await self.host.launcher.list()}
        names = sorted(path.name for path in self.host.directory.instances.iterdir())
        asleep = await self._asleep(names)
        names = [name for name in names if name not in asleep]
        some = asyncio.Semaphore(RECOVER_AT_ONCE)
        there = await asyncio.gather(*(self._recover(name, some) for name in names))
        await self._end_unclaimed()
        for name in [name for name, is_there in zip(names, there, strict=True) if not is_there]:
            await self._remove(name)
        for instance in self._loaded.values():
            if instance.has_work:
                instance.stir()
        following = self.host.configuration.follow(self._reconfigured)
        self._tasks = [asyncio.create_task(work) for work in (self._announce(), self._sweep(), self._tidy(asleep), following)]

    async def stop(self, grace_s: float) -> None:
        """End turns within `grace_s`, then the agents; close every file clean."""
        self._stopping = True
        for task in self._tasks:
            task.cancel()
        with contextlib.suppress(ConnectionError):
            await self._cluster.withdraw(self.host.coordinator_id)
        stopping = {name: instance.stop(grace_s) for name, instance in self._loaded.items()}
        for name, ended in zip(stopping, await asyncio.gather(*stopping.values(), return_exceptions=True), strict=True):
            if isinstance(ended, Exception):  # the others must not wait for it: the journal has what its files lack
                _logger.error("an instance did not stop clean", instance_id=name, error=str(ended))
        self._loaded.clear()

    async def _asleep(self, names: list[str]) -> set[str]:
        """Those that need not be opened before somebody asks for them."""
        paths = {self.host.directory.instance(name).state_db: name for name in names}
        return {paths[path] for path in await self.host.states.asleep(list(paths))}

    async def _tidy(self, names: set[str]) -> None:
        """Remove the directories of instances that sleep and are not ours any more."""
        for name in sorted(names):
            async with self._locks.hold(name):
                try:
                    await self._ownership.owned(name)
                except (NotFound, Moved):
                    if name not in self._loaded:
                        _logger.info("removing a directory whose instance is gone", instance_id=name)
                        await self._remove(name)
                except (PodiumError, OSError) as error:
                    _logger.warning("the owner of an instance is not known", instance_id=name, error=str(error))

    async def _end_unclaimed(self) -> None:
        """Processes of instances that are not ours any more, or cannot be opened, end before anything new runs."""
        for launch_id in self._found:
            _logger.info("ending a process that no instance claims", launch_id=launch_id)
            await self.host.launcher.kill(launch_id)
        for launch_id in self._found:
            await self.host.launcher.wait(launch_id)
            await self.host.launcher.forget(launch_id)
        self._found.clear()

    async def _recover(self, instance_id: str, some: asyncio.Semaphore) -> bool:
        """Load it; whether it is to be kept."""
        if instance_id.startswith("."):
            await self.host.blocking(_remove_tree, self.host.directory.instances / instance_id)
            return True
        try:
            async with some, self.using(instance_id):
                return True
        except (NotFound, Moved):
            _logger.info("removing a directory whose instance is gone", instance_id=instance_id)
            return False
        except (PodiumError, OSError) as error:
            _logger.error("an instance cannot be opened", instance_id=instance_id, error=str(error))
            return True

    async def _announce(self) -> None:
        while True:
            try:
                await self._cluster.announce(self.announcement(), ANNOUNCE_TTL_S)
            except ConnectionError as error:
                _logger.warning("discovery does not answer", error=str(error))
            await asyncio.sleep(ANNOUNCE_EVERY_S)

    def _reconfigured(self) -> None:
        for instance in self._loaded.values():
            instance.notice()

    async def _sweep(self) -> None:
        """Close the files of instances that sleep and that nobody looks at."""
        while True:
            await asyncio.sleep(SWEEP_EVERY_S)
            for instance_id in list(self._loaded):
                async with self._locks.hold(instance_id):
                    instance = self._loaded.get(instance_id)
                    if instance and instance.status is Status.HIBERNATED and not instance.users and not instance.awake:
                        await self._put_away(instance_id, instance)

    async def _put_away(self, instance_id: str, instance: Instance) -> None:
        """Close its files; on a disk that is full it stays loaded, and that is tried again."""
        del self._loaded[instance_id]
        try:
            await instance.unload()
        except OSError as error:
            _logger.error("an instance cannot be closed; trying again", instance_id=instance_id, error=str(error))
            self._loaded[instance_id] = instance

    # ---- instances

    @contextlib.asynccontextmanager
    async def using(self, instance_id: str, life: int | None = None) -> AsyncIterator[Instance]:
        """The instance, loaded while it is used. NotFound, Moved; InstanceReplaced where it is not the `life` that was meant."""
        if self._stopping:
            raise Unavailable("this coordinator is stopping", retry_after_s=1)
        instance = self._loaded.get(instance_id) or await self._loading(instance_id)
        async with instance.using():
            if life is not None and life != instance.life:
                raise InstanceReplaced(f"instance {instance_id} was deleted and created anew since this request began")
            yield instance

    async def create(self, instance_id: str) -> Instance:
        """Own and start an instance whose spec is written; idempotent."""
        async with self._locks.hold(instance_id):
            if instance := self._loaded.get(instance_id):
                return instance
            if self.awake >= self.host.limits.agents:
                raise TooMany(
                    f"{self.awake} agents are awake on this host and its limit is {self.host.limits.agents}",
                    retry_after_s=5, limit=self.host.limits.agents, current=self.awake,
                )  # fmt: skip
            spec = await self._spec(instance_id)
            instance = await self._open(spec, await self._ownership.claim(instance_id))
        with contextlib.suppress(ConnectionError):
            await self._cluster.set_route(instance_id, instance.owned())
        if instance.has_work:
            instance.stir()
        return instance

    async def refresh(self, instance: Instance, wait_s: float) -> None:
        """See that an instance follows its record, which has changed; `wait_s` is for a change of its deployment."""
        async with self._locks.hold(instance.spec.instance_id):  # one after the other, so that none brings back what was before
            newer = await self._spec(instance.spec.instance_id)
            instance.spec.follow(newer)
        await instance.follow(newer, wait_s)

    async def delete(self, instance_id: str, life: int | None = None) -> None:
        """Stop the instance and remove it; a tombstone keeps its epoch. Idempotent; InstanceReplaced for another `life`."""
        async with self._locks.hold(instance_id):
            known = self._loaded.get(instance_id)
            if known and life is not None and life != known.life:
                raise InstanceReplaced(f"instance {instance_id} was deleted and created anew since this request began")
            await self._ownership.bury(instance_id)
            instance = self._loaded.pop(instance_id, None)
            if instance:
                await instance.terminate()
            await self._remove(instance_id)
        with contextlib.suppress(ConnectionError):
            await self._cluster.drop_route(instance_id)

    async def _remove(self, instance_id: str) -> None:
        directory = self.host.directory.instance(instance_id)
        await self.host.blocking(self.host.workspace(directory.workspace, None).delete)
        await self.host.blocking(_remove_tree, directory.root)

    # ---- loading

    async def _spec(self, instance_id: str) -> Spec:
        found = await self._records.spec(instance_id)
        if found is None:
            raise NotFound(f"there is no instance {instance_id}")
        return found.record

    async def _loading(self, instance_id: str) -> Instance:
        async with self._locks.hold(instance_id):
            return self._loaded.get(instance_id) or await self._load(instance_id)

    async def _load(self, instance_id: str) -> Instance:
        owner = await self._ownership.owned(instance_id)
        return await self._open(await self._spec(instance_id), owner)

    async def _open(self, spec: Spec, owner: Owner) -> Instance:
        directory = self.host.directory.instance(spec.instance_id)
        uid = self.host.uids.of(spec.instance_id, owner.life)
        await self.host.blocking(directory.prepare)
        state = await self.host.states.create(
            directory.state_db, instance_id=spec.instance_id, tenant_id=spec.tenant_id, epoch=owner.epoch,
            boot_id=self.host.boot_id,
        )  # fmt: skip
        try:
            instance = await self._assemble(spec, owner, uid, directory, state)
        except BaseException:
            await state.close(clean=False)
            raise
        self._loaded[spec.instance_id] = instance
        return instance

    async def _assemble(
        self, spec: Spec, owner: Owner, uid: int | None, directory: InstanceDirectory, state: LocalState
    ) -> Instance:
        same_boot = await self._follow_boot(state, owner)
        logs = LogStore(directory.logs_db, self.host.executor)
        try:
            recovery = Recovery(self.host, spec, directory, state, logs, self._found if same_boot else {})
            adoptable = await recovery.run()
            overview = await state.overview()
            belongings = Belongings(
                host=self.host, spec=spec, uid=uid, directory=directory, state=state, logs=logs,
                workspace=self.host.workspace(directory.workspace, uid),
                stream=Stream(state, overview.head, self.host.limits.readers),
            )  # fmt: skip
            instance = Instance(belongings, owner.life, _STORED.get(overview.status, Status.DEPLOYING), overview.reason)
            await instance.recover()
            if adoptable:
                await instance.adopt(adoptable)
                del self._found[adoptable.launch.launch_id]
        except BaseException:
            await logs.close()
            raise
        return instance

    async def _follow_boot(self, state: LocalState, owner: Owner) -> bool:
        """Events are not fsynced: after a power cut their numbers may be given out again, so they belong to a new epoch.

        Whether it is the boot that the state was written under: agents do not outlive it, nor may they know more than the state.
        """
        changed = state.boot_id not in (None, self.host.boot_id)
        if changed:
            head = (await state.overview()).head
            owner = await self._ownership.raise_epoch(owner, head.seq)
        await state.begin_epoch(owner.epoch, "owner")
        if state.boot_id != self.host.boot_id:
            await state.write_under(self.host.boot_id)
        return not changed


def _remove_tree(root: Path) -> None:
    """Remove a directory of ours; renamed first, so that a crash in between leaves nothing that looks like an instance."""
    doomed = root if root.name.startswith(".") else root.with_name(f".deleted.{root.name}")
    with contextlib.suppress(FileNotFoundError):
        root.rename(doomed)
    shutil.rmtree(doomed, ignore_errors=True)
