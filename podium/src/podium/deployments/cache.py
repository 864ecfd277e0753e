"""The deployments of a host, ready to run: fetched, verified, unpacked and installed when they are first needed.

    deployments/{agent_type}/{version}/{sha256}/     an unpacked bundle with its bytecode
    environments/…                                   see `environment.py`
    building/…                                       see `builder.py`
    tools/                                           uv and the SDK's wheel

Trees appear under their final names complete and durable. A crash leaves work in `building/`, which the next `open` removes.
"""

import asyncio
import os
import shutil
import time
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path

import msgspec

from podium.deployments.builder import Builder, BuildFailed
from podium.deployments.bundle import BundleLimits, unpack
from podium.deployments.bytecode import compile_tree
from podium.deployments.durable import publish_tree
from podium.deployments.environment import EnvironmentFailed, Environments, clean_variables
from podium.deployments.interpreter import Interpreter
from podium.deployments.manifest import Manifest, parse_manifest
from podium.deployments.names import Keys
from podium.deployments.registry import Deployment, file_sha256
from podium.deployments.requirements import NAMES, Dependencies, read_dependencies
from podium.deployments.sdk_wheel import build_sdk_wheel
from podium.deployments.tables import NAME
from podium.deployments.uv_binary import provide_uv
from podium.objectstore.port import ObjectStore
from podium.protocol.errors import Unavailable


class Prepared(msgspec.Struct, kw_only=True, frozen=True):
    """A deployment that can be started: its files, and the Python of its environment."""

    bundle_dir: Path
    python: Path
    manifest: Manifest
    deployment_id: str


