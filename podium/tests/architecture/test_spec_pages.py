"""The pages of the shared language say what the code does."""

import ast
import re
from pathlib import Path
from typing import Any, get_args

import msgspec
import pytest

from podium.agent import connection, outbox
from podium.coordinator import elements, link
from podium.coordinator.sse import HEARTBEAT_S
from podium.protocol import frames, framing, messages
from podium.protocol.events import Event, Frame, Pong, Receipt, encoded
from podium.protocol.forms import SSE
from podium.state.port import Outcome

ROOT = Path(__file__).parents[3]
SOURCE = ROOT / "podium" / "src" / "podium"
IPC = (ROOT / "spec" / "ipc.md").read_text()
EVENTS = (ROOT / "spec" / "events.md").read_text()
Row = list[str]


def rows(page: str, heading: str) -> list[Row]:
    """Cells of the first table below a heading of that name, without its head."""
    section = page.split(f"## {heading}\n", 1)[1].split("\n## ", 1)[0]
    lines = [line for line in section.splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines[2:]]


def quoted(text: str) -> set[str]:
    return set(re.findall(r"`([^`]+)`", text))


def only(cell: str) -> str:
    [name] = quoted(cell)
    return name


# ---- ipc.md


@pytest.mark.parametrize(("heading", "frames"), [("To the agent", messages.ToAgent), ("From the agent", messages.FromAgent)])
def test_every_message_and_its_members_are_on_the_page(heading: str, frames: Any) -> None:
    described = {only(kind): quoted(members) for kind, members, _ in rows(IPC, heading)}
    coded = {struct.__struct_config__.tag: set(struct.__struct_fields__) for struct in get_args(frames)}
    assert set(described) == set(coded)
    for tag, fields in coded.items():
        assert fields <= described[tag], tag


def test_what_lies_inside_a_message_is_on_its_row() -> None:
    [members] = [quoted(members) for kind, members, _ in rows(IPC, "To the agent") if kind == "`message`"]
    assert {*messages.MessageData.__struct_fields__, *messages.Origin.__struct_fields__} <= members


def test_what_has_a_number_or_an_id_is_said_rightly() -> None:
    assert "All of these but `hello`, `ack` and `pong` carry `n`" in IPC
    numbered = {struct for struct in get_args(messages.FromAgent) if "n" in struct.__struct_fields__}
    assert set(get_args(messages.FromAgent)) - numbered == {messages.AckId, messages.Pong}
    assert "All of these but `ack` and `ping` carry `id`" in IPC
    named = {struct for struct in get_args(messages.ToAgent) if "id" in struct.__struct_fields__}
    assert set(get_args(messages.ToAgent)) - named == {messages.AckN, messages.Ping}


def test_the_version_and_the_names_of_hooks_are_on_the_page() -> None:
    assert f"this is version {messages.PROTOCOL}." in IPC
    assert {messages.HOOK_INIT, messages.HOOK_IDLE, messages.HOOK_SHUTDOWN} <= quoted(IPC)


def test_the_limits_are_those_of_the_code() -> None:
    limits = {what: limit for what, limit, _ in rows(IPC, "Limits")}
    assert limits == {
        "a frame": f"{framing.MAX_FRAME_BYTES} bytes",
        "held by the coordinator and not yet stored": f"{link.MAX_HELD_FRAMES} frames, {link.MAX_HELD_BYTES} bytes",
        "kept by the agent and not yet acknowledged": f"{outbox.MAX_FRAMES} frames, {outbox.MAX_BYTES} bytes",
        "sent to the agent and not acknowledged by it": f"{link.MAX_UNHEARD_BYTES} bytes",
        "ids of frames an agent remembers": f"{connection.KNOWN_IDS}",
        "without a coordinator": f"{connection.GIVE_UP_S:g} s",
    }
    assert f"nothing for {link.HELLO_TIMEOUT_S:g} s" in IPC
    assert f"At most {link.MAX_STRANGERS} connections" in IPC
    assert f"after {link.ACK_AFTER_FRAMES} frames or {link.ACK_AFTER_BYTES} bytes, or {link.ACK_AFTER_S * 1000:g} ms later" in IPC


