"""How the source is cut: small files that say what they are, under names that mean something."""

import ast
import re
from pathlib import Path
from typing import TypeGuard

import pytest

ROOT = Path(__file__).parents[2]
SOURCE = ROOT / "src" / "podium"
TESTS = ROOT / "tests"
MAX_FILE_BYTES = 24 * 1024
NO_NAMES = {"util", "utils", "helper", "helpers", "common", "manager", "service", "services", "misc"}
KINDS = {"unit", "contract", "integration", "e2e", "crash", "architecture"}
UNFINISHED = re.compile(r"\b(TODO|FIXME|XXX|NotImplementedError)\b")
Definition = ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef
MODULES = sorted(SOURCE.rglob("*.py"))


def name(path: Path) -> str:
    return str(path.relative_to(ROOT))


@pytest.mark.parametrize("module", MODULES, ids=name)
def test_a_module_is_small_and_says_what_it_is_for(module: Path) -> None:
    text = module.read_text()
    docstring = ast.get_docstring(ast.parse(text))
    assert docstring, "no docstring"
    assert docstring[0].isupper() or docstring[0] in "`/", docstring
    assert len(text.encode()) <= MAX_FILE_BYTES
    assert not UNFINISHED.search(text)
    assert NO_NAMES.isdisjoint(module.stem.split("_"))


def test_no_package_is_a_drawer_for_everything() -> None:
    assert {path.name for path in SOURCE.rglob("*") if path.is_dir()} & NO_NAMES == set()


def test_everything_public_at_the_top_of_a_module_is_documented() -> None:
    bare = []
    for module in MODULES:
        for node in ast.parse(module.read_text()).body:
            if _is_public(node) and not ast.get_docstring(node) and not _is_an_error(node):
                bare.append(f"{name(module)}: {node.name}")
    assert bare == []


def _is_public(node: ast.stmt) -> TypeGuard[Definition]:
    return isinstance(node, Definition) and not node.name.startswith("_")


def _is_an_error(node: Definition) -> bool:
    """Errors of the one tree: their title says it."""
    bases = node.bases if isinstance(node, ast.ClassDef) else []
    return [base.id for base in bases if isinstance(base, ast.Name)] == ["PodiumError"]


def test_every_test_is_of_a_kind() -> None:
    stray = [name(path) for path in TESTS.rglob("test_*.py") if path.relative_to(TESTS).parts[0] not in KINDS]
    assert stray == []


def test_unit_tests_lie_where_their_package_does() -> None:
    packages = {path.name for path in (TESTS / "unit").iterdir() if path.is_dir() and any(path.rglob("test_*.py"))}
    assert packages <= {path.name for path in SOURCE.iterdir() if path.is_dir()}


def test_what_supports_tests_is_no_test() -> None:
    assert list((TESTS / "support").rglob("test_*.py")) == []
