"""The page of all settings, made from the table."""

from podium.config.settings import NEEDED_APART, Setting, rows

_HEAD = f"""\
# Settings

This page is made from the table in `podium/config/settings.py`; a test compares them.

Each setting is looked for in this order: a flag, the environment, the TOML file that `--config` or `PODIUM_CONFIG` names, the
default. An empty variable counts as unset. Where a command has a flag for a setting (see its `--help`), that is the key in the
file with dashes: `--gateway-port`, `gateway_port` and `GATEWAY_PORT` are one setting. Whatever cannot be used is told in one
line each, and nothing is started (exit code 2).

`podium gateway` and `podium coordinator` need {", ".join(f"`{name}`" for name in NEEDED_APART)}, the same on all.

| variable | key in the file | value | default | what it is |
| --- | --- | --- | --- | --- |"""


def settings_reference() -> str:
    """The text of `docs/reference/settings.md`."""
    return "\n".join([_HEAD, *(_line(row) for _, row in rows()), ""])


def _line(row: Setting) -> str:
    default = row.default_text or f"`{row.default}`"
    return f"| `{row.name}` | `{row.key}` | {row.kind.expected} | {default} | {row.doc} |"
