"""Imports point one way, and a wrong arrow is noticed: shown by adding one to a copy of the source for each contract."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
LINT_IMPORTS = Path(sys.executable).with_name("lint-imports")
ONE_WAY = "The server flows one way"
ONLY_THE_PROTOCOL = "The SDK and the client know only the protocol"
NO_SDK = "The server never imports the SDK"
ONE_PLACE = "Adapters are chosen in one place"
FOR_TESTS = "What authors test with knows only the SDK"
CONTRACTS = {ONE_WAY, ONLY_THE_PROTOCOL, NO_SDK, ONE_PLACE, FOR_TESTS}


def verdicts(directory: Path) -> dict[str, str]:
    """KEPT or BROKEN by contract, for the source in `directory`/src under the contracts of `directory`/pyproject.toml."""
    done = subprocess.run(
        [LINT_IMPORTS, "--no-cache", "--config", "pyproject.toml"],
        cwd=directory,
        env={"PYTHONPATH": "src", "NO_COLOR": "1", "COLUMNS": "200"},
        capture_output=True,
        text=True,
    )
    found = re.findall(r"^(.+?) (KEPT|BROKEN)$", done.stdout, re.MULTILINE)
    assert found, done.stdout + done.stderr
    assert (done.returncode == 0) == all(verdict == "KEPT" for _, verdict in found)
    return dict(found)


@pytest.fixture(scope="module")
def copy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("copy")
    shutil.copytree(ROOT / "src", directory / "src", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "pyproject.toml", directory)
    return directory


def test_every_contract_is_kept() -> None:
    assert verdicts(ROOT) == dict.fromkeys(CONTRACTS, "KEPT")


def test_a_copy_of_the_source_is_what_is_judged(copy: Path) -> None:
    assert verdicts(copy) == dict.fromkeys(CONTRACTS, "KEPT")


@pytest.mark.parametrize(
    ("importer", "imported", "broken"),
    [
        ("protocol/ids.py", "podium.config.settings", {ONE_WAY, ONLY_THE_PROTOCOL}),
        ("coordinator/backoff.py", "podium.gateway.placement", {ONE_WAY}),
        ("gateway/placement.py", "podium.coordinator.backoff", {ONE_WAY}),
        ("records/record.py", "podium.deployments.limits", {ONE_WAY}),
        ("state/values.py", "podium.workspace.port", {ONE_WAY}),
        ("agent/outbox.py", "podium.config.settings", {ONLY_THE_PROTOCOL}),
        ("client/retry.py", "podium.log", {ONLY_THE_PROTOCOL}),
        ("coordinator/backoff.py", "podium.agent.outbox", {NO_SDK}),
        ("testing/__init__.py", "podium.log", {FOR_TESTS}),
        ("gateway/placement.py", "podium.objectstore.directory", {ONE_PLACE}),
        ("coordinator/backoff.py", "podium.state.sqlite", {ONE_PLACE}),
    ],
)
def test_a_wrong_arrow_breaks_its_contract(copy: Path, importer: str, imported: str, broken: set[str]) -> None:
    file = copy / "src" / "podium" / importer
    before = file.read_text()
    file.write_text(f"{before}\nimport {imported}\n")
    try:
        assert {contract for contract, verdict in verdicts(copy).items() if verdict == "BROKEN"} == broken
    finally:
        file.write_text(before)


def test_a_new_package_has_to_choose_its_layer() -> None:
    """Every package and module at the top is named by the layers, so that nothing can be put beside them."""
    layers = re.search(r'type = "layers"\nlayers = \[(.*?)\n\]', (ROOT / "pyproject.toml").read_text(), re.DOTALL)
    assert layers
    named = set(re.findall(r"podium\.(\w+)", layers[1]))
    there = {path.stem for path in (ROOT / "src" / "podium").iterdir() if path.suffix == ".py" or (path / "__init__.py").exists()}
    assert there - {"__init__"} == named
