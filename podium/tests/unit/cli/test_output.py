"""What agents write steers no terminal; files and pipes get it as it is."""

import sys

import pytest

from podium.cli.output import print_table, printable, size


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)


def test_escape_sequences_do_not_reach_a_terminal(terminal: None) -> None:
    assert printable("a\x1b]0;title\x07b\tc\n\x9b2Jd\x7fü") == "a]0;titleb\tc\n2Jdü"


def test_pipes_get_every_byte() -> None:
    assert printable("a\x1b[2Jb") == "a\x1b[2Jb"


def test_a_table_on_a_terminal_takes_no_markup(
    terminal: None, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("NO_COLOR", "1")
    monkeypatch.setenv("TERM", "dumb")
    print_table(("NAME", "VALUE"), [("[red]x[/red]", 1)])
    assert "[red]x[/red]" in capsys.readouterr().out


@pytest.mark.parametrize(("size_bytes", "text"), [(0, "0 B"), (1023, "1023 B"), (1536, "1.5 KiB"), (3 << 30, "3.0 GiB")])
def test_sizes(size_bytes: int, text: str) -> None:
    assert size(size_bytes) == text
