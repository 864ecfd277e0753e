"""The matrix of hostile bundles, over HTTP: each is refused with a clear 4xx, and nothing of it is left behind anywhere."""

import gzip
import os
import tarfile
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from tempfile import TemporaryDirectory

import httpx
import pytest
import pytest_asyncio

from podium.client import AsyncPodium
from podium.protocol.errors import InstanceFailed
from tests.support import bundles
from tests.support.bundles import Entry, manifest, raw_header, tar_of, with_manifest, write_bundle, write_entries
from tests.support.platform import Platform, running_platform

pytestmark = pytest.mark.asyncio(loop_scope="module")

MIB = 1024 * 1024
END = bytes(1024)
BODY = tar_of(with_manifest()).rstrip(b"\0")
BODY += bytes(-len(BODY) % 512)
SYM, LNK = tarfile.SYMTYPE, tarfile.LNKTYPE
MANIFEST = manifest("hostile")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def machine() -> AsyncIterator[tuple[Platform, Path]]:
    """A platform that takes bundles of at most 1 MiB, and where it puts what passes by."""
    with TemporaryDirectory(prefix="podium-hostile-") as folder:
        async with running_platform(TMPDIR=folder, MAX_BUNDLE_SIZE="1MiB") as platform:
            yield platform, Path(folder)


Bundle = Callable[[Path], object]


def members(*entries: Entry) -> Bundle:
    """A good bundle with these besides."""
    return lambda path: write_entries(path, with_manifest(*entries))


def stream(content: bytes) -> Bundle:
    """This, packed."""
    return lambda path: path.write_bytes(gzip.compress(content, mtime=0))


def raw(content: Callable[[bytes], bytes]) -> Bundle:
    """A good bundle's bytes, changed."""
    return lambda path: path.write_bytes(content(write_bundle(path).read_bytes()))


def described(text: str | bytes, **others: str | bytes) -> Bundle:
    """A bundle with this `podium.toml`."""
    return lambda path: write_bundle(path, {"podium.toml": text, "agent.py": "", **others})


def changed(old: str, new: str) -> Bundle:
    """A bundle whose manifest says something else in one place."""
    assert old in MANIFEST
    return described(MANIFEST.replace(old, new))


def zeros(size_bytes: int) -> bytes:
    return raw_header(b"zeros", b"%011o\0" % size_bytes) + bytes(size_bytes)


def pax(record: bytes) -> bytes:
    return raw_header(b"pax", b"%011o\0" % len(record), b"x") + record + bytes(-len(record) % 512)


