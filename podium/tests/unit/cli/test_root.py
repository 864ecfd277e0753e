"""The table of commands and how they end."""

import importlib
import json
from pathlib import Path

import click
import pytest

from podium.cli import root
from podium.cli.failures import EXIT_CODES
from podium.cli.instances.group import VERBS
from podium.cli.lazy import Entry
from podium.protocol import errors
from tests.support.gateway_double import GatewayDouble, problem
from tests.unit.cli.conftest import Podium

INSTANCE = "/api/v1/instances/a1"


def test_every_exit_code_is_in_the_help(podium: Podium) -> None:
    shown = podium("--help").out
    for code, meaning in EXIT_CODES.items():
        assert f"{code:<4} {meaning}" in shown


@pytest.mark.parametrize("name", root.COMMANDS)
def test_every_command_is_where_the_table_says(name: str) -> None:
    assert isinstance(loaded(root.COMMANDS[name]), click.Command)


@pytest.mark.parametrize("name", VERBS)
def test_every_verb_says_what_the_table_says(name: str) -> None:
    command = loaded(VERBS[name])
    assert command.short_help == VERBS[name].help
    assert {"json", "url", "api_key"} <= {option.name for option in command.params}


def loaded(entry: Entry) -> click.Command:
    module, _, attribute = entry.target.partition(":")
    command = getattr(importlib.import_module(module), attribute)
    assert isinstance(command, click.Command)
    return command


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (errors.InternalError("x"), 1),
        (errors.VersionExists("x"), 1),
        (errors.InvalidRequest("x"), 2),
        (errors.Unauthorized("x"), 2),
        (errors.Unavailable("x"), 3),
        (errors.NotFound("x"), 4),
        (errors.InstanceReplaced("x"), 4),
    ],
)
def test_errors_end_with_their_code(podium: Podium, double: GatewayDouble, error: errors.PodiumError, code: int) -> None:
    double.on("GET", INSTANCE, problem(error))
    ran = podium("instances", "get", "a1")
    request = " (request req_1)" if error.code == "internal" else ""
    assert (ran.code, ran.out, ran.err) == (code, "", f"error: x{request} ({error.code})\n")


def test_with_json_an_error_is_the_problem_document(podium: Podium, double: GatewayDouble) -> None:
    error = errors.NotFound("no such instance", instance_id="a1")
    double.on("GET", INSTANCE, problem(error))
    ran = podium("--json", "instances", "get", "a1")
    assert (ran.code, ran.out, json.loads(ran.err)) == (4, "", error.problem("req_1"))


def test_an_error_is_one_line_and_steers_no_terminal(podium: Podium, double: GatewayDouble) -> None:
    double.on("GET", INSTANCE, problem(errors.Conflict("first\nsecond\x1b[2J")))
    assert podium("instances", "get", "a1").err == "error: first second[2J (conflict)\n"


@pytest.mark.parametrize("args", [["nonsense"], ["send", "a1"], ["--nonsense"], ["send", "a1", "hi", "--wait", "-1"]])
def test_a_wrong_command_line(podium: Podium, args: list[str]) -> None:
    ran = podium(*args)
    assert (ran.code, ran.out) == (2, "")
    assert ran.err.startswith("error: ")
    assert ran.err.endswith("--help` (usage)\n")
    assert json.loads(podium("--json", *args).err)["code"] == "usage"


def test_no_command_at_all_shows_the_help(podium: Podium) -> None:
    ran = podium()
    assert ran.code == 2
    assert "Commands:" in ran.err


def test_a_platform_that_is_not_there(podium: Podium) -> None:
    ran = podium("--url", "http://127.0.0.1:9", "status")
    assert (ran.code, ran.out) == (3, "")
    assert "http://127.0.0.1:9 cannot be reached" in ran.err
    assert ran.err.endswith("(unreachable)\n")


def test_nothing_configured(podium: Podium, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PODIUM_URL")
    ran = podium("status")
    assert ran.code == 2
    assert "podium up" in ran.err
    assert ran.err.endswith("(not_configured)\n")


def test_a_name_that_is_none_asks_nobody(podium: Podium, double: GatewayDouble) -> None:
    assert podium("instances", "get", "../deployments").code == 2
    assert double.requests == []


def test_a_missing_part_is_named(monkeypatch: pytest.MonkeyPatch, podium: Podium, tmp_path: Path) -> None:
    (tmp_path / "needs_more.py").write_text("import something_that_is_not_installed\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setitem(root.COMMANDS, "more", Entry("needs_more:more", "More."))
    ran = podium("more")
    assert ran.code == 2
    assert "install podium[server,cli]" in ran.err


def test_an_interrupted_command(podium: Podium, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("podium.cli.deployments.converse", interrupted)
    assert podium("deployments").code == 130


def test_a_failing_disk(podium: Podium, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("podium.cli.deployments.converse", full)
    ran = podium("deployments")
    assert (ran.code, ran.err) == (1, "error: [Errno 28] No space left on device (system)\n")
