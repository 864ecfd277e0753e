"""What README and tutorial tell people to type works, and prints what they show.

A block ```sh is run by bash in the folder the page begins in; ```text after it is what it prints, `…` for anything. A block with
`file=NAME` is that file: written, or compared where it exists. ```sh other-terminal starts the platform: here a fixture does.
"""

import ast
import asyncio
import os
import re
import sys
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.support.platform import EXAMPLES, Platform

pytestmark = pytest.mark.asyncio(loop_scope="module")
ROOT = EXAMPLES.parent
FENCE = re.compile(r"^```(?P<kind>\w+) ?(?P<rest>[^\n]*)\n(?P<text>.*?)^```$", re.MULTILINE | re.DOTALL)
DEADLINE_S = 60


class Block(NamedTuple):
    kind: str
    rest: str
    text: str


def blocks(page: Path) -> list[Block]:
    return [Block(found["kind"], found["rest"], found["text"]) for found in FENCE.finditer(page.read_text())]


@pytest.mark.parametrize("page", ["README.md", "docs/tutorial/first-agent.md"])
async def test_each_block_works(platform: Platform, tmp_path: Path, page: str) -> None:
    _link(tmp_path)
    printed = ""
    for block in blocks(ROOT / page):
        if block.rest.startswith("file="):
            _put(tmp_path / block.rest.removeprefix("file="), block.text)
        elif (block.kind, block.rest) == ("sh", ""):
            printed = await _bash(platform, tmp_path, block.text)
        elif block.kind == "text":
            wanted = "(?s:.*)".join(re.escape(part) for part in block.text.strip().split("…"))
            assert re.fullmatch(wanted, printed.strip()), f"{page} shows\n{block.text}\nbut this was printed:\n{printed}"


async def test_what_the_demo_names_to_try_next_works(platform: Platform, tmp_path: Path) -> None:
    (found,) = (
        node.value
        for node in ast.parse((EXAMPLES / "demo.py").read_text()).body
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "NEXT_STEPS"
    )
    _link(tmp_path)
    printed = await _bash(platform, tmp_path, "\n".join(ast.literal_eval(found)).replace(" mine", " tried"))
    assert "1. buy oats" in printed


def _link(folder: Path) -> None:
    """Let the folder look like the repository's."""
    for name in ("podium", "examples"):
        (folder / name).symlink_to(ROOT / name)


def _put(path: Path, text: str) -> None:
    if path.exists() and path.resolve().is_relative_to(ROOT):
        assert path.read_text() == text
    else:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


async def _bash(platform: Platform, folder: Path, script: str) -> str:
    """What the script prints; it has to end well."""
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    env = {"PATH": path, "HOME": str(folder), "LANG": "C.UTF-8", "PODIUM_CONTEXT": str(platform.data.parent / "context.json")}
    process = await asyncio.create_subprocess_exec(
        "bash", "-eu", "-c", script, cwd=folder, env=env, stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
    )  # fmt: skip
    async with asyncio.timeout(DEADLINE_S):
        printed = (await process.communicate())[0].decode()
    assert process.returncode == 0, f"{script}\nended with {process.returncode}:\n{printed}"
    return printed
