import pytest
from hypothesis import given
from hypothesis import strategies as st

from podium.deployments.manifest import Lifecycle, Manifest, Network, Resources, parse_manifest
from podium.protocol.errors import InvalidBundle, PodiumError, UnsupportedRuntime
from tests.support import bundles

AGENT = bundles.manifest()


def parsed(more: str) -> Manifest:
    return parse_manifest((AGENT + more).encode())


def test_defaults() -> None:
    found = parsed("")
    assert (found.agent.type, found.agent.version, found.agent.entrypoint) == ("notes", "1.0.0", "agent:Agent")
    assert found.lifecycle == Lifecycle(idle_timeout_s=300, turn_timeout_s=1800, max_attempts=3, durability="local")
    assert found.resources == Resources(memory_bytes=512 * 1024 * 1024, cpu=1.0, pids=256)
    assert found.network == Network(egress="allow")
    assert found.config == {}


def test_everything() -> None:
    found = parsed(
        """
        [lifecycle]
        idle_timeout = "never"
        turn_timeout = "90s"
        max_attempts = 1
        durability = "replicated"
        [resources]
        memory = "1GiB"
        cpu = 2
        pids = 10
        [network]
        egress = ["api.example.com:443", "10.0.0.1", "[::1]:80"]
        [config]
        model = "m"
        deep = { list = [1, 2.5, true, "x"] }
        """
    )
    assert found.lifecycle == Lifecycle(idle_timeout_s=None, turn_timeout_s=90, max_attempts=1, durability="replicated")
    assert found.resources == Resources(memory_bytes=1024**3, cpu=2.0, pids=10)
    assert found.network.egress == ["api.example.com:443", "10.0.0.1", "[::1]:80"]
    assert found.config == {"model": "m", "deep": {"list": [1, 2.5, True, "x"]}}


@pytest.mark.parametrize(
    ("more", "named"),
    [
        ("[surprise]", "surprise"),
        ("[lifecycle]\nidle_timeout = 5", "lifecycle.idle_timeout is 5"),
        ('[lifecycle]\nidle_timeout = "soon"', "lifecycle.idle_timeout is 'soon'"),
        ('[lifecycle]\nturn_timeout = "never"', "lifecycle.turn_timeout"),
        ('[lifecycle]\nturn_timeout = "31d"', "lifecycle.turn_timeout"),
        ("[lifecycle]\nmax_attempts = true", "lifecycle.max_attempts is True"),
        ("[lifecycle]\nmax_attempts = 0", "lifecycle.max_attempts"),
        ('[lifecycle]\ndurability = "maybe"', "lifecycle.durability"),
        ('[lifecycle]\nidle = "5m"', "no key 'idle'"),
        ('[resources]\nmemory = "much"', "resources.memory"),
        ('[resources]\nmemory = "1MiB"', "resources.memory"),
        ("[resources]\ncpu = nan", "resources.cpu is nan"),
        ("[resources]\ncpu = 0", "resources.cpu"),
        ("[resources]\npids = 1.5", "resources.pids"),
        ('[network]\negress = "some"', "network.egress"),
        ('[network]\negress = ["a b"]', "network.egress"),
        ('[network]\negress = ["host:70000"]', "network.egress"),
        ("[config]\nwhen = 2020-01-01", "config.when"),
        ("[config]\nwhat = [1, { x = inf }]", "config.what.1.x"),
        ("[config]\nhow_many = 99999999999999999999", "config.how_many"),
        ("[config]\n" + ".".join("a" * 40) + " = 1", "levels deep"),
        ("[config]\nx = " + "9" * 5000, "not valid TOML"),
        ("[config]\nx = " + "[" * 5000, "not valid TOML"),
        ("[agent]", "not valid TOML"),
        ("[config]\nx = '" + "x" * 65536 + "'", "are allowed"),
    ],
)
def test_refused_by_name(more: str, named: str) -> None:
    with pytest.raises(InvalidBundle) as refused:
        parsed(more)
    assert named in refused.value.detail
    assert len(refused.value.detail) < 500


@pytest.mark.parametrize(
    ("old", "new", "named"),
    [
        ('type = "notes"', 'type = "Notes"', "agent.type is 'Notes'"),
        ('type = "notes"', "", "agent.type is missing"),
        ('version = "1.0.0"', 'version = "1.0"', "agent.version is '1.0'"),
        ('version = "1.0.0"', f'version = "1.0.0-{"x" * 200}"', "agent.version"),
        ('runtime = "python"', 'runtime = "ruby"', "agent.runtime is 'ruby'"),
        ('"agent:Agent"', '"agent.py"', "agent.entrypoint"),
        ('"agent:Agent"', '"../agent:Agent"', "agent.entrypoint"),
        ('"agent:Agent"', '"agent:A\\n"', "agent.entrypoint"),
        ("[agent]", "[[agent]]", "agent is a list"),
        ("[agent]", "agent = 1\n[config]", "agent is 1"),
    ],
)
def test_agent_table(old: str, new: str, named: str) -> None:
    with pytest.raises(InvalidBundle) as refused:
        parse_manifest(AGENT.replace(old, new).encode())
    assert named in refused.value.detail


def test_typescript_comes_later() -> None:
    with pytest.raises(UnsupportedRuntime):
        parse_manifest(AGENT.replace('"python"', '"typescript"').replace("agent:Agent", "agent.ts").encode())


def test_not_text() -> None:
    with pytest.raises(InvalidBundle):
        parse_manifest(b"\xff\xfe")


@given(st.text(st.sampled_from("[]{}=.\"'\n #a0-:,_T+"), max_size=200))
def test_any_text_is_read_or_refused(more: str) -> None:
    try:
        parsed(more)
    except PodiumError as refused:
        assert refused.detail
