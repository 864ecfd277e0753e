"""`podium events`: everything an instance does, as it happens."""

from contextlib import aclosing

import click
import msgspec

from podium.cli.following import while_read
from podium.cli.options import Settings, pass_settings, shared_options
from podium.cli.output import print_json_line, printable, when
from podium.cli.session import converse
from podium.client import AsyncPodium
from podium.protocol.events import Event, Frame, Reset, Status, Truncate


@click.command(short_help="Follow everything an instance does.")
@click.argument("instance")
@click.option("--after", metavar="CURSOR", help="Begin after this cursor, such as 1.42; else at the oldest event kept.")
@shared_options
@pass_settings
def events(settings: Settings, instance: str, after: str | None) -> None:
    """Follow the events of INSTANCE until Ctrl-C; with --json one a line. Reading does not wake it."""
    converse(settings, lambda podium: while_read(_follow(settings, podium, instance, after)))


async def _follow(settings: Settings, podium: AsyncPodium, instance: str, after: str | None) -> None:
    async with aclosing(podium.events(instance, after=after)) as frames:
        async for frame in frames:
            if settings.json:
                print_json_line(frame)
            else:
                print(printable(_line(frame)), flush=True)


def _line(frame: Frame) -> str:
    if isinstance(frame, Event):
        content = msgspec.json.encode(frame.content).decode()
        return f"{frame.cursor}  {when(frame.ts)}  {frame.message_id or '-'}  {frame.event_type}  {content}"
    if isinstance(frame, Truncate):
        return f"{frame.epoch}.{frame.after_seq}  truncate: what came above {frame.after_seq} is lost"
    if isinstance(frame, Reset):
        return f"-  reset: the log begins at {frame.first_seq}"
    assert isinstance(frame, Status)
    return f"{frame.cursor}  status: {frame.status}"
