"""docs/reference/cli.md says what each command and option does."""

import importlib
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from podium.cli.failures import EXIT_CODES
from podium.cli.instances.group import VERBS
from podium.cli.root import COMMANDS

PAGE = (Path(__file__).parents[4] / "docs/reference/cli.md").read_text()
ENTRIES = COMMANDS | {f"instances {name}": entry for name, entry in VERBS.items()}


def section(name: str) -> str:
    _, found, rest = PAGE.partition(f"\n### `podium {name}")
    assert found, f"docs/reference/cli.md has no heading for podium {name}"
    return rest.partition("\n### ")[0].partition("\n## ")[0]


def own_options(command: click.Command) -> Iterator[str]:
    for parameter in command.params:
        if isinstance(parameter, click.Option) and parameter.name not in ("json", "as_json", "url", "api_key"):
            yield from parameter.opts


@pytest.mark.parametrize("name", ENTRIES)
def test_every_command_and_option_is_described(name: str) -> None:
    module, _, attribute = ENTRIES[name].target.partition(":")
    text = section(name)
    for option in own_options(getattr(importlib.import_module(module), attribute)):
        assert f"`{option}" in text, f"the section of podium {name} does not name {option}"


def test_every_exit_code_is_described() -> None:
    for code in EXIT_CODES:
        assert f"| {code} |" in PAGE
