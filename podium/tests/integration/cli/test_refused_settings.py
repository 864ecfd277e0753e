"""Each setting that is wrong or missing is one line that says what to set, before anything is opened, made or started."""

import os
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import click
import pytest
from click.testing import CliRunner

from podium.cli.processes import coordinator, gateway
from podium.cli.up import up
from podium.config import NEEDED_APART, Setting, kinds, rows

PODIUM = str(Path(sys.executable).with_name("podium"))
HIDDEN = "hunter2"
WRONG = {
    kinds.HOST: "a b", kinds.PORT: "70000", kinds.COUNT: "0", kinds.NAME: "-x", kinds.DURATION: "5", kinds.SIZE: "0",
    kinds.PATH: "~nobody-of-this-name/x", kinds.HTTP_URL: f"ftp://u:{HIDDEN}@h", kinds.BASE_URL: f"http://u:{HIDDEN}@h",
    kinds.VALKEY_URL: f"http://u:{HIDDEN}@h", kinds.ADMIN_KEY: HIDDEN, kinds.SECRET: HIDDEN, kinds.TOKEN: f"{HIDDEN} {HIDDEN}",
}  # fmt: skip
"""A value that no setting of the kind may have; for the others, which are one of some words, HIDDEN."""
COMMANDS = {"up": up, "gateway": gateway, "coordinator": coordinator}
TABLE = [row for _, row in rows()]


class Refused(NamedTuple):
    """How a command ended, and the lines it said."""

    code: int
    out: str
    lines: list[str]


@pytest.fixture
def folder() -> Iterator[Path]:
    """A directory that agents can reach, unlike pytest's own."""
    with tempfile.TemporaryDirectory(prefix="podium-settings-") as name:
        Path(name).chmod(0o711)
        yield Path(name)


@pytest.fixture
def environ(folder: Path) -> Iterator[dict[str, str | None]]:
    """Settings that are right, but for the ports: whoever opens one of them says that it is taken."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        yield {row.name: None for row in TABLE} | {
            "PODIUM_CONFIG": None, "PODIUM_DATA": str(folder / "data"), "VALKEY_URL": f"unix://{folder}/valkey.sock",
            "ADMIN_API_KEY": "pod_admin_0123456789abcdef", "SECRETS_KEY": "a very secret sentence",
            "GATEWAY_PORT": port, "COORDINATOR_PORT": port,
        }  # fmt: skip


def run(command: click.Command, environ: dict[str, str | None]) -> Refused:
    ended = CliRunner().invoke(command, [], env=environ)
    return Refused(ended.exit_code, ended.stdout, ended.stderr.splitlines())


def wrong(row: Setting) -> str:
    return WRONG.get(row.kind, HIDDEN)


@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.parametrize("row", TABLE, ids=lambda row: row.name)
def test_a_wrong_value_is_one_line_that_says_what_to_set(
    command: str, row: Setting, environ: dict[str, str | None], folder: Path
) -> None:
    refused = run(COMMANDS[command], environ | {row.name: wrong(row)})
    assert (refused.code, refused.out) == (2, "")
    [line] = refused.lines
    assert line.startswith(f"error: {row.name}: has to be {row.kind.expected}, not ")
    assert row.secret or "@" in wrong(row) or repr(wrong(row)) in line
    if row.secret or "@" in wrong(row):
        assert HIDDEN not in line
    assert not list(folder.iterdir())


@pytest.mark.parametrize("command", ["gateway", "coordinator"])
@pytest.mark.parametrize("name", NEEDED_APART)
def test_a_missing_value_is_one_line_that_says_what_to_set(
    command: str, name: str, environ: dict[str, str | None], folder: Path
) -> None:
    for missing in (None, ""):
        [row] = [row for row in TABLE if row.name == name]
        refused = run(COMMANDS[command], environ | {name: missing})
        assert refused == Refused(2, "", [f"error: {name}: is not set; has to be {row.kind.expected}"])
    assert not list(folder.iterdir())


@pytest.mark.parametrize("command", COMMANDS)
def test_everything_wrong_at_once_is_a_line_each(command: str, environ: dict[str, str | None], folder: Path) -> None:
    refused = run(COMMANDS[command], environ | {row.name: wrong(row) for row in TABLE})
    assert [line.split(": ")[1] for line in refused.lines] == [row.name for row in TABLE]
    assert (refused.code, refused.out) == (2, "")
    assert not list(folder.iterdir())


@pytest.mark.parametrize("command", COMMANDS)
def test_right_settings_get_as_far_as_the_ports(command: str, environ: dict[str, str | None]) -> None:
    refused = run(COMMANDS[command], environ)
    assert refused.code == 2
    assert "in use" in refused.lines[0]


@pytest.mark.parametrize(
    "argv", [[PODIUM, "gateway"], [PODIUM, "coordinator"], [sys.executable, "-m", "podium.cli.serve", "gateway"]]
)
def test_a_process_names_what_is_missing_and_what_is_wrong_together(
    argv: list[str], environ: dict[str, str | None], folder: Path
) -> None:
    changed = environ | {"VALKEY_URL": None, "SECRETS_KEY": HIDDEN, "ADMIN_API_KEY": None, "MAX_INBOX": "0"}
    env = {"PATH": os.environ["PATH"]} | {name: value for name, value in changed.items() if value is not None}
    done = subprocess.run(argv, env=env, capture_output=True, text=True, timeout=60)
    lines = done.stderr.splitlines()
    assert (done.returncode, done.stdout) == (2, "")
    assert [line.split(": ")[1] for line in lines] == ["VALKEY_URL", "ADMIN_API_KEY", "SECRETS_KEY", "MAX_INBOX"]
    assert HIDDEN not in done.stderr
    assert not list(folder.iterdir())
