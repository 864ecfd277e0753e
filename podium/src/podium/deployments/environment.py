"""Python environments for bundles: our SDK and the bundle's dependencies, wheels only, installed once and shared by equal ones.

    environments/{key}/bin/python      the platform's, read-only for everybody else; complete, because it was renamed here

The key covers all that goes in: interpreter, SDK, requirements. No code of a wheel runs while it is installed.
"""

import asyncio
import hashlib
from collections.abc import Mapping
from pathlib import Path

import msgspec

from podium.deployments.builder import Builder
from podium.deployments.bytecode import compile_tree
from podium.deployments.durable import publish_tree
from podium.deployments.interpreter import Interpreter
from podium.deployments.requirements import Dependencies, fits
from podium.deployments.sdk_wheel import SdkWheel

FORMAT = 1
PASSED = (
    "SSL_CERT_FILE",
    "SSL_CERT_DIR",
    "HTTP_PROXY",
    "HTTPS_PROXY",
    "ALL_PROXY",
    "NO_PROXY",
    "UV_INDEX_URL",
    "UV_DEFAULT_INDEX",
)
"""What an installer gets of the platform's environment: how to reach the index, nothing else. Proxies in small letters too."""


class EnvironmentFailed(Exception):
    """The environment of a deployment cannot be made; the text has the installer's last lines."""


class Environments:
    """Makes environments below `root`. `variables` is the platform's own environment."""

    def __init__(
        self, root: Path, builder: Builder, interpreter: Interpreter, sdk: SdkWheel, uv: Path, variables: Mapping[str, str]
    ) -> None:
        self._root = root / "environments"
        self._builder = builder
        self._interpreter = interpreter
        self._sdk = sdk
        self._uv = uv
        self._passed = passed_variables(variables)

    async def prepare(self, dependencies: Dependencies) -> Path:
        """The Python of an environment with these, made where it is missing. EnvironmentFailed, BuildFailed, OSError."""
        self._check_python(dependencies)
        environment = self._root / self._key(dependencies)
        if not environment.exists():
            async with self._builder.place() as work:
                if not environment.exists():
                    await self._make(work, environment, dependencies)
        return environment / "bin" / "python"

    async def _make(self, work: Path, target: Path, dependencies: Dependencies) -> None:
        tree = await self._builder.make_folder(work, "environment")
        await self._builder.make_folder(work, "cache")
        requirements = work / "requirements.txt"
        await asyncio.to_thread(_write_readable, requirements, self._requirements(dependencies))
        await self._install(work, "venv", "--no-project", "--relocatable", "--python", self._interpreter.path, str(tree))
        await self._install(
            work, "pip", "install", "--python", str(tree / "bin" / "python"), "--only-binary", ":all:", "--no-sources",
            "--requirements", str(requirements),
        )  # fmt: skip
        await compile_tree(self._builder, work, tree / "lib", self._interpreter, clean_variables(work), jobs=0)
        await self._builder.take_back(tree)
        await asyncio.to_thread(self._publish, tree, target)

    async def _install(self, work: Path, *command: str) -> None:
        env = clean_variables(work) | self._passed | {
            "UV_CACHE_DIR": str(work / "cache"), "UV_NO_CONFIG": "1", "UV_PYTHON_DOWNLOADS": "never",
        }  # fmt: skip
        outcome = await self._builder.run(work, (str(self._uv), "--color", "never", "--no-progress", *command), env)
        if outcome.code != 0:
            lines = "\n".join(outcome.lines) or f"the installer ended with status {outcome.code}"
            raise EnvironmentFailed(f"the dependencies cannot be installed (wheels only):\n{lines}")

    def _publish(self, tree: Path, target: Path) -> None:
        self._root.mkdir(exist_ok=True)
        self._root.chmod(0o711)
        publish_tree(tree, target)

    def _requirements(self, dependencies: Dependencies) -> str:
        extras = f"[{','.join(dependencies.sdk_extras)}]" if dependencies.sdk_extras else ""
        own = f"podium{extras} @ {self._sdk.path.resolve().as_uri()}"
        return "\n".join([own, *dependencies.requirements, ""])

    def _key(self, dependencies: Dependencies) -> str:
        parts = (FORMAT, self._interpreter, self._sdk.sha256, dependencies.sdk_extras, dependencies.requirements)
        return hashlib.sha256(msgspec.json.encode(parts)).hexdigest()

    def _check_python(self, dependencies: Dependencies) -> None:
        wanted = dependencies.requires_python
        if wanted and not fits(wanted, self._interpreter.version):
            raise EnvironmentFailed(
                f"pyproject.toml has requires-python = {wanted!r}, but this host runs agents with Python "
                f"{self._interpreter.version_text}: relax it, or set AGENT_PYTHON on the host to one that fits"
            )


def clean_variables(work: Path) -> dict[str, str]:
    """The environment of a command that builds in `work`."""
    return {"PATH": "/usr/bin:/bin", "LANG": "C.UTF-8", "HOME": str(work / "home"), "TMPDIR": str(work / "tmp")}


def passed_variables(variables: Mapping[str, str]) -> dict[str, str]:
    """Those variables that tell an installer how to reach the index."""
    names = (*PASSED, *(name.lower() for name in PASSED if name.endswith("_PROXY")))
    return {name: variables[name] for name in names if name in variables}


def _write_readable(path: Path, text: str) -> None:
    path.write_text(text)
    path.chmod(0o644)
