"""`podium.toml`, the manifest of a bundle: what it says, with defaults and units. Unknown tables and keys are refused."""

import re
import tomllib
from typing import Any, Literal, cast

import msgspec

from podium.config.kinds import duration_or_never_s, duration_s, size_bytes
from podium.deployments.tables import NAME, Table, checked_config, number, text, whole
from podium.protocol.errors import InvalidBundle, UnsupportedRuntime
from podium.protocol.ids import AGENT_TYPE, MAX_VERSION_CHARS, VERSION

MAX_BYTES = 64 * 1024
MAX_TURN_S = 30 * 86400.0
MIN_MEMORY_BYTES = 32 * 1024 * 1024
MAX_EGRESS_RULES = 256
_TABLES = ("agent", "lifecycle", "resources", "network", "config")
_ENTRYPOINT = re.compile(r"(?!\d)\w{1,64}(\.(?!\d)\w{1,64}){0,15}:(?!\d)\w{1,64}", re.ASCII)
_RUNTIME = re.compile(r"python|typescript")
_DURABILITY = re.compile(r"local|replicated")
_HOST = re.compile(r"(?:[A-Za-z0-9](?:[A-Za-z0-9.-]{0,251}[A-Za-z0-9])?|\[[0-9A-Fa-f:.]{2,45}\])(?::[0-9]{1,5})?", re.ASCII)


class Agent(msgspec.Struct, kw_only=True, frozen=True):
    """What runs. `entrypoint` is `module:Class`, the module's path counting from the root of the bundle."""

    type: str
    version: str
    runtime: str
    entrypoint: str


class Lifecycle(msgspec.Struct, kw_only=True, frozen=True):
    """`idle_timeout_s` None keeps the agent awake. `max_attempts` counts the runs of one message."""

    idle_timeout_s: float | None = 300.0
    turn_timeout_s: float = 1800.0
    max_attempts: int = 3
    durability: Literal["local", "replicated"] = "local"


class Resources(msgspec.Struct, kw_only=True, frozen=True):
    """What one process of the agent may use; `cpu` in cores."""

    memory_bytes: int = 512 * 1024 * 1024
    cpu: float = 1.0
    pids: int = 256


class Network(msgspec.Struct, kw_only=True, frozen=True):
    """Where the agent may connect to: "allow" everything, "deny" everything, or a list of `host[:port]`."""

    egress: str | list[str] = "allow"


class Manifest(msgspec.Struct, kw_only=True, frozen=True):
    """A whole `podium.toml`. `config` are the defaults under runtime and per-instance configuration."""

    agent: Agent
    lifecycle: Lifecycle = Lifecycle()
    resources: Resources = Resources()
    network: Network = Network()
    config: dict[str, Any] = {}


def parse_manifest(content: bytes) -> Manifest:
    """Read a `podium.toml`. InvalidBundle names the key, what is wrong with it and an example; UnsupportedRuntime."""
    tables = _tables(content)
    if "agent" not in tables:
        raise InvalidBundle(f"{NAME} has no [agent] table: it needs one with type, version, runtime and entrypoint")
    config = tables.get("config", {})
    Table("config", config)
    checked_config(config)
    return Manifest(
        agent=_agent(Table("agent", tables["agent"])),
        lifecycle=_lifecycle(Table("lifecycle", tables.get("lifecycle", {}))),
        resources=_resources(Table("resources", tables.get("resources", {}))),
        network=_network(Table("network", tables.get("network", {}))),
        config=config,
    )


def _tables(content: bytes) -> dict[str, Any]:
    if len(content) > MAX_BYTES:
        raise InvalidBundle(f"{NAME} has {len(content)} bytes; {MAX_BYTES} are allowed: move data into files of its own")
    try:
        tables = tomllib.loads(content.decode("utf-8"))
    except (ValueError, RecursionError) as error:
        reason = "it nests too deep" if isinstance(error, RecursionError) else error
        raise InvalidBundle(f"{NAME} is not valid TOML: {reason}") from None
    for name in tables:
        if name not in _TABLES:
            raise InvalidBundle(
                f"{NAME} has no table {name[:80]!r}; it knows {', '.join(_TABLES)}. Values of your own go into [config]"
            )
    return tables


