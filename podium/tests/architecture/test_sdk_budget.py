"""What an agent process has loaded before the author's bundle: it is paid by every agent there is."""

import json
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest

import podium

MAX_MODULES = 150
MAX_KIB = 13 * 1024
# Not here, because asyncio itself imports them: logging (futures, log), inspect (coroutines, tasks), traceback, ssl, subprocess
# and concurrent.futures. msgspec imports inspect too, and typing_extensions where that is installed.
DENIED = {
    "concurrent.futures.process", "concurrent.futures.thread", "dataclasses", "email", "http", "importlib.metadata", "json",
    "logging.config", "logging.handlers", "multiprocessing", "pathlib", "random", "shutil", "sqlite3", "tempfile",
    "typing_extensions", "unittest", "urllib", "xml",
    "podium.agent.database", "podium.config", "podium.log", "podium.protocol.api", "podium.protocol.events",
    "podium.protocol.routes",
}  # fmt: skip

PROBE = """
import json, sys
sys.path.insert(0, sys.argv[1])
bare = set(sys.modules)
for name in sys.argv[2:]:
    __import__(name)
with open("/proc/self/status") as status:
    rss_kib = next(int(line.split()[1]) for line in status if line.startswith("VmRSS:"))
print(json.dumps({"modules": sorted(set(sys.modules) - bare), "rss_kib": rss_kib}))
"""


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A place for packages with what the SDK's wheel brings, and nothing else; its byte code is there, as after an install."""
    directory = tmp_path_factory.mktemp("site")
    for package in (podium, msgspec):
        assert package.__file__
        (directory / package.__name__).symlink_to(Path(package.__file__).parent)
    _probe(directory, "podium.agent.runtime")
    return directory


def _probe(site: Path, *names: str) -> tuple[set[str], int]:
    python = "/usr/bin/python3.11" if Path("/usr/bin/python3.11").exists() else sys.executable
    done = subprocess.run([python, "-I", "-c", PROBE, site, *names], capture_output=True, text=True, check=True)
    result = json.loads(done.stdout)
    return set(result["modules"]), result["rss_kib"]


@pytest.mark.parametrize("name", ["podium.agent", "podium.agent.runtime"])
def test_few_modules_are_loaded_and_none_that_is_denied(site: Path, name: str) -> None:
    modules, _ = _probe(site, name, "podium.agent.models.delta_state")
    assert len(modules) <= MAX_MODULES, sorted(modules)
    assert modules & DENIED == set()


def test_memory_beyond_a_bare_interpreter(site: Path) -> None:
    bare = min(_probe(site)[1] for _ in range(3))
    loaded = min(_probe(site, "podium.agent.runtime")[1] for _ in range(3))
    assert loaded - bare <= MAX_KIB, f"{loaded - bare} KiB"


def test_the_sdk_brings_nothing_but_msgspec(site: Path) -> None:
    modules, _ = _probe(site, "podium.agent.runtime")
    outside = {name.partition(".")[0] for name in modules} - sys.stdlib_module_names
    assert outside == {"podium", "msgspec"}
    ours = {".".join(name.split(".")[:2]) for name in modules if name.startswith("podium.")}
    assert ours == {"podium.agent", "podium.protocol"}
