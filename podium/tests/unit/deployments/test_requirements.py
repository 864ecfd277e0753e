import pytest
from hypothesis import given
from hypothesis import strategies as st

from podium.deployments.requirements import Dependencies, fits, read_dependencies
from podium.protocol.errors import InvalidBundle

HASH = "--hash=sha256:" + "0a" * 32


def of(text: str) -> Dependencies:
    return read_dependencies({"requirements.txt": text.encode()})


def test_nothing() -> None:
    assert read_dependencies({}) == Dependencies()


def test_requirements_file() -> None:
    found = of(
        f"""
        # a comment
        httpx
        Foo.Bar[a, b] >= 1.0, < 2 ; python_version >= "3.11" and sys_platform == 'linux'  # why
        pinned==1.0 \\
            {HASH} \\
            {HASH}
        old (>=1,<2)
        """
    )
    assert found.requirements == (
        "httpx",
        "Foo.Bar[a, b] >= 1.0, < 2 ; python_version >= \"3.11\" and sys_platform == 'linux'",
        f"pinned==1.0 {HASH} {HASH}",
        "old (>=1,<2)",
    )


@pytest.mark.parametrize(
    "line",
    [
        "-e .",
        "-r other.txt",
        "-c constraints.txt",
        "--index-url https://index.example/simple",
        "--extra-index-url=https://index.example/simple",
        "--find-links .",
        "--no-binary :all:",
        "--pre",
        "./local",
        "../up",
        "/absolute",
        "local/wheel.whl",
        "wheel-1.0-py3-none-any.whl",
        "file:///etc/passwd",
        "https://example.com/x.tar.gz",
        "git+https://example.com/x.git",
        "name @ https://example.com/x.whl",
        "name@file:///x",
        "name==${VERSION}",
        "name==$(id)",
        "name ; extra == 'x' @ https://example.com",
        "naïve",
        ".",
        "name==1.0 --config-settings=x=y",
        "name " + "x" * 30_000,
    ],
)
def test_refused_by_name(line: str) -> None:
    with pytest.raises(InvalidBundle) as refused:
        of(f"fine\n{line}\n")
    assert repr(line[:20])[1:-1].split("'")[0] in refused.value.detail
    with pytest.raises(InvalidBundle):
        read_dependencies({"pyproject.toml": f"[project]\ndependencies = [{line!r}]".encode()})


def test_too_many() -> None:
    with pytest.raises(InvalidBundle, match="1001 requirements"):
        of("x\n" * 1001)


def test_our_own_name_is_dropped() -> None:
    found = of("Podium>=99\nhttpx\npodium[client,server]\npodium-extras")
    assert found.requirements == ("httpx", "podium-extras")
    assert found.sdk_extras == ("client",)


def test_pyproject() -> None:
    content = b"""
    [project]
    name = "x"
    requires-python = ">=3.11"
    dependencies = ["httpx>=0.28", "podium"]
    """
    expected = Dependencies(requirements=("httpx>=0.28",), requires_python=">=3.11")
    assert read_dependencies({"pyproject.toml": content}) == expected
    both = read_dependencies({"pyproject.toml": content, "requirements.txt": b"anyio"})
    assert both == Dependencies(requirements=("anyio",), requires_python=">=3.11")
    assert read_dependencies({"pyproject.toml": b"[tool.ruff]"}) == Dependencies()


@pytest.mark.parametrize(
    "content",
    [
        b"[project]\ndynamic = ['dependencies']",
        b"[project]\ndependencies = 'httpx'",
        b"[project]\ndependencies = [1]",
        b"[project]\nrequires-python = '3.11 or so'",
        b"[project]\nrequires-python = 3.11",
        b"project = 1",
        b"[project",
        b"x = " + b"[" * 5000,
        b"\xff",
    ],
)
def test_pyproject_refused(content: bytes) -> None:
    with pytest.raises(InvalidBundle):
        read_dependencies({"pyproject.toml": content})


@pytest.mark.parametrize(
    ("requires", "fitting"),
    [
        (">=3.11", True), (">=3.11,<4", True), (">=3.12", False), ("<3.11", False), ("<3.12", True), (">3.11", True),
        (">3.11.2", False), ("==3.11.*", True), ("==3.11", False), ("==3.11.2", True), ("===3.11.2", True), ("!=3.11.*", False),
        ("!=3.11.1", True), ("~=3.11", True), ("~=3.10", True), ("~=3.11.1", True), ("~=3.11.3", False), ("~=3.12", False),
        ("<=3.11.2", True), ("", True), (">= 3.9, != 3.9.7", True), ("~=2.7", False),
    ],
)  # fmt: skip
def test_python_versions(requires: str, fitting: bool) -> None:
    assert fits(requires, (3, 11, 2)) is fitting


@given(st.text(st.sampled_from("ab1.[],=<>~!;@/- \\\n#$'\"():"), max_size=80))
def test_what_is_accepted_cannot_lead_elsewhere(text: str) -> None:
    try:
        found = of(text)
    except InvalidBundle:
        return
    for line in found.requirements:
        assert line[0].isalnum()
        assert not set("@/$\\") & set(line.split("#")[0])
