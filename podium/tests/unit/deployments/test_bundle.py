import gzip
import hashlib
import os
import stat
import tarfile
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from podium.deployments import bundle as bundle_module
from podium.deployments.bundle import BundleLimits, inspect_bundle, unpack
from podium.deployments.limits import MIB
from podium.protocol.errors import InvalidBundle, PodiumError, TooLarge, UnsupportedRuntime
from tests.support import bundles
from tests.support.bundles import Entry, raw_header, tar_of, with_manifest

LIMITS = BundleLimits()
SMALL = BundleLimits(compressed_bytes=4 * MIB, unpacked_bytes=2 * MIB, file_bytes=MIB, members=50)
BLOCK = 512
END = bytes(2 * BLOCK)


def refused(path: Path, limits: BundleLimits = LIMITS) -> PodiumError:
    """The error that inspection and unpacking both raise; nothing is left behind."""
    before = snapshot(path.parent)
    with pytest.raises(PodiumError) as inspected:
        inspect_bundle(path, limits)
    with pytest.raises(PodiumError) as unpacked:
        unpack(path, path.parent / "target", limits)
    assert unpacked.value.detail == inspected.value.detail
    assert snapshot(path.parent) == before
    return inspected.value


def snapshot(root: Path) -> dict[str, tuple[int, bytes]]:
    """Everything below a directory: modes, contents, targets of links."""
    found = {}
    for path in sorted(root.rglob("*")):
        mode = path.lstat().st_mode
        content = os.readlink(path).encode() if stat.S_ISLNK(mode) else path.read_bytes() if stat.S_ISREG(mode) else b""
        found[str(path.relative_to(root))] = (mode, content)
    return found


def test_a_good_bundle(tmp_path: Path) -> None:
    path = bundles.write_bundle(tmp_path / "b.tar.gz")
    found = inspect_bundle(path, LIMITS)
    assert found.manifest.agent.type == "notes"
    assert found.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()
    assert found.size_bytes == path.stat().st_size
    assert found.file_count == 2
    assert found.unpacked_bytes == sum(len(str(text).encode()) for text in bundles.files().values())


def test_unpacking(tmp_path: Path) -> None:
    entries = with_manifest(
        Entry("run.sh", b"#!", mode=0o4777),
        Entry("private", b"x", mode=0o600),
        Entry("a/b/c.txt", b"deep"),
        Entry("a/b", type=tarfile.DIRTYPE, mode=0o700),
        Entry("empty/", type=tarfile.DIRTYPE, mode=0o1777),
        Entry("a/link", type=tarfile.SYMTYPE, link="../run.sh"),
        Entry("same", type=tarfile.LNKTYPE, link="./a/b/c.txt"),
        Entry("dangling", type=tarfile.SYMTYPE, link="a/./nothing"),
        Entry("./", type=tarfile.DIRTYPE),
        Entry("ünïcode/ß", b"1"),
    )
    target = tmp_path / "target"
    old_umask = os.umask(0o077)
    try:
        unpack(bundles.write_entries(tmp_path / "b.tar.gz", entries), target, LIMITS)
    finally:
        os.umask(old_umask)
    modes = {name: stat.S_IMODE(mode) for name, (mode, _) in snapshot(target).items() if not stat.S_ISLNK(mode)}
    assert modes == {
        "podium.toml": 0o644, "agent.py": 0o644, "run.sh": 0o755, "private": 0o644, "a": 0o755, "a/b": 0o755, "a/b/c.txt": 0o644,
        "empty": 0o755, "same": 0o644, "ünïcode": 0o755, "ünïcode/ß": 0o644,
    }  # fmt: skip
    assert stat.S_IMODE(target.stat().st_mode) == 0o755
    assert (target / "a/link").read_bytes() == b"#!"
    assert (target / "same").read_bytes() == b"deep"
    assert os.readlink(target / "dangling") == "a/./nothing"
    assert {path.lstat().st_uid for path in target.rglob("*")} == {os.getuid()}
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith(".")] == []


