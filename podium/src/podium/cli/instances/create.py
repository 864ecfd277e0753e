"""`podium instances create`."""

import json
from typing import Any

import click

from podium.cli.instances.show import show
from podium.cli.options import Settings, pass_settings, shared_options
from podium.cli.session import converse


def _named_values(ctx: click.Context, parameter: click.Parameter, values: tuple[str, ...]) -> dict[str, str]:
    named = {}
    for value in values:
        name, equals, text = value.partition("=")
        if not name or not equals:
            raise click.BadParameter(f"{value!r} is not of the form NAME=VALUE", ctx, parameter)
        named[name] = text
    return named


def _configuration(ctx: click.Context, parameter: click.Parameter, values: tuple[str, ...]) -> dict[str, Any]:
    return {name: _json_or_text(text) for name, text in _named_values(ctx, parameter, values).items()}


def _json_or_text(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return text


@click.command(short_help="Create an instance of a deployment.")
@click.argument("deployment")
@click.option("--id", "agent_id", metavar="ID", help="A name of your own; one is made up otherwise.")
@click.option(
    "--config", multiple=True, metavar="NAME=VALUE", callback=_configuration, help="Configuration; JSON where it is, else text."
)
@click.option("--label", "labels", multiple=True, metavar="NAME=VALUE", callback=_named_values, help="A label to find it by.")
@click.option("--env", "environment", multiple=True, metavar="NAME=VALUE", callback=_named_values, help="Environment variable.")
@shared_options
@pass_settings
def create(
    settings: Settings, deployment: str, agent_id: str | None, config: dict[str, Any], labels: dict[str, str],
    environment: dict[str, str],
) -> None:  # fmt: skip
    """Create an instance of DEPLOYMENT: `type` (its highest version), `type:version` or the full id."""
    instance = converse(
        settings,
        lambda podium: podium.create(
            deployment, agent_id=agent_id, config=config, labels=labels, environment=environment or None
        ),
    )
    show(settings, instance)
