"""`podium instances hibernate`."""

import click

from podium.cli.instances.lifecycle import show_if_reached
from podium.cli.options import Settings, pass_settings, shared_options
from podium.cli.session import converse


@click.command(short_help="Put an instance to sleep.")
@click.argument("instance")
@click.option("--wait", "wait_s", type=click.FloatRange(min=0), default=60.0, show_default=True, help="Seconds to wait for it.")
@shared_options
@pass_settings
def hibernate(settings: Settings, instance: str, wait_s: float) -> None:
    """Put INSTANCE to sleep, after the turn it works on. It costs nothing then, and any message wakes it."""
    found = converse(settings, lambda podium: podium.hibernate(instance, wait_s=wait_s))
    show_if_reached(settings, found, frozenset({"hibernated"}), wait_s)