MATRIX: dict[str, tuple[Bundle, int, str, str]] = {
    # bombs: by size, by count, by ratio
    "larger than a bundle may be": (members(Entry("x", os.urandom(MIB + 1))), 413, "too_large", "larger"),
    "one file of 257 MiB": (stream(raw_header(b"x", b"%011o\0" % (257 * MIB))), 413, "too_large", "larger"),
    "21,000 files": (stream(b"".join(raw_header(b"f%d" % n) for n in range(21_000)) + END), 413, "too_large", "members"),
    "64 MiB of nothing": (stream(zeros(64 * MIB) + END), 413, "too_large", "200 times"),
    "nothing behind the end": (stream(BODY + END + bytes(64 * MIB)), 413, "too_large", "200 times"),
    "two gzip members": (raw(lambda good: good + good), 400, "invalid_bundle", "behind the end"),
    "a gzip in a gzip": (raw(lambda good: gzip.compress(good)), 400, "invalid_bundle", "truncated"),
    "a sparse file": (members(Entry("s", type=tarfile.GNUTYPE_SPARSE)), 400, "invalid_bundle", "sparse"),
    "a sparse file of pax": (
        stream(BODY + pax(b"22 GNU.sparse.major=1\n") + raw_header(b"x") + END), 400, "invalid_bundle", "sparse",
    ),
    "a size that is a lie": (stream(BODY + pax(b"20 size=99999999999\n") + raw_header(b"x") + END), 413, "too_large", "larger"),
    "a negative size": (stream(BODY + pax(b"11 size=-5\n") + raw_header(b"x") + END), 400, "invalid_bundle", "not a number"),
    "an endless header": (stream(BODY + raw_header(b"p", b"\x80" + b"\xff" * 11, b"x") + END), 400, "invalid_bundle", "header"),
    # names and kinds
    "an absolute path": (members(Entry("/etc/cron.d/x")), 400, "invalid_bundle", "absolute"),
    "a path upwards": (members(Entry("a/../../x")), 400, "invalid_bundle", "'..'"),
    "a long GNU name upwards": (members(Entry("x/" * 60 + "../" * 61 + "x")), 400, "invalid_bundle", "'..'"),
    "a link outwards": (members(Entry("l", type=SYM, link="/etc/passwd")), 400, "invalid_bundle", "outside"),
    "a link upwards": (members(Entry("a/l", type=SYM, link="../../x")), 400, "invalid_bundle", "outside"),
    "a file through a link": (
        members(Entry("l", type=SYM, link="d"), Entry("d/x"), Entry("l/x")), 400, "invalid_bundle", "symlink",
    ),
    "links through links": (
        members(Entry("d/e"), Entry("m", type=SYM, link="d/e"), Entry("l", type=SYM, link="m/../x")),
        400, "invalid_bundle", "another",
    ),
    "a hard link outwards": (members(Entry("h", type=LNK, link="/etc/shadow")), 400, "invalid_bundle", "absolute"),
    "a hard link to a link": (
        members(Entry("l", type=SYM, link="agent.py"), Entry("h", type=LNK, link="l")), 400, "invalid_bundle", "no file before",
    ),
    "a device": (members(Entry("sda", type=tarfile.BLKTYPE)), 400, "invalid_bundle", "block device"),
    "a terminal": (members(Entry("tty", type=tarfile.CHRTYPE)), 400, "invalid_bundle", "character device"),
    "a FIFO": (members(Entry("pipe", type=tarfile.FIFOTYPE)), 400, "invalid_bundle", "FIFO"),
    "a name twice": (members(Entry("agent.py", b"import os")), 400, "invalid_bundle", "twice"),
    "a name twice in other words": (members(Entry("./agent.py", b"import os")), 400, "invalid_bundle", "twice"),
    "a name that is too long": (members(Entry("x" * 256)), 400, "invalid_bundle", "longer than 255"),
    "a path that is too long": (members(Entry("/".join(["x" * 200] * 6))), 400, "invalid_bundle", "longer than 1024"),
    "a name that is no text": (stream(BODY + raw_header(b"\xff\xfe") + END), 400, "invalid_bundle", "UTF-8"),
    "a name with a line break": (members(Entry("a\nb")), 400, "invalid_bundle", "control"),
    "a file below a file": (members(Entry("agent.py/x")), 400, "invalid_bundle", "which is a file"),
    # the archive
    "nothing": (lambda path: path.write_bytes(b""), 400, "invalid_bundle", "truncated"),
    "a zip": (raw(lambda good: b"PK\3\4" + good), 400, "invalid_bundle", "gzip"),
    "cut off": (raw(lambda good: good[:-9]), 400, "invalid_bundle", "truncated"),
    "cut in half": (raw(lambda good: good[: len(good) // 2]), 400, "invalid_bundle", "truncated"),
    "an archive without an end": (stream(BODY), 400, "invalid_bundle", "truncated"),
    "something behind the end": (stream(BODY + END + b"more"), 400, "invalid_bundle", "behind the end"),
    "a wrong checksum": (stream(BODY + raw_header(b"x")[:-5] + b"wrong" + END), 400, "invalid_bundle", "checksum"),
    # the manifest
    "no manifest": (lambda path: write_bundle(path, {"agent.py": ""}), 400, "invalid_bundle", "no podium.toml"),
    "a manifest in other letters": (
        lambda path: write_bundle(path, {"PODIUM.TOML": MANIFEST, "agent.py": ""}), 400, "invalid_bundle", "no podium.toml",
    ),
    "a manifest that is a link": (
        lambda path: write_entries(path, [Entry("m", MANIFEST.encode()), Entry("podium.toml", type=SYM, link="m")]),
        400, "invalid_bundle", "no podium.toml",
    ),
    "a manifest of 70 kB": (described("# " + "x" * 70_000), 413, "too_large", "podium.toml"),
    "a manifest that is no TOML": (described("{}{"), 400, "invalid_bundle", "TOML"),
    "a manifest that is no text": (described(b"\xff\xfe" + MANIFEST.encode()), 400, "invalid_bundle", "TOML"),
    "a manifest that nests too deep": (described(MANIFEST + "[config]\nx = " + "[" * 5000), 400, "invalid_bundle", "TOML"),
    "an unknown table": (described(MANIFEST + "[surprise]\n"), 400, "invalid_bundle", "surprise"),
    "an unknown key": (described(MANIFEST + "[lifecycle]\nidle = 3\n"), 400, "invalid_bundle", "idle"),
    "a wrong type": (described(MANIFEST + "[lifecycle]\nmax_attempts = true\n"), 400, "invalid_bundle", "max_attempts"),
    "another type than the form's": (changed('"hostile"', '"other"'), 400, "invalid_bundle", "agent_type"),
    "another version than the form's": (changed('"1.0.0"', '"2.0.0"'), 400, "invalid_bundle", "version"),
    "no version at all": (changed('version = "1.0.0"', ""), 400, "invalid_bundle", "version"),
    "an entrypoint that is not there": (changed("agent:Agent", "nowhere:Agent"), 400, "invalid_bundle", "nowhere"),
    "an entrypoint upwards": (changed("agent:Agent", "../agent:Agent"), 400, "invalid_bundle", "entrypoint"),
    "an entrypoint without a class": (changed("agent:Agent", "agent"), 400, "invalid_bundle", "entrypoint"),
    "a runtime of later": (changed('"python"', '"typescript"'), 422, "unsupported_runtime", "typescript"),
    "a runtime of never": (changed('"python"', '"perl"'), 400, "invalid_bundle", "perl"),
    "dependencies that are options": (described(MANIFEST, **{"requirements.txt": "-e ."}), 400, "invalid_bundle", "option"),
    "a project that is no TOML": (described(MANIFEST, **{"pyproject.toml": "[project"}), 400, "invalid_bundle", "pyproject"),
}  # fmt: skip


async def upload(platform: Platform, path: Path, agent_type: str = "hostile", version: str = "1.0.0") -> httpx.Response:
    async with httpx.AsyncClient(base_url=platform.url, headers={"Authorization": f"Bearer {platform.key}"}, timeout=60) as http:
        form = {"agent_type": agent_type, "version": version}
        return await http.post("/api/v1/deployments", files={"file": path.read_bytes()}, data=form)


def everything(platform: Platform, passing: Path) -> set[str]:
    """What lies where bundles go."""
    roots = (passing, platform.data / "objects", platform.data / "deployments")
    return {str(path) for root in roots for path in root.rglob("*") if path.is_file() or root == passing}


@pytest.mark.parametrize("what", MATRIX)
async def test_it_is_refused_and_nothing_is_left(machine: tuple[Platform, Path], tmp_path: Path, what: str) -> None:
    platform, passing = machine
    make, status, code, said = MATRIX[what]
    before = everything(platform, passing)
    path = tmp_path / "bundle.tar.gz"
    make(path)
    answer = await upload(platform, path)
    problem = answer.json()
    assert (answer.status_code, problem["code"], problem["retryable"]) == (status, code, False), problem
    assert said in problem["detail"], problem
    assert problem["detail"].isprintable() and len(problem["detail"]) < 800
    assert everything(platform, passing) == before


async def test_names_that_differ_only_in_letters_or_accents_are_different_files(
    machine: tuple[Platform, Path], tmp_path: Path
) -> None:
    names = ["Data.txt", "data.txt", "caf\u00e9", "cafe\u0301", "a\u202eb", "\u2060"]
    path = write_entries(tmp_path / "b.tar.gz", with_manifest(*(Entry(name, name.encode()) for name in names)))
    assert (await upload(machine[0], path, "notes")).status_code == 201


async def test_a_version_is_immutable(machine: tuple[Platform, Path], tmp_path: Path) -> None:
    platform, passing = machine
    path = write_bundle(tmp_path / "b.tar.gz", bundles.files("stable"))
    first, again = await upload(platform, path, "stable"), await upload(platform, path, "stable")
    assert (first.status_code, again.status_code) == (201, 200)
    assert first.json()["deployment_id"] == again.json()["deployment_id"]
    before = everything(platform, passing)
    other = write_bundle(tmp_path / "c.tar.gz", bundles.files("stable", others={"more.txt": "x"}))
    refused = await upload(platform, other, "stable")
    assert (refused.status_code, refused.json()["code"], refused.json()["next_version"]) == (409, "version_exists", "1.0.1")
    assert everything(platform, passing) == before


async def test_another_python_is_a_clear_failure(machine: tuple[Platform, Path], tmp_path: Path) -> None:
    project = '[project]\nname = "x"\nversion = "1"\nrequires-python = ">=3.99"\n'
    path = write_bundle(tmp_path / "b.tar.gz", bundles.files("future", others={"pyproject.toml": project}))
    deployment = (await upload(machine[0], path, "future")).json()["deployment_id"]
    impatient = AsyncPodium(machine[0].url, machine[0].key, retry_for_s=1)  # what is wrong stays wrong
    async with impatient as client:
        instance = (await client.create(deployment)).instance_id
        with pytest.raises(InstanceFailed, match=r"requires-python.*>=3\.99"):
            await client.send(instance, "hello")