def _agent(table: Table) -> Agent:
    runtime = table.take("runtime", text(_RUNTIME), '"python" or "typescript"', '"python"')
    if runtime == "typescript":
        raise UnsupportedRuntime(f'{NAME}: agent.runtime "typescript" is not supported yet: write the agent in Python')
    agent = Agent(
        type=table.take("type", text(AGENT_TYPE), "small letters, digits and hyphens, a letter first, at most 63", '"notes"'),
        version=table.take("version", _version, "a SemVer 2.0 version", '"1.0.0"'),
        runtime=runtime,
        entrypoint=table.take("entrypoint", text(_ENTRYPOINT), "module:Class", '"notes.agent:NotesAgent"'),
    )
    table.finish(Agent.__struct_fields__)
    return agent


def _lifecycle(table: Table) -> Lifecycle:
    unset = Lifecycle()
    idle = table.take("idle_timeout", _idle, 'a duration as text, or "never"', '"5m"', (unset.idle_timeout_s,))
    lifecycle = Lifecycle(
        idle_timeout_s=idle[0],
        turn_timeout_s=table.take("turn_timeout", _turn, "a duration as text, at most 30d", '"30m"', unset.turn_timeout_s),
        max_attempts=table.take("max_attempts", whole(1, 100), "a whole number from 1 to 100", "3", unset.max_attempts),
        durability=_durability(
            table.take("durability", text(_DURABILITY), '"local" or "replicated"', '"local"', unset.durability)
        ),
    )
    table.finish(("idle_timeout", "turn_timeout", "max_attempts", "durability"))
    return lifecycle


def _resources(table: Table) -> Resources:
    unset = Resources()
    resources = Resources(
        memory_bytes=table.take("memory", _memory, "a size as text, at least 32MiB", '"512MiB"', unset.memory_bytes),
        cpu=table.take("cpu", number(0, 1024), "a number of cores above 0", "1.0", unset.cpu),
        pids=table.take("pids", whole(1, 32768), "a whole number from 1 to 32768", "256", unset.pids),
    )
    table.finish(("memory", "cpu", "pids"))
    return resources


def _network(table: Table) -> Network:
    expected = f'"allow", "deny" or a list of at most {MAX_EGRESS_RULES} host[:port]'
    egress = table.take("egress", _egress, expected, '["api.example.com:443"]', Network().egress)
    table.finish(Network.__struct_fields__)
    return Network(egress=cast(str | list[str], egress))


def _version(value: Any) -> str:
    if len(text(VERSION)(value)) > MAX_VERSION_CHARS:
        raise ValueError
    return str(value)


def _idle(value: Any) -> tuple[float | None]:
    return (duration_or_never_s(value),)


def _turn(value: Any) -> float:
    seconds = duration_s(value)
    if seconds > MAX_TURN_S:
        raise ValueError
    return seconds


def _durability(value: str) -> Literal["local", "replicated"]:
    return "replicated" if value == "replicated" else "local"


def _memory(value: Any) -> int:
    size = size_bytes(value)
    if size < MIN_MEMORY_BYTES:
        raise ValueError
    return size


def _egress(value: Any) -> str | list[str]:
    if value in ("allow", "deny"):
        return str(value)
    if not isinstance(value, list) or len(value) > MAX_EGRESS_RULES:
        raise ValueError
    return [_rule(rule) for rule in value]


def _rule(value: Any) -> str:
    rule = text(_HOST)(value)
    port = rule.rpartition("]")[2].rpartition(":")
    if port[1] and not 0 < int(port[2]) < 65536:
        raise ValueError
    return rule