class DeploymentCache:
    """What this host has of the deployments; made by `open_cache`. `clock` counts seconds."""

    def __init__(
        self,
        root: Path,
        store: ObjectStore,
        environment: str,
        *,
        builder: Builder,
        environments: Environments,
        interpreter: Interpreter,
        limits: BundleLimits,
        retry_after_s: float = 30.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._root = root / "deployments"
        self._store = store
        self._keys = Keys(environment)
        self._builder = builder
        self._environments = environments
        self._interpreter = interpreter
        self._limits = limits
        self._retry_after_s = retry_after_s
        self._clock = clock
        self._running: dict[str, asyncio.Task[Prepared]] = {}
        self._ready: dict[str, Prepared] = {}
        self._failed: dict[str, tuple[float, str]] = {}

    async def prepare(self, deployment: Deployment) -> Prepared:
        """Make a deployment ready, once however many ask; a caller that leaves stops nothing.

        EnvironmentFailed (repeated for `retry_after_s` without trying), Unavailable where the bundle is missing or damaged,
        InvalidBundle and TooLarge where this host's limits are narrower, OSError.
        """
        key = deployment.deployment_id + deployment.checksum
        if key in self._ready:
            return self._ready[key]
        self._raise_remembered(key)
        task = self._running.get(key)
        if task is None:
            task = self._running[key] = asyncio.create_task(self._prepare(key, deployment))
            task.add_done_callback(lambda done: self._finished(key, done))
        return await asyncio.shield(task)

    async def evict(self, exists: Callable[[str, str], Awaitable[bool]]) -> None:
        """Delete the bundles of versions that are no longer there. To be called before anything is prepared."""
        for folder in await asyncio.to_thread(lambda: sorted(self._root.glob("*/*"))):
            if not await exists(folder.parent.name, folder.name):
                await asyncio.to_thread(shutil.rmtree, folder, ignore_errors=True)

    async def close(self) -> None:
        """End what is being prepared."""
        tasks = list(self._running.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _prepare(self, key: str, deployment: Deployment) -> Prepared:
        try:
            bundle_dir = await self._unpacked(deployment)
            manifest, dependencies = await asyncio.to_thread(_read, bundle_dir)
            python = await self._environments.prepare(dependencies)
        except (EnvironmentFailed, BuildFailed) as error:
            self._failed[key] = (self._clock() + self._retry_after_s, str(error))
            raise EnvironmentFailed(str(error)) from error
        prepared = Prepared(bundle_dir=bundle_dir, python=python, manifest=manifest, deployment_id=deployment.deployment_id)
        self._ready[key] = prepared
        return prepared

    async def _unpacked(self, deployment: Deployment) -> Path:
        sha256 = deployment.checksum.removeprefix("sha256:")
        target = self._root / deployment.agent_type / deployment.version / sha256
        if not target.exists():
            async with self._builder.place() as work:
                bundle = await self._fetched(deployment, work, sha256)
                tree = work / "bundle"
                await asyncio.to_thread(unpack, bundle, tree, self._limits)
                await self._builder.hand_over(tree)
                await compile_tree(self._builder, work, tree, self._interpreter, clean_variables(work))
                await self._builder.take_back(tree)
                await asyncio.to_thread(self._publish, tree, target)
        return target

    async def _fetched(self, deployment: Deployment, work: Path, sha256: str) -> Path:
        bundle = work / "bundle.tar.gz"
        if not await self._store.fetch_to_file(self._keys.bundle(deployment.agent_type, deployment.version), bundle):
            raise Unavailable(f"the bundle of {deployment.deployment_id} is missing in the object store: deploy it again")
        found = await asyncio.to_thread(file_sha256, bundle)
        if found != sha256:
            raise Unavailable(
                f"the bundle of {deployment.deployment_id} in the object store is damaged: it has the checksum sha256:{found}, "
                f"its record says {deployment.checksum}. Deploy the next version"
            )
        return bundle

    def _publish(self, tree: Path, target: Path) -> None:
        for folder in (self._root, target.parent.parent, target.parent):
            folder.mkdir(mode=0o711, exist_ok=True)
            folder.chmod(0o711)
        publish_tree(tree, target)

    def _raise_remembered(self, key: str) -> None:
        until, reason = self._failed.get(key, (0.0, ""))
        if reason and self._clock() < until:
            raise EnvironmentFailed(reason)
        self._failed.pop(key, None)

    def _finished(self, key: str, task: asyncio.Task[Prepared]) -> None:
        self._running.pop(key, None)
        if not task.cancelled():
            task.exception()  # seen, also where every caller has left


async def open_cache(
    root: Path,
    store: ObjectStore,
    environment: str,
    *,
    interpreter: Interpreter,
    build_uid: int | None,
    limits: BundleLimits | None = None,
    variables: Mapping[str, str] | None = None,
    retry_after_s: float = 30.0,
) -> DeploymentCache:
    """The cache below `root`, which has to exist, belong to this process alone and be searchable for `build_uid`.

    OSError; BuildFailed where something of an earlier build still runs and cannot be ended.
    """
    builder = Builder(root, build_uid)
    await builder.remove_leftovers()
    tools = root / "tools"
    await asyncio.to_thread(_prepare_tools, tools)
    sdk = await asyncio.to_thread(build_sdk_wheel, tools)
    uv = await asyncio.to_thread(provide_uv, tools, build_uid)
    environments = Environments(root, builder, interpreter, sdk, uv, os.environ if variables is None else variables)
    return DeploymentCache(
        root, store, environment, builder=builder, environments=environments, interpreter=interpreter,
        limits=limits or BundleLimits(), retry_after_s=retry_after_s,
    )  # fmt: skip


def _prepare_tools(tools: Path) -> None:
    tools.mkdir(exist_ok=True)
    tools.chmod(0o711)
    for unfinished in tools.glob(".*"):
        unfinished.unlink()


def _read(bundle_dir: Path) -> tuple[Manifest, Dependencies]:
    files = {name: (bundle_dir / name).read_bytes() for name in NAMES if _is_plain(bundle_dir / name)}
    return parse_manifest((bundle_dir / NAME).read_bytes()), read_dependencies(files)


def _is_plain(path: Path) -> bool:
    return path.is_file() and not path.is_symlink()
