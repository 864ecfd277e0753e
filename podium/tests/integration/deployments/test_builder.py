import asyncio
import os
import stat
import sys
import time
from pathlib import Path

import pytest

from podium.deployments.builder import Builder, BuildFailed, Outcome
from podium.deployments.interpreter import Interpreter

needs_root = pytest.mark.skipif(os.getuid() != 0, reason="only root can run as another uid")
ENV = {"PATH": "/usr/bin:/bin", "LANG": "C.UTF-8"}
DEADLINE_S = 30.0


@pytest.fixture
async def builder(data: Path, build_uid: int | None) -> Builder:
    builder = Builder(data, build_uid)
    await builder.remove_leftovers()
    return builder


async def run(builder: Builder, work: Path, interpreter: Interpreter, code: str, timeout_s: float | None = None) -> Outcome:
    return await builder.run(work, (interpreter.path, "-I", "-c", code), ENV, timeout_s)


def alive(uid_or_mark: int | str) -> list[int]:
    """Processes of a uid, or with a text in their command line."""
    found = []
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit() or entry.name == str(os.getpid()):
            continue
        try:
            command = (entry / "cmdline").read_bytes()
            matches = entry.stat().st_uid == uid_or_mark if isinstance(uid_or_mark, int) else uid_or_mark.encode() in command
        except OSError:
            continue
        if matches and command:
            found.append(int(entry.name))
    return found


async def until(condition: object) -> None:
    assert callable(condition)
    deadline = time.monotonic() + DEADLINE_S
    while not condition():
        assert time.monotonic() < deadline
        await asyncio.sleep(0.02)


async def test_output_and_status(builder: Builder, interpreter: Interpreter, data: Path) -> None:
    async with builder.place() as work:
        outcome = await run(builder, work, interpreter, "import sys; print('out'); print('err', file=sys.stderr); sys.exit(3)")
        assert outcome.code == 3
        assert sorted(outcome.lines) == ["err", "out"]
        assert (await run(builder, work, interpreter, "print('x' * 10_000_000)")).lines == ["x" * 500]
        assert (await run(builder, work, interpreter, "import os; os.kill(os.getpid(), 9)")).code == 128 + 9
        outcome = await builder.run(work, ("/nowhere",), ENV)
        assert outcome.code == 127
        assert "cannot run /nowhere" in outcome.lines[0]
    assert list((data / "building").iterdir()) == []


@needs_root
async def test_it_runs_as_the_build_uid_and_reaches_nothing(
    builder: Builder, interpreter: Interpreter, data: Path, build_uid: int
) -> None:
    (data / "secret").write_text("s")
    (data / "secret").chmod(0o600)
    code = f"""
import os, pathlib
print(os.getresuid(), os.getresgid(), os.getgroups(), sorted(os.environ))
for path, act in (("{data}/secret", "read_text"), ("{data}", "iterdir")):
    try:
        list(getattr(pathlib.Path(path), act)())
        print("reached", path)
    except PermissionError:
        pass
try:
    pathlib.Path("planted").write_text("x")
    print("planted")
except PermissionError:
    pass
pathlib.Path("home/fine").write_text("x")
"""
    async with builder.place() as work:
        outcome = await run(builder, work, interpreter, code)
        assert outcome == Outcome(0, [f"{(build_uid,) * 3} {(build_uid,) * 3} [] ['LANG', 'PATH']"])


async def test_time_and_size_are_bounded(data: Path, build_uid: int | None, interpreter: Interpreter) -> None:
    builder = Builder(data, build_uid, timeout_s=DEADLINE_S, tree_bytes=3 * 1024 * 1024)
    await builder.remove_leftovers()
    async with builder.place() as work:
        outcome = await run(builder, work, interpreter, "import time; time.sleep(600)", 0.2)
        assert outcome == Outcome(124, ["ended: it took longer than 0.2 s"])
        code = "import time; open('home/x', 'wb').write(b'x' * 4_000_000); time.sleep(600)"
        outcome = await run(builder, work, interpreter, code)
        assert outcome == Outcome(124, ["ended: it wrote more than 3145728 bytes"])


async def test_a_file_is_bounded(data: Path, build_uid: int | None, interpreter: Interpreter) -> None:
    builder = Builder(data, build_uid, file_bytes=1024)
    await builder.remove_leftovers()
    async with builder.place() as work:
        outcome = await run(builder, work, interpreter, "import pathlib; pathlib.Path('home/x').write_bytes(b'x' * 4_000)")
        assert outcome.code == 1
        assert "File too large" in outcome.lines[-1]


