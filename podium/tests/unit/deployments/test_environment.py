from pathlib import Path

from podium.deployments.builder import last_lines
from podium.deployments.environment import clean_variables, passed_variables


def test_an_installer_gets_nothing_of_the_platform() -> None:
    variables = {
        "SECRETS_KEY": "s",
        "PATH": "/private",
        "HOME": "/root",
        "HTTPS_PROXY": "p",
        "no_proxy": "n",
        "UV_DEFAULT_INDEX": "i",
    }
    assert passed_variables(variables) == {"HTTPS_PROXY": "p", "no_proxy": "n", "UV_DEFAULT_INDEX": "i"}
    assert clean_variables(Path("/w")) == {"PATH": "/usr/bin:/bin", "LANG": "C.UTF-8", "HOME": "/w/home", "TMPDIR": "/w/tmp"}


def test_last_lines_are_few_short_and_clean() -> None:
    output = b"".join(b"\x1b[31mline %d\x1b[0m\r\n\n" % n for n in range(100)) + b"\x00" + b"x" * 1000 + b"\xff"
    lines = last_lines(output)
    assert len(lines) == 20
    assert lines[-2] == "line 99"
    assert lines[-1] == "x" * 500
