"""`podium instances get`."""

import click

from podium.cli.instances.show import show
from podium.cli.options import Settings, pass_settings, shared_options
from podium.cli.session import converse


@click.command(short_help="Show one instance.")
@click.argument("instance")
@shared_options
@pass_settings
def get(settings: Settings, instance: str) -> None:
    """Show INSTANCE. Looking does not wake it."""
    show(settings, converse(settings, lambda podium: podium.instance(instance)))
