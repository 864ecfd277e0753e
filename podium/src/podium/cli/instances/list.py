"""`podium instances list`."""

import click

from podium.cli.instances.show import pairs
from podium.cli.options import Settings, pass_settings, shared_options
from podium.cli.output import print_json, print_table, when
from podium.cli.session import converse
from podium.protocol.api import Page


@click.command("list", short_help="List instances.")
@click.option("--type", "agent_type", metavar="TYPE", help="Only of this agent type.")
@click.option("--status", help="Only in this status, such as ready or hibernated.")
@click.option("--label", "labels", multiple=True, metavar="NAME=VALUE", help="Only with this label.")
@shared_options
@pass_settings
def list_instances(settings: Settings, agent_type: str | None, status: str | None, labels: tuple[str, ...]) -> None:
    """List instances."""
    items = converse(settings, lambda podium: podium.instances(agent_type=agent_type, status=status, labels=labels))
    if settings.json:
        print_json(Page(items=items))
        return
    print_table(
        ("INSTANCE", "DEPLOYMENT", "STATUS", "CREATED", "LABELS"),
        [(item.instance_id, item.deployment_id, item.status, when(item.created_at), pairs(item.labels)) for item in items],
    )
