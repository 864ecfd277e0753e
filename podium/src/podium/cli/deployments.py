"""`podium deployments`: what can be created."""

import click

from podium.cli.options import Settings, pass_settings, shared_options
from podium.cli.output import print_json, print_table, size, when
from podium.cli.session import converse
from podium.protocol.api import Page


@click.command(short_help="List deployments.")
@shared_options
@pass_settings
def deployments(settings: Settings) -> None:
    """List deployments."""
    items = converse(settings, lambda podium: podium.deployments())
    if settings.json:
        print_json(Page(items=items))
        return
    print_table(
        ("DEPLOYMENT", "RUNTIME", "SIZE", "CREATED"),
        [(item.deployment_id, item.runtime, size(item.size_bytes), when(item.created_at)) for item in items],
    )