def test_unpacking_replaces_nothing(tmp_path: Path) -> None:
    path = bundles.write_bundle(tmp_path / "b.tar.gz")
    (tmp_path / "target").mkdir()
    with pytest.raises(FileExistsError):
        unpack(path, tmp_path / "target", LIMITS)
    assert sorted(child.name for child in tmp_path.iterdir()) == ["b.tar.gz", "target"]


def test_a_full_disk_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(tree: Path, target: Path) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(bundle_module, "publish_tree", full)
    path = bundles.write_bundle(tmp_path / "b.tar.gz")
    with pytest.raises(OSError, match="No space"):
        unpack(path, tmp_path / "target", LIMITS)
    assert [child.name for child in tmp_path.iterdir()] == ["b.tar.gz"]


@pytest.mark.parametrize("tar_format", [tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
def test_formats_of_tar(tmp_path: Path, tar_format: int) -> None:
    long = "/".join(["d" * 45] * 3 + ["f" * 45])
    longer = "x" * 200
    names = [long] if tar_format == tarfile.USTAR_FORMAT else [long, longer]
    entries = with_manifest(*(Entry(name, name.encode()) for name in names))
    unpack(bundles.write_entries(tmp_path / "b.tar.gz", entries, tar_format=tar_format), tmp_path / "target", LIMITS)
    for name in names:
        assert (tmp_path / "target" / name).read_text() == name


SYM, LNK, DIR = tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.DIRTYPE


@pytest.mark.parametrize(
    ("entries", "said"),
    [
        ([Entry("/etc/x")], "absolute"),
        ([Entry(".//etc/x")], "absolute"),
        ([Entry("/", type=DIR)], "absolute"),
        ([Entry("../x")], "'..'"),
        ([Entry("a/../../x")], "'..'"),
        ([Entry("a/../x")], "'..'"),
        ([Entry("..", type=DIR)], "'..'"),
        ([Entry("a//b")], "''"),
        ([Entry("a/./b")], "'.'"),
        ([Entry("a\\b")], "backslash"),
        ([Entry("a\nb")], "control"),
        ([Entry("a\x7fb")], "control"),
        ([Entry("a\x85b")], "control"),
        ([Entry("x" * 256)], "longer than 255"),
        ([Entry("ß" * 128)], "longer than 255"),
        ([Entry("/".join(["x" * 200] * 6))], "longer than 1024"),
        ([Entry("c", type=tarfile.CHRTYPE)], "character device"),
        ([Entry("b", type=tarfile.BLKTYPE)], "block device"),
        ([Entry("f", type=tarfile.FIFOTYPE)], "FIFO"),
        ([Entry("s", type=tarfile.GNUTYPE_SPARSE)], "sparse"),
        ([Entry("v", type=b"V")], "unknown type"),
        ([Entry("l", type=SYM, link="/etc/passwd")], "outside"),
        ([Entry("l", type=SYM, link="..")], "outside"),
        ([Entry("a/l", type=SYM, link="../../x")], "outside"),
        ([Entry("a/l", type=SYM, link="x/../../../x")], "outside"),
        ([Entry("l", type=SYM, link="")], "outside"),
        ([Entry("l", type=SYM, link="a\nb")], "control"),
        ([Entry("l", type=SYM, link="l")], "through another link"),
        ([Entry("l", type=SYM, link="m"), Entry("m", type=SYM, link="agent.py")], "through another link"),
        ([Entry("a/l", type=SYM, link="../m/../../x"), Entry("m", type=SYM, link="a")], "outside"),
        ([Entry("d/e", b""), Entry("m", type=SYM, link="d/e"), Entry("l", type=SYM, link="m/../x")], "through another link"),
        ([Entry("l", type=SYM, link="d"), Entry("d", type=DIR), Entry("l/x")], "which is a symlink"),
        ([Entry("l/x"), Entry("l", type=SYM, link="agent.py")], "twice"),
        ([Entry("agent.py/x")], "which is a file"),
        ([Entry("agent.py")], "twice"),
        ([Entry("./agent.py")], "twice"),
        ([Entry("d", type=DIR), Entry("d/", type=DIR)], "twice"),
        ([Entry("d", type=DIR), Entry("d")], "twice"),
        ([Entry("h", type=LNK, link="/etc/passwd")], "absolute"),
        ([Entry("h", type=LNK, link="../x")], "'..'"),
        ([Entry("h", type=LNK, link="later"), Entry("later")], "no file before"),
        ([Entry("h", type=LNK, link="h")], "no file before"),
        ([Entry("d", type=DIR), Entry("h", type=LNK, link="d")], "no file before"),
        ([Entry("l", type=SYM, link="agent.py"), Entry("h", type=LNK, link="l")], "no file before"),
    ],
)  # fmt: skip
def test_hostile_members(tmp_path: Path, entries: list[Entry], said: str) -> None:
    error = refused(bundles.write_entries(tmp_path / "b.tar.gz", with_manifest(*entries)))
    assert isinstance(error, InvalidBundle)
    assert said in error.detail
    assert error.detail.isprintable()
    assert len(error.detail) < 700


GOOD = tar_of(with_manifest())
BODY = tar_of(with_manifest()).rstrip(b"\0")
BODY += bytes(-len(BODY) % BLOCK)


def pax(body: bytes, kind: bytes = b"x") -> bytes:
    """An extended header with any content."""
    return raw_header(b"pax", b"%011o\0" % len(body), kind) + body + bytes(-len(body) % BLOCK)


@pytest.mark.parametrize(
    ("stream", "said"),
    [
        (GOOD[: BLOCK * 3], "truncated"),
        (BODY, "truncated"),
        (BODY[:-1], "truncated"),
        (BODY + raw_header(b"x", b"00000000005\0") + b"hello", "truncated"),
        (BODY + END + b"\0" * 100 + b"x", "behind the end"),
        (b"", "truncated"),
        (b"not a tar file at all" * 100, "not a tar archive"),
        (BODY + raw_header(b"x")[:-5] + b"wrong" + END, "checksum"),
        (BODY + raw_header(b"x", b"\xff" * 12) + END, "bad size"),
        (BODY + raw_header(b"x", b"\x80" + b"\0" * 2 + b"\xff" * 9) + END, "larger"),
        (BODY + raw_header(b"x", b"12345678999\0") + END, "bad size"),
        (BODY + raw_header(b"\xff\xfe") + END, "not UTF-8"),
        (BODY + raw_header(b"") + END, "''"),
        (BODY + raw_header(b"d", b"00000000005\0", b"5") + bytes(BLOCK) + END, "announces content"),
        (BODY + raw_header(b"l", b"00000000005\0", b"2", b"agent.py") + bytes(BLOCK) + END, "announces content"),
        (BODY + raw_header(b"p", b"%011o\0" % 70_000, b"x") + bytes(70_144) + END, "extended header"),
        (BODY + raw_header(b"p", b"\x80" + b"\xff" * 11, b"x") + END, "extended header"),
        (BODY + raw_header(b"p", b"\x80" + b"\xff" * 11, b"L") + END, "extended header"),
        (BODY + pax(b"10 path=a\n") * 9 + raw_header(b"x") + END, "more than 8"),
        (BODY + pax(b"99 path=x\n") + raw_header(b"x") + END, "damaged"),
        (BODY + pax(b"5 path=x\n") + raw_header(b"x") + END, "damaged"),
        (BODY + pax(b"nonsense") + raw_header(b"x") + END, "damaged"),
        (BODY + pax(b"13 path=../x\n") + raw_header(b"x") + END, "'..'"),
        (BODY + pax(b"12 path=a\0b\n") + raw_header(b"x") + END, "control"),
        (BODY + pax(b"11 size=-5\n") + raw_header(b"x") + END, "not a number"),
        (BODY + pax(b"22 GNU.sparse.major=1\n") + raw_header(b"x") + END, "sparse"),
        (BODY + pax(b"10 path=x\n", b"g") + raw_header(b"x") + END, "global"),
        (BODY + pax(b"10 path=x\n") + END, "truncated"),
    ],
)  # fmt: skip
def test_hostile_streams(tmp_path: Path, stream: bytes, said: str) -> None:
    path = tmp_path / "b.tar.gz"
    path.write_bytes(gzip.compress(stream, mtime=0))
    assert said in refused(path).detail


def test_a_harmless_global_header(tmp_path: Path) -> None:
    path = tmp_path / "b.tar.gz"
    path.write_bytes(gzip.compress(pax(b"52 comment=0123456789012345678901234567890123456789\n", b"g") + GOOD))
    assert inspect_bundle(path, LIMITS).file_count == 2


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (lambda good: good[:-1], "truncated"),
        (lambda good: good[:-8], "truncated"),
        (lambda good: good[: len(good) // 2], "truncated"),
        (lambda good: good + b"x", "behind the end"),
        (lambda good: good + b"\0", "behind the end"),
        (lambda good: good + good, "behind the end"),
        (lambda good: good[:-8] + b"\0" * 8, "damaged"),
        (lambda good: b"PK" + good, "not a gzip"),
        (lambda good: b"", "truncated"),
    ],
)
def test_damaged_gzip(tmp_path: Path, damage: object, said: str) -> None:
    path = bundles.write_bundle(tmp_path / "b.tar.gz")
    assert callable(damage)
    path.write_bytes(damage(path.read_bytes()))
    assert said in refused(path).detail


@pytest.mark.parametrize(
    ("entries", "said"),
    [
        ([Entry("big", os.urandom(MIB + 1))], "'big' is larger than"),
        ([Entry(f"f{n}", os.urandom(MIB)) for n in range(3)], "unpacks to more"),
        ([Entry(f"f{n}") for n in range(50)], "more than 50 members"),
        ([Entry("/".join("d" * 60) + "/f")], "more than 50 members"),
    ],
)
def test_limits(tmp_path: Path, entries: list[Entry], said: str) -> None:
    error = refused(bundles.write_entries(tmp_path / "b.tar.gz", with_manifest(*entries)), SMALL)
    assert isinstance(error, TooLarge)
    assert said in error.detail


def test_compressed_limit(tmp_path: Path) -> None:
    path = bundles.write_entries(tmp_path / "b.tar.gz", with_manifest(Entry("x", os.urandom(300_000))))
    assert isinstance(refused(path, BundleLimits(compressed_bytes=100_000)), TooLarge)


def test_bombs_stop_early(tmp_path: Path) -> None:
    path = tmp_path / "b.tar.gz"
    zeros = gzip.compress(raw_header(b"x", b"%011o\0" % (64 * MIB)) + bytes(64 * MIB) + END)
    path.write_bytes(zeros)
    assert "200 times" in refused(path).detail
    # The header says nothing, the padding behind the end is the bomb.
    path.write_bytes(gzip.compress(GOOD + bytes(64 * MIB)))
    assert "200 times" in refused(path).detail


@pytest.mark.parametrize(
    ("content", "error", "said"),
    [
        ({"agent.py": ""}, InvalidBundle, "no podium.toml"),
        ({"sub/podium.toml": bundles.manifest(), "sub/agent.py": ""}, InvalidBundle, "no podium.toml"),
        ({"podium.toml": "nonsense"}, InvalidBundle, "not valid TOML"),
        ({"podium.toml": "x" * 70_000}, TooLarge, "podium.toml is larger"),
        ({"podium.toml": bundles.manifest()}, InvalidBundle, "neither agent.py nor agent/__init__.py"),
        ({"podium.toml": bundles.manifest(entrypoint="a.b:C"), "a.py": ""}, InvalidBundle, "neither a/b.py"),
        ({"podium.toml": bundles.manifest().replace('"python"', '"typescript"')}, UnsupportedRuntime, "typescript"),
        (bundles.files(others={"requirements.txt": "-e ."}), InvalidBundle, "is an option"),
        (bundles.files(others={"pyproject.toml": "[project"}), InvalidBundle, "pyproject.toml"),
    ],
)
def test_manifest_and_entrypoint(tmp_path: Path, content: dict[str, str | bytes], error: type[PodiumError], said: str) -> None:
    path = bundles.write_bundle(tmp_path / "b.tar.gz", content)
    with pytest.raises(error) as raised:
        inspect_bundle(path, LIMITS)
    assert said in raised.value.detail


@pytest.mark.parametrize("module", ["agent.py", "agent/__init__.py"])
def test_entrypoint_is_module_or_package(tmp_path: Path, module: str) -> None:
    path = bundles.write_bundle(tmp_path / "b.tar.gz", {"podium.toml": bundles.manifest(), module: ""})
    assert inspect_bundle(path, LIMITS).file_count == 2


def test_a_link_is_no_manifest(tmp_path: Path) -> None:
    entries = [
        Entry("real.toml", bundles.manifest().encode()),
        Entry("agent.py"),
        Entry("podium.toml", type=SYM, link="real.toml"),
    ]
    with pytest.raises(InvalidBundle, match=r"no podium\.toml"):
        inspect_bundle(bundles.write_entries(tmp_path / "b.tar.gz", entries), LIMITS)


NAMES = st.lists(st.sampled_from(["a", "b", "..", ".", "", "c\\", "ü"]), min_size=1, max_size=4).map("/".join)
ENTRIES = st.lists(
    st.builds(
        Entry,
        name=NAMES,
        content=st.binary(max_size=8),
        type=st.sampled_from([tarfile.REGTYPE, tarfile.REGTYPE, DIR, SYM, LNK, tarfile.FIFOTYPE]),
        link=NAMES,
        mode=st.integers(0, 0o7777),
    ).map(lambda entry: entry if entry.type == tarfile.REGTYPE else entry._replace(content=b"")),
    max_size=8,
)


@settings(max_examples=200, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(entries=ENTRIES, tar_format=st.sampled_from([tarfile.GNU_FORMAT, tarfile.PAX_FORMAT, tarfile.USTAR_FORMAT]))
def test_nothing_outside_changes(tmp_path_factory: pytest.TempPathFactory, entries: list[Entry], tar_format: int) -> None:
    root = tmp_path_factory.mktemp("unpack")
    inside = root / "a" / "b"
    inside.mkdir(parents=True)
    (root / "a" / "c").write_text("outside")
    path = bundles.write_entries(root / "x.tar.gz", entries, tar_format=tar_format)
    before = snapshot(root)
    try:
        unpack(path, inside / "target", LIMITS)
    except PodiumError:
        assert snapshot(root) == before
        return
    after = snapshot(root)
    assert {name: after.pop(name) for name in before} == before
    assert all(name == "a/b/target" or name.startswith("a/b/target/") for name in after)
    for found in (inside / "target").rglob("*"):
        assert found.resolve().is_relative_to(inside / "target")


@settings(max_examples=200, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(data=st.data())
def test_any_bytes_are_read_or_refused(tmp_path_factory: pytest.TempPathFactory, data: st.DataObject) -> None:
    stream = bytearray(GOOD)
    for _ in range(data.draw(st.integers(1, 4))):
        stream[data.draw(st.integers(0, len(BODY) + BLOCK))] = data.draw(st.integers(0, 255))
    root = tmp_path_factory.mktemp("bytes")
    path = root / "x.tar.gz"
    path.write_bytes(gzip.compress(bytes(stream)))
    try:
        unpack(path, root / "target", SMALL)
    except PodiumError:
        assert [child.name for child in root.iterdir()] == ["x.tar.gz"]