def test_the_environment_of_an_agent_is_on_the_page() -> None:
    described = {only(variable) for variable, _ in rows(IPC, "The environment of an agent")}
    start = (SOURCE / "coordinator" / "start.py").read_text()
    given = set(re.findall(r'"([A-Z][A-Z_]+)": ', start))
    assert described == {name for name in given if name.startswith("AGENT_")}
    assert given <= quoted(IPC)
    assert described >= set(re.findall(r'"(AGENT_\w+)"', (SOURCE / "agent" / "runtime.py").read_text()))


# ---- events.md


def table() -> list[Row]:
    return rows(EVENTS, "From elements of the agent")


def test_every_element_and_phase_is_on_the_page_and_no_other() -> None:
    described = [(only(kind), only(phase) if phase else None) for kind, phase, _, _ in table()]
    phased = [(kind, phase) for kind, phases in elements._PHASED.items() for phase in phases]
    assert sorted(described, key=str) == sorted([*phased, *((kind, None) for kind in elements._PLAIN)], key=str)


def test_each_becomes_the_event_the_page_says() -> None:
    first = dict[str, str]()
    for kind, phase, event_type, _ in table():
        element = {"type": only(kind)} | ({"phase": only(phase)} if phase else {})
        assert elements.to_event(element)[0] == only(event_type)
        first.setdefault(only(kind), only(event_type))
    for name, event_type in first.items():
        assert elements.to_event({"type": name})[0] == event_type, "a missing phase is the first one listed"
    assert elements.to_event({"type": "custom", "name": "x"})[0] == "custom_x"
    assert f"[a-z][a-z0-9_]{{0,{elements.MAX_CUSTOM_NAME_CHARS - 1}}}" in quoted(EVENTS)


def test_what_the_sdk_sends_is_on_the_page() -> None:
    """The members of each element, as they stand in the calls that send them."""
    described = dict[str, set[str]]()
    for kind, _, _, content in table():
        described.setdefault(only(kind), set()).update(quoted(content))
    sent = 0
    for node in ast.walk(ast.parse((SOURCE / "agent" / "elements.py").read_text())):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "_element":
            [name] = [argument.value for argument in node.args if isinstance(argument, ast.Constant)]
            members = {keyword.arg for keyword in node.keywords if keyword.arg} - {"phase"}
            if name != "custom":
                assert members <= described[str(name)], name
            sent += 1
    assert sent >= len(described) - 2  # text goes another way


def test_every_event_of_the_platform_is_on_the_page() -> None:
    described = {only(event_type) for event_type, _, _ in rows(EVENTS, "From the platform")}
    logged = set[str]()
    for module in (SOURCE / "state").glob("*.py"):
        logged |= set(re.findall(r'NewEvent\("(\w+)"', module.read_text()))
    assert described == logged
    assert quoted(EVENTS) >= set(get_args(Outcome)) - {"complete", "stopped"}


def test_the_example_is_what_is_sent() -> None:
    example = EVENTS.split("```")[1].strip()
    event = msgspec.json.decode(example.split("data: ", 1)[1], type=Event)
    assert SSE.event(encoded(event)).decode().strip() == example


def test_frames_without_a_number_are_on_the_page() -> None:
    described = {only(kind): quoted(members) for kind, members, _ in rows(EVENTS, "As server-sent events")}
    coded = {struct.__struct_config__.tag: set(struct.__struct_fields__) for struct in get_args(Frame) if struct is not Event}
    assert described == coded
    assert set(Event.__struct_fields__) <= quoted(EVENTS)
    assert f"every {HEARTBEAT_S:g} s" in EVENTS


def test_frames_over_a_websocket_are_on_the_page() -> None:
    table = rows(EVENTS, "Over a WebSocket")
    described = {only(kind): quoted(members) for kind, members, *_ in table if quoted(kind)}
    given = {struct.__struct_config__.tag: {*struct.__struct_fields__} for struct in get_args(frames.ClientFrame)}
    for kind, members in given.items():
        assert "id" in members
        inner = {*frames.MessageContent.__struct_fields__} if kind == "process_message" else set[str]()
        assert described[kind] == members - {"id"} | inner
    answers = {struct.__struct_config__.tag: {*struct.__struct_fields__} for struct in (Receipt, Pong)}
    assert {kind: described[kind] - {"rejected"} for kind in answers} == answers


def test_every_page_is_in_the_list_of_pages() -> None:
    listed = (ROOT / "spec" / "README.md").read_text()
    for path in (ROOT / "spec").iterdir():
        assert path.name == "README.md" or path.name in listed
