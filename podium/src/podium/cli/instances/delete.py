"""`podium instances delete`."""

import click

from podium.cli.options import Settings, pass_settings, shared_options
from podium.cli.output import print_json
from podium.cli.session import converse


@click.command(short_help="Stop an instance and remove all it holds.")
@click.argument("instance")
@shared_options
@pass_settings
def delete(settings: Settings, instance: str) -> None:
    """Stop INSTANCE and remove all it holds. A second time changes nothing."""
    converse(settings, lambda podium: podium.delete(instance))
    if settings.json:
        print_json({"instance_id": instance, "status": "terminated"})
    else:
        print(f"deleted {instance}")
