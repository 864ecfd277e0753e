"""`podium instances wake`."""

import click

from podium.cli.instances.lifecycle import show_if_reached
from podium.cli.options import Settings, pass_settings, shared_options
from podium.cli.session import converse


@click.command(short_help="Wake an instance.")
@click.argument("instance")
@click.option("--wait", "wait_s", type=click.FloatRange(min=0), default=60.0, show_default=True, help="Seconds to wait for it.")
@shared_options
@pass_settings
def wake(settings: Settings, instance: str, wait_s: float) -> None:
    """Wake INSTANCE, so that its next turn starts at once."""
    found = converse(settings, lambda podium: podium.wake(instance, wait_s=wait_s))
    show_if_reached(settings, found, frozenset({"ready", "running"}), wait_s)
