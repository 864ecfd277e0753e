"""Where concrete classes are chosen and joined: the gateway's process and the coordinator's. Run by a supervisor.

`python -m podium.cli.serve gateway|coordinator` reads its settings from the environment; a listening socket may come as a
descriptor in PODIUM_LISTEN_FD, so that a restart refuses nobody.
"""

import asyncio
import contextlib
import gc
import os
import resource
import secrets
import signal
import socket
import sys
from collections.abc import Awaitable, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

import uvicorn

from podium import log
from podium.auth import Keys, Signer
from podium.cluster.valkey import ValkeyCluster
from podium.config import NEEDED_APART, ConfigError, Settings, load_settings
from podium.coordinator.configuration import Configuration
from podium.coordinator.coordinator import Coordinator
from podium.coordinator.host import Host, Limits
from podium.coordinator.layout import DataDirectory
from podium.coordinator.server import make_app as coordinator_app
from podium.coordinator.uids import Uids
from podium.crashpoint import arm
from podium.deployments.bundle import BundleLimits
from podium.deployments.cache import open_cache
from podium.deployments.interpreter import NoInterpreter, choose_interpreter
from podium.deployments.registry import Registry
from podium.gateway.app import Gateway
from podium.gateway.app import make_app as gateway_app
from podium.gateway.ensemble import Ensemble
from podium.launcher.processes import ProcessLauncher
from podium.objectstore.directory import DirectoryStore
from podium.protocol.errors import NewerFormat
from podium.records.configuration import Configurations
from podium.records.instances import Instances
from podium.sealing import Sealer
from podium.server.connection import ConnectionLimits, connections
from podium.server.descriptors import watch_descriptors
from podium.server.dispatch import Dispatcher
from podium.server.metrics import HttpMetrics
from podium.server.socket import Socket
from podium.state.sqlite import SqliteStates
from podium.web import listening_fd
from podium.workspace.directory import DirectoryWorkspace

STATE_THREADS = 8
BOOT_ID_FILE = "/proc/sys/kernel/random/boot_id"
BOOT_ID_VARIABLE = "PODIUM_BOOT_ID_FILE"
"""Names another file in tests that play a power cut."""
CLOSE_CONNECTIONS_S = 2.0
KEPT_DESCRIPTORS = 256
FORWARDED_HEADS = 4
"""What a gateway forwards has the URL once more, in the caller header that it signs."""


class Usage(Exception):
    """A setting or the machine is not as it must be: exit code 2 and one line."""


class StorageFailed(Exception):
    """The disk does not do what it must before anything can be served; it is tried again."""


def bundle_limits(settings: Settings) -> BundleLimits:
    """What a bundle may be."""
    return BundleLimits(compressed_bytes=settings.max_bundle_size_bytes)


async def run_gateway(settings: Settings) -> None:
    """Serve the public API until told to stop."""
    signer, keys, sealer = _secrets(settings)
    assert settings.valkey_url
    cluster = ValkeyCluster(settings.valkey_url)

    def make_gateway(metrics: HttpMetrics) -> Gateway:
        return Gateway(
            store=object_store(settings), cluster=cluster, keys=keys, signer=signer, sealer=sealer,
            ensemble=Ensemble(settings.ensemble_url, settings.ensemble_api_key), environment=settings.environment,
            bundle_limits=bundle_limits(settings), max_message_bytes=settings.max_message_size_bytes,
            max_upload_bytes=settings.max_upload_size_bytes,
            frames_per_s=settings.max_frames_per_second, max_sockets=settings.max_sockets, metrics=metrics,
        )  # fmt: skip

    async with contextlib.aclosing(cluster):
        await _serve(
            gateway_app(make_gateway), _bounds(settings), _socket(settings, settings.gateway_host, settings.gateway_port)
        )


