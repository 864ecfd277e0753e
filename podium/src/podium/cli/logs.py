"""`podium logs`: what an agent wrote."""

import click

from podium.cli.options import Settings, pass_settings, shared_options
from podium.cli.output import print_json, printable, when
from podium.cli.session import converse


@click.command(short_help="Print an instance's log.")
@click.argument("instance")
@click.option("--limit", type=click.IntRange(min=1), help="At most so many records.")
@click.option("--level", metavar="LEVEL", help="Only of this level, such as warning.")
@shared_options
@pass_settings
def logs(settings: Settings, instance: str, limit: int | None, level: str | None) -> None:
    """Print the log of INSTANCE."""
    page = converse(settings, lambda podium: podium.logs(instance, limit=limit, level=level))
    if settings.json:
        print_json(page)
        return
    for record in page.items:
        print(printable(f"{when(record.at)} {record.level:<7} {record.source:<8} {record.message}"))
