"""`podium send`: one message, one reply."""

import click

from podium.cli.options import Settings, pass_settings, shared_options
from podium.cli.output import print_json, printable
from podium.cli.reply import stream_reply
from podium.cli.session import converse


@click.command(short_help="Send a message and print the reply.")
@click.argument("instance")
@click.argument("text")
@click.option("--stream", is_flag=True, help="Print the reply as it comes; with --json one event a line.")
@click.option("--id", "message_id", metavar="ID", help="The message's id: the same one again joins it and runs nothing twice.")
@click.option("--wait", "wait_s", type=click.FloatRange(min=0), metavar="SECONDS", help="Give up waiting then; it goes on.")
@shared_options
@pass_settings
def send(settings: Settings, instance: str, text: str, stream: bool, message_id: str | None, wait_s: float | None) -> None:
    """Send TEXT to INSTANCE and print the reply. A sleeping instance wakes."""
    if stream and wait_s is not None:
        raise click.UsageError("--stream and --wait exclude each other", click.get_current_context())
    if stream:
        converse(settings, lambda podium: stream_reply(settings, podium, instance, text, message_id))
        return
    reply = converse(settings, lambda podium: podium.send(instance, text, message_id=message_id, wait_s=wait_s))
    if settings.json:
        print_json(reply)
    else:
        print(printable(reply.text))
