"""`podium status`: how the platform is."""

from collections import Counter

import click
import msgspec

from podium.cli.failures import FAILED
from podium.cli.options import Settings, pass_settings, shared_options
from podium.cli.output import print_fields, print_json, print_table
from podium.cli.session import converse
from podium.client import AsyncPodium
from podium.protocol.api import CoordinatorStatus, Health
from podium.protocol.errors import Forbidden


class PlatformStatus(msgspec.Struct, kw_only=True):
    """What the command prints; null where the key may not look, or where the platform is not ready to tell."""

    url: str
    status: str
    ready: Health
    coordinators: list[CoordinatorStatus] | None = None
    deployments: int | None = None
    instances: dict[str, int] | None = None


@click.command(short_help="Say how the platform is.")
@shared_options
@pass_settings
def status(settings: Settings) -> int:
    """Say how the platform is. The exit code is 1 where the gateway answers and is not ready."""
    found, ready = converse(settings, _look)
    if settings.json:
        print_json(found)
    else:
        _print(found)
    return 0 if ready else FAILED


async def _look(podium: AsyncPodium) -> tuple[PlatformStatus, bool]:
    health = await podium.health()
    ready, is_ready = await podium.ready()
    found = PlatformStatus(url=podium.url, status=health.status, ready=ready)
    if is_ready:
        found.coordinators = await _coordinators(podium)
        found.deployments = len(await podium.deployments())
        found.instances = dict(Counter(instance.status for instance in await podium.instances()))
    return found, is_ready


async def _coordinators(podium: AsyncPodium) -> list[CoordinatorStatus] | None:
    try:
        return await podium.coordinators()
    except Forbidden:
        return None


def _print(found: PlatformStatus) -> None:
    checks = ", ".join(f"{name} {said}" for name, said in found.ready.checks.items())
    instances = ", ".join(f"{count} {name}" for name, count in sorted((found.instances or {}).items()))
    print_fields(
        [
            ("gateway", f"{found.url} {found.status}"),
            ("ready", f"{found.ready.status} ({checks})" if checks else found.ready.status),
            ("deployments", found.deployments),
            ("instances", instances or (None if found.instances is None else "none")),
        ]
    )
    if found.coordinators is None:
        return
    print_table(
        ("COORDINATOR", "URL", "AWAKE", "CAPACITY", "DRAINING"),
        [
            (item.coordinator_id, item.url, item.load, item.capacity, "yes" if item.draining else "no")
            for item in found.coordinators
        ],
    )
