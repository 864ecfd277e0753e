"""`podium logs`: what an agent wrote, and what it writes from now on."""

from contextlib import aclosing

import click

from podium.cli.following import while_read
from podium.cli.options import Settings, pass_settings, shared_options
from podium.cli.output import print_json, print_json_line, printable, when
from podium.cli.session import converse
from podium.client import AsyncPodium
from podium.protocol.api import LogRecord


@click.command(short_help="Print an instance's log.")
@click.argument("instance")
@click.option("--limit", type=click.IntRange(min=1), help="At most so many records; with -f, how many to begin with.")
@click.option("--level", metavar="LEVEL", help="Only of this level or worse, such as warning.")
@click.option("-f", "--follow", is_flag=True, help="Go on as it grows, until Ctrl-C.")
@shared_options
@pass_settings
def logs(settings: Settings, instance: str, limit: int | None, level: str | None, follow: bool) -> None:
    """Print the log of INSTANCE; with --json and -f one record a line. Reading does not wake it."""
    if follow:
        converse(settings, lambda podium: while_read(_follow(settings, podium, instance, limit, level)))
        return
    page = converse(settings, lambda podium: podium.logs(instance, limit=limit, level=level))
    if settings.json:
        print_json(page)
        return
    for record in page.items:
        print(_line(record))


async def _follow(settings: Settings, podium: AsyncPodium, instance: str, limit: int | None, level: str | None) -> None:
    async with aclosing(podium.follow_logs(instance, limit=limit, level=level)) as records:
        async for record in records:
            if settings.json:
                print_json_line(record)
            else:
                print(_line(record), flush=True)


def _line(record: LogRecord) -> str:
    return printable(f"{when(record.at)} {record.level:<7} {record.source:<8} {record.message}")
