"""`podium up`: the whole platform on this machine, in one command."""

import asyncio
import contextlib
import fcntl
import json
import os
import secrets
import socket
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import click

from podium.cli import platform
from podium.cli.keys import PlatformKeys, kept_name, platform_keys
from podium.cli.options import Settings as SharedOptions
from podium.cli.options import pass_settings
from podium.cli.processes import show_event, supervise, usage
from podium.cli.serve import Usage, bind
from podium.client.context import write_context
from podium.config import ConfigError, Settings, load_settings
from podium.coordinator.layout import DataDirectory, unsearchable_parent
from podium.supervisor.spec import Outcome, ProcessEvent, ProcessSpec


class _Plan(NamedTuple):
    settings: Settings
    keys: PlatformKeys
    specs: list[ProcessSpec]
    url: str


@click.command()
@click.option("--data", type=click.Path(path_type=Path), help="Data directory.")
@click.option("--gateway-port", type=click.IntRange(0, 65535), help="Port of the public API; 0 takes a free one.")
@click.option("--coordinator-port", type=click.IntRange(0, 65535), help="Port of the coordinator; 0 takes a free one.")
@click.option("--host", "gateway_host", help="Address the gateway listens on.")
@click.option("--config", type=click.Path(path_type=Path), help="TOML file with settings.")
@click.option("--json", "as_json", is_flag=True, help="Print the ready line as JSON.")
@pass_settings
def up(shared: SharedOptions, /, config: Path | None, as_json: bool, **flags: Any) -> None:
    """Run the whole platform on this machine until Ctrl-C."""
    ports = [flags.get("gateway_port"), flags.get("coordinator_port")]
    known = {name: value for name, value in flags.items() if value != 0}
    try:
        settings = load_settings(os.environ, known, config)
        with _directory(settings) as directory:
            sockets = _listen(settings, *(port == 0 for port in ports))
            plan = _plan(settings, platform.environment(config), directory, *sockets)
            outcome = asyncio.run(_run(plan, as_json or shared.json))
    except ConfigError as error:
        raise SystemExit(usage(*error.problems)) from None
    except (Usage, OSError) as error:
        raise SystemExit(usage(str(error))) from None
    if outcome.code:
        print(f"error: {outcome.reason}", file=sys.stderr)
    raise SystemExit(outcome.code)


@contextlib.contextmanager
def _directory(settings: Settings) -> Iterator[DataDirectory]:
    """The data directory, made, searchable by agents, and ours alone."""
    blocked = unsearchable_parent(settings.data) if os.getuid() == 0 else None
    if blocked:
        raise Usage(
            f"agents run as users of their own and cannot reach {settings.data}: others may not search {blocked}."
            f" Choose another --data, or chmod o+x {blocked}"
        )
    directory = DataDirectory(settings.data)
    directory.prepare()
    with (settings.data / "up.lock").open("w") as lock:
        os.fchmod(lock.fileno(), 0o600)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise Usage(f"another `podium up` runs on {settings.data}: end it, or choose another --data") from None
        yield directory


def _listen(settings: Settings, any_gateway_port: bool, any_coordinator_port: bool) -> tuple[socket.socket, socket.socket]:
    wanted = (
        ("gateway", settings.gateway_host, 0 if any_gateway_port else settings.gateway_port),
        ("coordinator", settings.coordinator_host, 0 if any_coordinator_port else settings.coordinator_port),
    )
    sockets: list[socket.socket] = []
    for name, host, port in wanted:
        try:
            sockets.append(bind(host, port))
        except OSError as error:
            raise Usage(f"{host}:{port} cannot be had: {error.strerror}. Choose another --{name}-port, or 0 for any") from None
    return sockets[0], sockets[1]


def _plan(
    settings: Settings, environ: dict[str, str], directory: DataDirectory, gateway: socket.socket, coordinator: socket.socket
) -> _Plan:
    keys = platform_keys(settings.data, settings.admin_api_key, settings.secrets_key)
    gateway_port, coordinator_port = gateway.getsockname()[1], coordinator.getsockname()[1]
    restarts = platform.restarts(settings)
    specs = [platform.launcher(directory, restarts)]
    valkey_url = settings.valkey_url
    if valkey_url is None:
        spec, valkey_url = platform.valkey(directory, restarts)
        specs.insert(0, spec)
    env = {
        **environ, "PODIUM_DATA": str(settings.data), "VALKEY_URL": valkey_url, "ADMIN_API_KEY": keys.admin_api_key,
        "SECRETS_KEY": keys.secrets_key, "COORDINATOR_ID": _coordinator_id(settings), "COORDINATOR_PORT": str(coordinator_port),
        "COORDINATOR_HOST": settings.coordinator_host, "GATEWAY_PORT": str(gateway_port), "GATEWAY_HOST": settings.gateway_host,
        "LOG_FORMAT": settings.log_format, "LOG_LEVEL": settings.log_level,
    }  # fmt: skip
    specs.append(platform.part("coordinator", env, coordinator.fileno(), coordinator_port, "/health", restarts))
    specs.append(platform.part("gateway", env, gateway.fileno(), gateway_port, "/ready", restarts))
    shown = "127.0.0.1" if settings.gateway_host in ("0.0.0.0", "::") else settings.gateway_host  # noqa: S104 - compared
    return _Plan(settings, keys, specs, f"http://{shown}:{gateway_port}")


def _coordinator_id(settings: Settings) -> str:
    """As set; else a name kept with the data, since instances name their owner by it."""
    if "COORDINATOR_ID" in os.environ:
        return settings.coordinator_id
    return kept_name(settings.data / "coordinator_id", f"{settings.coordinator_id[:40]}-{secrets.token_hex(4)}")


async def _run(plan: _Plan, as_json: bool) -> Outcome:
    def on_event(event: ProcessEvent) -> None:
        if event.kind == "up":
            _ready(plan, as_json)
        show_event(event)

    for made in plan.keys.made:
        print(f"made {made}", file=sys.stderr)
    return await supervise(plan.specs, on_event)


def _ready(plan: _Plan, as_json: bool) -> None:
    context = write_context(plan.url, plan.keys.admin_api_key, plan.settings.data)
    print(f"data {plan.settings.data}, keys {plan.settings.data / 'keys'}, context {context}", file=sys.stderr)
    print("workspaces are plain directories: files are not versioned", file=sys.stderr)
    print(json.dumps({"ready": plan.url}) if as_json else f"ready {plan.url}", flush=True)
