import os
from pathlib import Path

import pytest

from podium.config import ConfigError, Settings, load_settings

ADMIN_KEY = "pod_admin_0123456789abcdef"
SECRETS_KEY = "a very secret sentence"


def problems(environ: dict[str, str], flags: dict[str, object] | None = None, file: Path | None = None) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        load_settings(environ, flags, file)
    assert str(caught.value) == "\n".join(caught.value.problems)
    assert all("\n" not in problem for problem in caught.value.problems)
    return caught.value.problems


def settings_file(tmp_path: Path, text: str) -> Path:
    file = tmp_path / "podium.toml"
    file.touch(mode=0o600)
    file.write_text(text)
    return file


def test_everything_has_a_default() -> None:
    settings = load_settings({})
    assert (settings.gateway_host, settings.gateway_port, settings.coordinator_port) == ("127.0.0.1", 8090, 9090)
    assert settings.coordinator_url == "http://127.0.0.1:9090"
    assert (settings.valkey_url, settings.admin_api_key, settings.secrets_key, settings.agent_python) == (None,) * 4
    assert (settings.environment, settings.log_level) == ("dev", "info")
    assert (settings.max_bundle_size_bytes, settings.max_message_size_bytes) == (64 << 20, 1 << 20)
    assert (settings.max_inbox, settings.max_agents, settings.max_readers) == (1000, 1000, 1000)
    assert (settings.start_timeout_s, settings.shutdown_grace_s) == (30, 10)


def test_a_flag_beats_the_environment_beats_the_file_beats_the_default(tmp_path: Path) -> None:
    file = settings_file(tmp_path, "gateway_port = 1\ncoordinator_port = 1\nmax_inbox = 1\n")
    environ = {"GATEWAY_PORT": "2", "COORDINATOR_PORT": "2", "PODIUM_DATA": "/env"}
    settings = load_settings(environ, {"gateway_port": 3, "coordinator_port": None, "data": Path("/flag")}, file)
    assert (settings.gateway_port, settings.coordinator_port, settings.max_inbox, settings.max_agents) == (3, 2, 1, 1000)
    assert settings.data == Path("/flag")


def test_the_file_can_be_named_by_the_environment(tmp_path: Path) -> None:
    named, given = settings_file(tmp_path, "max_inbox = 5"), tmp_path / "given.toml"
    given.write_text("max_inbox = 6")
    assert load_settings({"PODIUM_CONFIG": str(named)}).max_inbox == 5
    assert load_settings({"PODIUM_CONFIG": str(named)}, file=given).max_inbox == 6


def test_an_empty_variable_is_unset() -> None:
    assert load_settings({"GATEWAY_PORT": "", "SECRETS_KEY": "", "PODIUM_CONFIG": ""}) == load_settings({})


@pytest.mark.parametrize(
    ("host", "url"),
    [
        ("0.0.0.0", "http://127.0.0.1:7"),
        ("::", "http://[::1]:7"),
        ("fd00::5", "http://[fd00::5]:7"),
        ("h.example", "http://h.example:7"),
    ],
)
def test_the_coordinators_url_follows_host_and_port(host: str, url: str) -> None:
    environ = {"COORDINATOR_HOST": host, "COORDINATOR_PORT": "7"}
    assert load_settings(environ).coordinator_url == url
    assert load_settings({**environ, "COORDINATOR_URL": "https://c.example/"}).coordinator_url == "https://c.example"


@pytest.mark.parametrize(
    ("hostname", "name"), [("vm", "vm"), ("ip-10-0-0-1.internal", "ip-10-0-0-1.internal"), ("_ü b", "b"), ("", "coordinator")]
)
def test_the_coordinators_id_follows_the_host_name(monkeypatch: pytest.MonkeyPatch, hostname: str, name: str) -> None:
    monkeypatch.setattr("socket.gethostname", lambda: hostname)
    assert load_settings({}).coordinator_id == name
    assert load_settings({"COORDINATOR_ID": name}).coordinator_id == name


def test_the_data_directory_depends_on_who_runs_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    assert load_settings({"HOME": "/root"}).data == Path("/var/lib/podium")
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    assert load_settings({"HOME": "/home/u"}).data == Path("/home/u/.local/share/podium")
    assert load_settings({"HOME": "/home/u", "XDG_DATA_HOME": "/x"}).data == Path("/x/podium")
    assert load_settings({"HOME": "/home/u", "XDG_DATA_HOME": "relative"}).data == Path("/home/u/.local/share/podium")


def test_all_problems_are_told_at_once_saying_what_to_set(tmp_path: Path) -> None:
    file = settings_file(tmp_path, 'max_inbx = 5\nmax_agents = 0\nlog_level = ["info"]\n')
    found = problems({"COORDINATOR_HOST": "a b", "START_TIMEOUT": "5"}, {"gateway_port": 70000}, file)
    assert found == [
        f"{file}: max_inbx is not a setting; did you mean max_inbox?",
        f"{file}: log_level has to be a plain value",
        "GATEWAY_PORT: has to be a port from 1 to 65535, not '70000' (set by --gateway-port)",
        "COORDINATOR_HOST: has to be a host name or address, not 'a b' (set by the environment)",
        f"LOG_LEVEL: has to be debug, info, warning or error, not \"['info']\" (set by {file})",
        f"MAX_AGENTS: has to be a whole number from 1 to 10000000, not '0' (set by {file})",
        "START_TIMEOUT: has to be a duration such as 30s, 5m or 1h30m, not '5' (set by the environment)",
    ]


def test_a_file_that_cannot_be_used_is_a_problem(tmp_path: Path) -> None:
    assert "cannot be read: No such file" in problems({}, file=tmp_path / "nope")[0]
    assert "cannot be read: Is a directory" in problems({}, file=tmp_path)[0]
    assert "not valid TOML" in problems({}, file=settings_file(tmp_path, "x ="))[0]
    (tmp_path / "latin").write_bytes(b'log_level = "\xe9"')
    assert "not valid TOML" in problems({}, file=tmp_path / "latin")[0]


def test_secrets_are_in_no_text(tmp_path: Path) -> None:
    environ = {"ADMIN_API_KEY": ADMIN_KEY, "SECRETS_KEY": SECRETS_KEY, "VALKEY_URL": "redis://u:pass@h"}
    settings = load_settings(environ)
    assert (settings.admin_api_key, settings.secrets_key, settings.valkey_url) == tuple(environ.values())
    shown = f"{settings!r} {settings}"
    assert "gateway_port=8090" in shown
    assert not [value for value in environ.values() if value in shown]


def test_wrong_secrets_are_in_no_text() -> None:
    environ = {
        "ADMIN_API_KEY": "pod_admin_short",
        "SECRETS_KEY": "short",
        "VALKEY_URL": "http://u:pass@h",
        "COORDINATOR_URL": "http://u:pass@h",
    }
    found = problems(environ)
    assert len(found) == 4
    assert not [problem for problem in found if "short" in problem or "pass" in problem]


def test_secrets_in_a_file_everybody_reads_are_refused(tmp_path: Path) -> None:
    file = settings_file(tmp_path, f'secrets_key = "{SECRETS_KEY}"')
    assert load_settings({}, file=file).secrets_key == SECRETS_KEY
    file.chmod(0o644)
    [problem] = problems({}, file=file)
    assert "chmod 600" in problem
    assert SECRETS_KEY not in problem


def test_settings_do_not_change() -> None:
    settings: Settings = load_settings({})
    with pytest.raises(AttributeError):
        settings.gateway_port = 1  # type: ignore[misc]
