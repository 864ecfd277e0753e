"""`podium answer`: what a person says to a question of an agent."""

import click
import msgspec

from podium.cli.options import Settings, pass_settings, shared_options
from podium.cli.receipt import show_receipt
from podium.cli.session import converse


@click.command(short_help="Answer a question of an instance.")
@click.argument("instance")
@click.argument("request_id")
@click.argument("content")
@shared_options
@pass_settings
def answer(settings: Settings, instance: str, request_id: str, content: str) -> None:
    """Answer the question REQUEST_ID of INSTANCE with CONTENT: JSON where it is JSON, such as `true`, else text."""
    try:
        value = msgspec.json.decode(content)
    except (msgspec.DecodeError, RecursionError):
        value = content
    show_receipt(settings, converse(settings, lambda podium: podium.answer(instance, request_id, value)))
