"""`podium gateway` and `podium coordinator`: one part alone, for hosts that run them apart."""

import asyncio
import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path

import click

from podium.cli import platform
from podium.cli.serve import Usage, bind
from podium.config import NEEDED_APART, ConfigError, Settings, load_settings
from podium.coordinator.layout import DataDirectory
from podium.supervisor.spec import Outcome, ProcessEvent, ProcessSpec
from podium.supervisor.supervisor import Supervisor

_CONFIG = click.option("--config", type=click.Path(path_type=Path), help="TOML file with settings.")


@click.command()
@_CONFIG
def gateway(config: Path | None) -> None:
    """Run a gateway alone. Needs VALKEY_URL, ADMIN_API_KEY and SECRETS_KEY."""
    raise SystemExit(_run(config, _gateway_specs))


@click.command()
@_CONFIG
def coordinator(config: Path | None) -> None:
    """Run a coordinator and its launcher. Needs VALKEY_URL, ADMIN_API_KEY and SECRETS_KEY."""
    raise SystemExit(_run(config, _coordinator_specs))


def _run(config: Path | None, specs_of: Callable[[Settings, dict[str, str]], list[ProcessSpec]]) -> int:
    try:
        settings = load_settings(os.environ, None, config, NEEDED_APART)
        outcome = asyncio.run(supervise(specs_of(settings, platform.environment(config)), show_event))
    except ConfigError as error:
        return usage(*error.problems)
    except (Usage, OSError) as error:
        return usage(str(error))
    if outcome.code:
        print(f"error: {outcome.reason}", file=sys.stderr)
    return outcome.code


def usage(*problems: str) -> int:
    """Say each problem in a line; the exit code for them."""
    print(*(f"error: {problem}" for problem in problems), sep="\n", file=sys.stderr)
    return 2


def _gateway_specs(settings: Settings, environ: dict[str, str]) -> list[ProcessSpec]:
    sock = bind(settings.gateway_host, settings.gateway_port)
    return [platform.part("gateway", environ, sock.detach(), settings.gateway_port, "/health", platform.restarts(settings))]


def _coordinator_specs(settings: Settings, environ: dict[str, str]) -> list[ProcessSpec]:
    directory = DataDirectory(settings.data)
    directory.prepare()
    sock = bind(settings.coordinator_host, settings.coordinator_port)
    restarts = platform.restarts(settings)
    part = platform.part("coordinator", environ, sock.detach(), settings.coordinator_port, "/health", restarts)
    return [platform.launcher(directory, restarts), part]


async def supervise(specs: list[ProcessSpec], on_event: Callable[[ProcessEvent], None]) -> Outcome:
    """Run the processes until a signal ends them, or one of them cannot be had."""
    supervisor = Supervisor(specs, on_event=on_event, on_output=show_output)
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        loop.add_signal_handler(number, supervisor.stop)
    return await supervisor.run()


def show_event(event: ProcessEvent) -> None:
    """What went wrong with a process, on stderr."""
    if event.kind in ("ended", "restarting", "unready"):
        print(f"[{event.name}] {event.kind} {event.detail}".rstrip(), file=sys.stderr, flush=True)


def show_output(name: str, lines: bytes) -> None:
    """What a process has printed, with its name before each line."""
    for line in lines.splitlines():
        sys.stderr.buffer.write(b"[%s] %s\n" % (name.encode(), line))
    sys.stderr.buffer.flush()