async def run_coordinator(settings: Settings) -> None:
    """Own the instances of the data directory until told to stop."""
    arm(os.environ)
    signer, _, sealer = _secrets(settings)
    directory = DataDirectory(settings.data)
    directory.prepare()
    with _locked(directory), ThreadPoolExecutor(STATE_THREADS, "state") as executor:
        assert settings.valkey_url
        cluster = ValkeyCluster(settings.valkey_url)
        store = object_store(settings)
        uids = Uids(directory.host_db)
        states = await _states(directory, executor)
        states.journal.broken.add_done_callback(_end_at_once)
        configuration = Configuration(Configurations(store, settings.environment), cluster)
        host = await _host(settings, directory, store, uids, states, executor, configuration, sealer)
        states.journal.observe_sync = host.metrics.journal_sync_seconds.observe
        records = Instances(store, settings.environment)
        coordinator = Coordinator(host, records, cluster, settings.coordinator_url)
        await coordinator.start()
        try:
            app = coordinator_app(coordinator, signer)
            stop = partial(coordinator.stop, settings.shutdown_grace_s)
            sock = _socket(settings, settings.coordinator_host, settings.coordinator_port)
            await _serve(app, _bounds(settings, FORWARDED_HEADS), sock, stop)
        finally:
            await coordinator.stop(0)
            await states.close()
            await host.deployments.close()
            await cluster.aclose()
            uids.close()


def object_store(settings: Settings) -> DirectoryStore:
    """The object store: a directory, shared by all parts on this machine."""
    return DirectoryStore(settings.data / "objects")


async def _states(directory: DataDirectory, executor: ThreadPoolExecutor) -> SqliteStates:
    try:
        return await SqliteStates.open(directory.journal, lambda name: directory.instance(name).state_db, executor, _now)
    except OSError as error:
        raise StorageFailed(f"the journal in {directory.journal} cannot be prepared: {error}") from error


async def _host(
    settings: Settings,
    directory: DataDirectory,
    store: DirectoryStore,
    uids: Uids,
    states: SqliteStates,
    executor: ThreadPoolExecutor,
    configuration: Configuration,
    sealer: Sealer,
) -> Host:
    agent_uid = uids.build_uid  # what one unprivileged uid can execute, all can
    interpreter = choose_interpreter(str(settings.agent_python) if settings.agent_python else None, agent_uid)
    cache = await open_cache(
        settings.data, store, settings.environment, interpreter=interpreter, build_uid=uids.build_uid,
        limits=bundle_limits(settings),
    )  # fmt: skip
    limits = Limits(
        inbox=settings.max_inbox, readers=settings.max_readers, events=settings.max_events, agents=settings.max_agents,
        message_bytes=settings.max_message_size_bytes,
        upload_bytes=settings.max_upload_size_bytes, spool_bytes=settings.max_spool_size_bytes,
        frames_per_s=settings.max_frames_per_second,
        start_timeout_s=settings.start_timeout_s,
        stop_grace_s=settings.stop_grace_s, shutdown_timeout_s=settings.shutdown_grace_s,
    )  # fmt: skip
    return Host(
        directory=directory, launcher=ProcessLauncher(directory.launcher_socket), registry=Registry(store, settings.environment),
        deployments=cache,
        states=states, workspace=DirectoryWorkspace, uids=uids, executor=executor, clock=_now,
        boot_id=Path(os.environ.get(BOOT_ID_VARIABLE, BOOT_ID_FILE)).read_text().strip(), coordinator_id=settings.coordinator_id,
        incarnation=secrets.token_hex(8), limits=limits, configuration=configuration, sealer=sealer,
    )  # fmt: skip


def _end_at_once(_: object) -> None:
    """The disk has failed the journal: only what it holds counts now, and the next start reads that."""
    os._exit(1)


def _now() -> datetime:
    return datetime.now(UTC)


