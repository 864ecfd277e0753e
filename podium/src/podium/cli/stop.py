"""`podium stop`: end a turn."""

import click

from podium.cli.options import Settings, pass_settings, shared_options
from podium.cli.receipt import show_receipt
from podium.cli.session import converse


@click.command(short_help="Stop the turn an instance is at.")
@click.argument("instance")
@click.option("--message", "message_id", metavar="ID", help="Stop this message's turn, which need not have begun.")
@shared_options
@pass_settings
def stop(settings: Settings, instance: str, message_id: str | None) -> None:
    """Stop the turn INSTANCE is at. What it has done so far counts, unless it has to be killed."""
    show_receipt(settings, converse(settings, lambda podium: podium.stop(instance, message_id)))
