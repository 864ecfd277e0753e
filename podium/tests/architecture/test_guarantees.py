"""Each row of the page of guarantees names tests that exist."""

import ast
import re
from pathlib import Path

PODIUM = Path(__file__).parents[2]
PAGE = PODIUM.parent / "docs/explanation/guarantees.md"
_TEST = re.compile(r"`(tests/[\w/]+\.py)::(test_\w+)`")


def rows() -> list[str]:
    lines = [line for line in PAGE.read_text().splitlines() if line.startswith("| ")]
    return [line for line in lines if not line.startswith(("| fault |", "| --- |"))]


def test_every_guarantee_is_shown() -> None:
    assert len(rows()) > 15
    for row in rows():
        assert _TEST.search(row.rsplit("|", 2)[1]), f"no test shows: {row}"


def test_the_tests_are_there() -> None:
    missing = [f"{file}::{test}" for file, test in _TEST.findall(PAGE.read_text()) if test not in functions_of(PODIUM / file)]
    assert missing == []


def functions_of(path: Path) -> set[str]:
    kinds = (ast.FunctionDef, ast.AsyncFunctionDef)
    return {node.name for node in ast.parse(path.read_text()).body if isinstance(node, kinds)} if path.exists() else set()
