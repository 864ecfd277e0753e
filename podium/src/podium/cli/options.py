"""Options that every command takes, before its name and after it."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

import click

F = TypeVar("F", bound=Callable[..., Any])


@dataclass
class Settings:
    """What the shared options say. `json` prints documents for programs."""

    json: bool = False
    url: str | None = None
    api_key: str | None = None


pass_settings = click.make_pass_decorator(Settings, ensure=True)


def shared_options(command: F) -> F:
    """Add `--json`, `--url` and `--api-key`."""
    options = (
        click.option("--json", is_flag=True, help="Print JSON for programs.", expose_value=False, callback=_remember),
        click.option("--url", metavar="URL", help="The gateway, instead of PODIUM_URL.", expose_value=False, callback=_remember),
        click.option(
            "--api-key", metavar="KEY", help="The key, instead of PODIUM_API_KEY.", expose_value=False, callback=_remember
        ),
    )
    for option in reversed(options):
        command = option(command)
    return command


def _remember(ctx: click.Context, parameter: click.Parameter, value: Any) -> None:
    settings = ctx.ensure_object(Settings)
    if value and parameter.name:
        setattr(settings, parameter.name, value)
