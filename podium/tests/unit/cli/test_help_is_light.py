"""`podium --help` answers at once: it imports no command, no client and nothing of the server."""

import subprocess
import sys

import pytest

HEAVY = {"httpx", "rich", "starlette", "aiohttp", "uvicorn", "apsw", "msgspec", "asyncio", "readline"}
PROGRAM = """
import sys
from podium.cli.root import run
code = run(sys.argv[1:])
names = {name for name in sys.modules if name.startswith("podium.")} | {name.split(".")[0] for name in sys.modules}
print(" ".join(sorted(names)), file=sys.stderr)
sys.exit(code)
"""


@pytest.mark.parametrize("args", [["--help"], ["instances", "--help"], ["--version"]])
def test_help_imports_nothing_heavy(args: list[str]) -> None:
    ran = subprocess.run([sys.executable, "-I", "-c", PROGRAM, *args], capture_output=True, text=True, check=True)
    modules = set(ran.stderr.split())
    assert not modules & HEAVY
    packages = {".".join(name.split(".")[:2]) for name in modules if name.startswith("podium.")}
    assert packages <= {"podium.cli", "podium.protocol"}
