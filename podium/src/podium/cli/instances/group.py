"""The table of the verbs."""

import click

from podium.cli.lazy import Entry, LazyGroup

VERBS = {
    "create": Entry("podium.cli.instances.create:create", "Create an instance of a deployment."),
    "list": Entry("podium.cli.instances.list:list_instances", "List instances."),
    "get": Entry("podium.cli.instances.get:get", "Show one instance."),
    "delete": Entry("podium.cli.instances.delete:delete", "Stop an instance and remove all it holds."),
    "hibernate": Entry("podium.cli.instances.hibernate:hibernate", "Put an instance to sleep."),
    "wake": Entry("podium.cli.instances.wake:wake", "Wake an instance."),
}


@click.command(cls=LazyGroup, entries=VERBS, short_help="Create, list, look at, put to sleep, wake and delete instances.")
def instances() -> None:
    """Instances: each is one agent with its own process, state and workspace."""
