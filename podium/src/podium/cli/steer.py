"""`podium steer`: guidance for the turn in flight."""

import click

from podium.cli.options import Settings, pass_settings, shared_options
from podium.cli.receipt import show_receipt
from podium.cli.session import converse


@click.command(short_help="Guide the turn an instance is at.")
@click.argument("instance")
@click.argument("text")
@shared_options
@pass_settings
def steer(settings: Settings, instance: str, text: str) -> None:
    """Give TEXT to the turn INSTANCE is at, or to its next message's."""
    show_receipt(settings, converse(settings, lambda podium: podium.steer(instance, text)))