@needs_root
async def test_nothing_is_left_running(builder: Builder, interpreter: Interpreter, build_uid: int) -> None:
    daemon = """
import os, time
for _ in range(3):
    if os.fork() == 0:
        os.setsid()
        if os.fork() == 0:
            time.sleep(600)
        os._exit(0)
"""
    async with builder.place() as work:
        assert (await run(builder, work, interpreter, daemon)).code == 0
        assert alive(build_uid) == []


async def test_cancelling_ends_it(builder: Builder, interpreter: Interpreter, data: Path) -> None:
    mark = f"mark-{data.name}"

    async def build() -> None:
        async with builder.place() as work:
            await run(builder, work, interpreter, f"import time; time.sleep(600) # {mark}")

    task = asyncio.create_task(build())
    await until(lambda: len(alive(mark)) == 2)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await until(lambda: not alive(mark))
    assert list((data / "building").iterdir()) == []


async def test_the_death_of_the_platform_ends_it(
    builder: Builder, interpreter: Interpreter, data: Path, build_uid: int | None
) -> None:
    mark = f"mark-{data.name}"
    platform = f"""
import asyncio, pathlib
from podium.deployments.builder import Builder
async def main():
    builder = Builder(pathlib.Path({str(data)!r}), {build_uid})
    async with builder.place() as work:
        await builder.run(work, ({interpreter.path!r}, "-I", "-c", "import time; time.sleep(600) # {mark}"), {{}})
asyncio.run(main())
"""
    process = await asyncio.create_subprocess_exec(sys.executable, "-c", platform)
    await until(lambda: len(alive(mark)) == 3)
    process.kill()
    await process.wait()
    await until(lambda: not alive(mark))
    assert len(list((data / "building").iterdir())) == 1
    await builder.remove_leftovers()
    assert list((data / "building").iterdir()) == []


async def test_one_build_at_a_time(builder: Builder) -> None:
    inside = 0

    async def build() -> None:
        nonlocal inside
        async with builder.place():
            inside += 1
            assert inside == 1
            await asyncio.sleep(0)
            inside -= 1

    await asyncio.gather(*(build() for _ in range(5)))


async def test_taking_a_tree_back(builder: Builder, interpreter: Interpreter) -> None:
    code = """
import os
os.makedirs('tree/a/b', 0o700)
for name, mode in (('x', 0o6755), ('y', 0o600), ('z', 0o666)):
    open(f'tree/a/{name}', 'w').close()
    os.chmod(f'tree/a/{name}', mode)
os.link('tree/a/y', 'tree/a/y2')
os.symlink('/etc/passwd', 'tree/a/b/l')
os.chmod('tree/a/b', 0)
"""
    before = Path("/etc/passwd").stat()
    async with builder.place() as work:
        tree = await builder.make_folder(work, "tree")
        assert (await run(builder, work, interpreter, code)).code == 0
        await builder.take_back(tree)
        modes = {
            str(path.relative_to(tree)): stat.S_IMODE(path.lstat().st_mode) for path in tree.rglob("*") if not path.is_symlink()
        }
        assert modes == {"a": 0o755, "a/b": 0o755, "a/x": 0o755, "a/y": 0o644, "a/y2": 0o644, "a/z": 0o644}
        assert {(path.lstat().st_uid, path.lstat().st_gid) for path in (tree, *tree.rglob("*"))} == {(os.getuid(), os.getgid())}
    after = Path("/etc/passwd").stat()
    assert (after.st_mode, after.st_uid) == (before.st_mode, before.st_uid)


async def test_what_is_not_its_own_is_not_taken(builder: Builder, interpreter: Interpreter, data: Path) -> None:
    async with builder.place() as work:
        tree = await builder.make_folder(work, "tree")
        await run(builder, work, interpreter, "import os; os.mkfifo('tree/pipe')")
        with pytest.raises(BuildFailed, match="neither a file"):
            await builder.take_back(tree)
        (tree / "pipe").unlink()
        if os.getuid() == 0:
            (data / "secret").write_text("s")
            (data / "secret").chmod(0o600)
            os.link(data / "secret", tree / "linked")  # as if hard links were not protected
            with pytest.raises(BuildFailed, match="belongs to uid 0"):
                await builder.take_back(tree)
            assert stat.S_IMODE((data / "secret").stat().st_mode) == 0o600
