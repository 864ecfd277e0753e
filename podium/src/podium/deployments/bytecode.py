"""Compiling Python files ahead, so that agents, who cannot write there, start faster. What cannot be compiled stays source."""

from collections.abc import Mapping
from pathlib import Path

from podium.deployments.builder import Builder
from podium.deployments.interpreter import Interpreter

TIMEOUT_S = 240.0


async def compile_tree(
    builder: Builder, work: Path, tree: Path, interpreter: Interpreter, env: Mapping[str, str], *, jobs: int = 1
) -> None:
    """Compile all below `tree`, which the build uid owns; `jobs` 0 uses every core.

    Without `site` no code of the tree runs. The files never change, so their times need not be compared at import. Failures are
    left to the import, which tells them better.
    """
    options = ("-q", "-j", str(jobs), "--invalidation-mode", "unchecked-hash")
    await builder.run(work, (interpreter.path, "-I", "-S", "-m", "compileall", *options, str(tree)), env, TIMEOUT_S)
