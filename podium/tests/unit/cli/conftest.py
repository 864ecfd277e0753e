"""The command line against a gateway double."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
import pytest

from podium.cli.root import run
from tests.support.gateway_double import KEY, GatewayDouble, running_double


class Ran(NamedTuple):
    """How a command ended and what it printed."""

    code: int
    out: str
    err: str

    def json(self) -> Any:
        """Standard output, which must be one JSON document."""
        return msgspec.json.decode(self.out)

    def lines(self) -> list[Any]:
        """Standard output as JSON lines."""
        return [msgspec.json.decode(line) for line in self.out.splitlines()]


Podium = Callable[..., Ran]


@pytest.fixture
def double() -> Iterator[GatewayDouble]:
    with running_double() as double:
        yield double


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("podium.client.retry.FIRST_S", 0.001)
    monkeypatch.setattr("podium.cli.session.RETRY_FOR_S", 0.05)
    monkeypatch.setenv("PODIUM_CONTEXT", str(tmp_path / "context.json"))
    monkeypatch.delenv("PODIUM_URL", raising=False)
    monkeypatch.delenv("PODIUM_API_KEY", raising=False)


@pytest.fixture
def podium(double: GatewayDouble, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Podium:
    """Runs a command line that talks to the double."""
    monkeypatch.setenv("PODIUM_URL", double.url)
    monkeypatch.setenv("PODIUM_API_KEY", KEY)

    def podium(*args: str) -> Ran:
        code = run(list(args))
        return Ran(code, *capsys.readouterr())

    return podium