def _secrets(settings: Settings) -> tuple[Signer, Keys, Sealer]:
    root, admin_api_key = settings.secrets_key, settings.admin_api_key
    assert root
    assert admin_api_key
    return Signer(root), Keys(admin_api_key), Sealer(root, settings.secrets_key_previous)


@contextlib.contextmanager
def _locked(directory: DataDirectory) -> Iterator[None]:
    try:
        fd = directory.lock()
    except OSError:
        raise Usage(f"{directory.root} is in use by another coordinator: end it, or choose another --data") from None
    try:
        yield
    finally:
        os.close(fd)


async def _serve(
    app: Dispatcher, bounds: ConnectionLimits, listening: socket.socket, before_end: Callable[[], Awaitable[None]] | None = None
) -> None:
    """Serve `app` until a signal comes; `before_end` runs while connections are still open."""
    config = uvicorn.Config(
        app, log_config=None, access_log=False, server_header=False, loop="none", http=connections(bounds), ws=Socket,
        lifespan="on", proxy_headers=False, timeout_graceful_shutdown=int(CLOSE_CONNECTIONS_S), backlog=1024,
        timeout_keep_alive=bounds.keep_alive_s,
    )  # fmt: skip
    server = uvicorn.Server(config)
    server.capture_signals = contextlib.nullcontext  # type: ignore[method-assign,assignment] # handled here
    serving = asyncio.create_task(server.serve(sockets=[listening]))
    watching = asyncio.create_task(watch_descriptors())
    await asyncio.wait({serving, asyncio.create_task(_signal())}, return_when=asyncio.FIRST_COMPLETED)
    watching.cancel()
    if before_end:
        await before_end()
    server.should_exit = True
    await serving


def _bounds(settings: Settings, heads: int = 1) -> ConnectionLimits:
    """Of connections: as set, heads `heads` times as large, and so that descriptors are left for everything else."""
    possible, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return ConnectionLimits(
        connections=max(1, min(settings.max_connections, possible - KEPT_DESCRIPTORS)),
        head_bytes=heads * settings.max_request_head_size_bytes, head_timeout_s=settings.request_head_timeout_s,
        body_timeout_s=settings.request_body_timeout_s, keep_alive_s=int(settings.keep_alive_timeout_s),
    )  # fmt: skip


def _socket(settings: Settings, host: str, port: int) -> socket.socket:
    """The socket to serve on. The kernel itself ends its connections whose peer takes nothing of what it is sent for too long."""
    fd = listening_fd()
    sock = bind(host, port) if fd is None else socket.socket(fileno=fd)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, int(settings.reader_timeout_s * 1000))
    return sock


def bind(host: str, port: int) -> socket.socket:
    """A listening TCP socket; OSError where the address cannot be had. Port 0 takes any."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    sock = socket.socket(family, socket.SOCK_STREAM)
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.bind((host, port))
        sock.listen(1024)
    except OSError:
        sock.close()
        raise
    return sock


async def _signal() -> None:
    """Return once somebody wants this process to end."""
    loop, stop = asyncio.get_running_loop(), asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    await stop.wait()


def _spare_the_collector() -> None:
    """What is loaded now stays for ever: the garbage collector need not look at it each time it looks for cycles."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(10_000, 20, 20)


def _raise_file_limit() -> None:
    """Each awake agent takes a few descriptors, each reader one."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def main() -> int:
    """Run one part; 2 for what the user has to set right."""
    import uvloop

    runs = {"gateway": run_gateway, "coordinator": run_coordinator}
    try:
        settings = load_settings(os.environ, needs=NEEDED_APART)
        log.configure(settings.log_format, settings.log_level)
        _raise_file_limit()
        _spare_the_collector()
        uvloop.run(runs[sys.argv[1]](settings))
    except ConfigError as error:
        print(*(f"error: {problem}" for problem in error.problems), sep="\n", file=sys.stderr)
        return 2
    except (Usage, NoInterpreter, NewerFormat) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except StorageFailed as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
