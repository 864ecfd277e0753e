"""Deploy, create, talk, look, sleep, wake, delete: through the gateway, with real parts."""

import asyncio
import json
import os
import stat
from pathlib import Path

import httpx
import pytest

from podium.client import AsyncPodium
from podium.protocol.api import LogRecord
from podium.protocol.errors import IdempotencyMismatch, InstanceExists, NotFound, TurnFailed
from podium.protocol.events import Event
from tests.support.platform import AGENTS, EXAMPLES, Platform, deploy, until

pytestmark = pytest.mark.asyncio(loop_scope="module")


async def test_a_message_is_answered_and_counted(client: AsyncPodium, agent: str) -> None:
    first = await client.send(agent, "echo one")
    second = await client.send(agent, "echo two")
    assert (first.text, first.checkpoint, second.text, second.checkpoint) == ("one", 1, "two", 2)
    document = await client.state(agent)
    assert document.state["words"] == ["one", "two"]
    assert document.checkpoint == 2


async def test_a_stream_starts_and_ends_with_its_message(client: AsyncPodium, agent: str) -> None:
    frames = [frame async for frame in client.stream(agent, "tokens 5 0")]
    events = [frame for frame in frames if isinstance(frame, Event)]
    assert [event.event_type for event in events] == ["stream_start", *["update"] * 6, "complete"]
    assert "".join(event.content["text"] for event in events[1:-1]) == "0 1 2 3 4 end"
    assert [event.seq for event in events] == list(range(events[0].seq, events[0].seq + 8))


async def test_the_same_id_runs_once_and_another_body_is_refused(client: AsyncPodium, agent: str) -> None:
    replies = await asyncio.gather(*(client.send(agent, "echo once", message_id="only") for _ in range(5)))
    assert {reply.checkpoint for reply in replies} == {1}
    with pytest.raises(IdempotencyMismatch):
        await client.send(agent, "echo twice", message_id="only")
    assert (await client.state(agent)).state["count"] == 1
    again = [frame async for frame in client.stream(agent, "echo once", message_id="only")]
    assert isinstance(again[-1], Event)
    assert again[-1].content["checkpoint"] == 1


async def test_a_hook_that_raises_is_run_again_in_a_new_process(client: AsyncPodium, agent: str) -> None:
    frames = [frame async for frame in client.stream(agent, "fail 2")]
    kinds = [frame.event_type for frame in frames if isinstance(frame, Event)]
    assert kinds.count("attempt_failed") == 2
    assert kinds[-1] == "complete"
    document = (await client.state(agent)).state
    assert (document["count"], document["words"]) == (1, ["2"])
    rows = json.loads((await client.send(agent, "rows", message_id="look")).text)
    assert rows == [[frames[0].message_id, 3], ["look", 1]]


async def test_a_message_that_cannot_be_processed_is_given_up_and_the_inbox_goes_on(client: AsyncPodium, agent: str) -> None:
    doomed = asyncio.create_task(client.send(agent, "die 99", message_id="doomed"))
    with pytest.raises(TurnFailed, match="code 7"):
        await doomed
    assert (await client.send(agent, "echo next")).text == "next"
    status = await client.message(agent, "doomed")
    assert (status.status, status.attempts) == ("failed", 3)
    assert (await client.state(agent)).state["words"] == ["next"]
    instance = await client.instance(agent)
    assert instance.last_exit
    assert instance.last_exit.code == 7
    assert any("last words" in line for line in instance.last_exit.log)


async def test_an_agent_that_takes_too_much_memory_is_told_apart(client: AsyncPodium, agent: str) -> None:
    frames = [frame async for frame in client.stream(agent, "eat 4096")]
    failed = [frame.content for frame in frames if isinstance(frame, Event) and frame.event_type == "attempt_failed"]
    assert [(content["outcome"], content["code"]) for content in failed] == [("oom", "out_of_memory")]
    instance = await client.instance(agent)
    assert instance.last_exit
    assert instance.last_exit.oom
    assert "MemoryError" in instance.last_exit.reason
    assert {"prepare", "queue", "mount", "launch", "agent", "agent.load", "agent.init"} <= instance.startup_ms.keys()


async def test_sleep_and_wake_keep_everything(client: AsyncPodium, agent: str, platform: Platform) -> None:
    await client.send(agent, "write note.txt kept")
    assert (await client.hibernate(agent)).status == "hibernated"
    with pytest.raises(LookupError):
        platform.agent(agent)
    assert (await client.state(agent)).state["slept"] == 1
    assert (await client.file(agent, "note.txt")) == b"kept"
    assert (await client.instance(agent)).status == "hibernated"
    assert (await client.send(agent, "echo awake")).text == "awake"
    assert (await client.hibernate(agent)).status == "hibernated"
    assert (await client.wake(agent)).status == "ready"


async def test_idle_agents_fall_asleep_by_themselves(client: AsyncPodium, tmp_path: Path) -> None:
    source = tmp_path / "sleepy"
    source.mkdir()
    for file in (AGENTS / "probe").iterdir():
        text = (
            file.read_text()
            .replace('idle_timeout = "never"', 'idle_timeout = "200ms"')
            .replace('type = "probe"', 'type = "sleepy"')
        )
        (source / file.name).write_text(text)
    instance = await client.create(await deploy(client, source, tmp_path))
    await client.send(instance.instance_id, "echo x")

    async def asleep() -> bool:
        return (await client.instance(instance.instance_id)).status == "hibernated"

    await until(asleep)
    assert (await client.send(instance.instance_id, "echo y")).checkpoint > 1
    await client.delete(instance.instance_id)


async def test_an_agent_sees_nothing_of_the_platform(client: AsyncPodium, agent: str, platform: Platform) -> None:
    seen = json.loads((await client.send(agent, "look")).text)
    assert set(seen["env"]) <= {
        "PATH", "LANG", "HOME", "TZ", "LC_CTYPE", "AGENT_ID", "AGENT_LAUNCH_ID", "AGENT_IPC_SOCKET", "AGENT_WORKSPACE",
        "AGENT_BUNDLE", "AGENT_ENTRYPOINT",
    }  # fmt: skip
    assert platform.key not in json.dumps(seen)
    assert seen["config"] == {"greeting": "hello"}
    if os.getuid() == 0:
        assert seen["uid"] >= 1_048_576
        assert seen["groups"] == []
        for path in (platform.data / "keys", platform.data / "objects", platform.data / "instances" / agent / "db" / "state.db"):
            assert (await client.send(agent, f"read {path}")).text == "PermissionError"
    else:
        print("NOT CHECKED without root: agents have no uid of their own")


async def test_secret_files_are_for_the_platform_alone(platform: Platform, agent: str) -> None:
    assert stat.S_IMODE(platform.data.stat().st_mode) == 0o711
    for name in ("keys", "objects"):
        assert stat.S_IMODE((platform.data / name).stat().st_mode) == 0o700
    files = [file for folder in (platform.data, platform.data / "keys") for file in folder.iterdir() if file.is_file()]
    assert {"host.db", "coordinator_id", "admin_api_key", "secrets_key"} <= {file.name for file in files}
    assert [file.name for file in files if stat.S_IMODE(file.stat().st_mode) != 0o600] == []
    assert (platform.data / "instances" / agent / "ipc.sock").is_symlink()


async def test_logs_hold_what_was_printed_and_logged(client: AsyncPodium, agent: str) -> None:
    await client.send(agent, "say words")

    async def logged() -> bool:
        messages = [record.message for record in (await client.logs(agent)).items]
        return "words" in messages and "logged words" in messages

    await until(logged)


async def test_logs_are_followed_over_sleep_without_waking(client: AsyncPodium, agent: str) -> None:
    seen: list[LogRecord] = []

    async def follow() -> None:
        async for record in client.follow_logs(agent, level="info"):
            seen.append(record)

    following = asyncio.create_task(follow())
    for n in range(3):
        await client.send(agent, f"say words {n}")
        await client.hibernate(agent)
        await until(lambda n=n: f"words {n}" in [record.message for record in seen])
        assert (await client.instance(agent)).status == "hibernated"
    following.cancel()
    assert [record.message for record in seen if record.message.startswith("words")] == ["words 0", "words 1", "words 2"]
    assert [record.id for record in seen] == [record.id for record in (await client.logs(agent, limit=1000)).items]


async def test_bad_questions_for_logs_are_refused(client: AsyncPodium, agent: str, platform: Platform) -> None:
    url = f"{platform.url}/api/v1/instances/{agent}/logs"
    async with httpx.AsyncClient(headers={"authorization": f"Bearer {platform.key}"}) as http:
        for query, header in (
            ("follow=yes", ""),
            ("follow=true&after=x", ""),
            ("follow=true&level=loud", ""),
            ("follow=true", "1.5"),
        ):
            answer = await http.get(f"{url}?{query}", headers={"last-event-id": header} if header else {})
            assert (answer.status_code, answer.json()["code"]) == (400, "invalid_request"), query


async def test_files_are_listed_and_read_without_leaving_the_workspace(
    client: AsyncPodium, agent: str, platform: Platform
) -> None:
    await client.send(agent, "write a.txt hello")
    names = {entry.path: entry.kind for entry in await client.files(agent)}
    assert names["a.txt"] == "file"
    async with httpx.AsyncClient(headers={"authorization": f"Bearer {platform.key}"}) as http:
        for path in ("..%2f..%2fdb%2fstate.db", "%2fetc%2fpasswd", "a%00b"):
            answer = await http.get(f"{platform.url}/api/v1/instances/{agent}/files/{path}")
            assert answer.status_code in (400, 404), path


async def test_events_resume_at_a_cursor(client: AsyncPodium, agent: str) -> None:
    await client.send(agent, "tokens 3 0")
    everything = await _events(client, agent, None, "complete")
    cut = everything[3].cursor
    rest = await _events(client, agent, str(cut), "complete")
    assert [event.seq for event in rest] == [event.seq for event in everything[4:]]


async def _events(client: AsyncPodium, agent: str, after: str | None, last: str) -> list[Event]:
    found: list[Event] = []
    async for frame in client.events(agent, after=after):
        if isinstance(frame, Event):
            found.append(frame)
            if frame.event_type == last:
                break
    return found


async def test_an_instance_is_created_once_and_can_live_again(client: AsyncPodium, tmp_path: Path) -> None:
    deployment = await deploy(client, EXAMPLES / "counter", tmp_path)
    await client.create(deployment, agent_id="twice")
    with pytest.raises(InstanceExists):
        await client.create("counter", agent_id="twice")
    assert (await client.send("twice", "x")).text == "You have sent 1 messages."
    epoch = (await client.instance("twice")).epoch
    await client.delete("twice")
    await client.delete("twice")
    with pytest.raises(NotFound):
        await client.instance("twice")
    await client.create("counter:1.0.0", agent_id="twice")
    assert (await client.send("twice", "x")).text == "You have sent 1 messages."
    assert (await client.instance("twice")).epoch == epoch + 1
    await client.delete("twice")


async def test_the_notes_example_keeps_notes(client: AsyncPodium, tmp_path: Path) -> None:
    instance = (await client.create(await deploy(client, EXAMPLES / "notes", tmp_path))).instance_id
    await client.send(instance, "add buy milk")
    await client.send(instance, "add call Ada")
    assert "buy milk" in (await client.send(instance, "list")).text
    await client.send(instance, "export")
    assert b"call Ada" in await client.file(instance, "notes.md")
    await client.delete(instance)


async def test_what_is_not_built_says_so(platform: Platform, agent: str) -> None:
    async with httpx.AsyncClient(base_url=platform.url, headers={"authorization": f"Bearer {platform.key}"}) as http:
        for method, path in (("POST", f"/api/v1/instances/{agent}/fork"), ("GET", "/api/v1/keys")):
            answer = await http.request(method, path)
            assert (answer.status_code, answer.json()["code"]) == (501, "not_available"), path


async def test_strangers_are_refused(platform: Platform, agent: str) -> None:
    coordinator = platform.part("coordinator").net_connections("tcp")
    port = next(c.laddr.port for c in coordinator if c.status == "LISTEN" and str(c.laddr.port) not in platform.url)
    async with httpx.AsyncClient() as http:
        bad = await http.get(f"{platform.url}/api/v1/instances", headers={"authorization": "Bearer pod_admin_no"})
        assert (bad.status_code, bad.json()["code"]) == (401, "unauthorized")
        for path in (f"/api/v1/instances/{agent}", "/admin/status"):
            unsigned = await http.get(f"http://127.0.0.1:{port}{path}", headers={"x-podium-caller": "x.y"})
            assert (unsigned.status_code, unsigned.json()["code"]) == (401, "unauthorized")


async def test_a_message_that_meets_an_agent_falling_asleep_is_answered(client: AsyncPodium, agent: str) -> None:
    for n in range(15):
        _, reply = await asyncio.gather(client.hibernate(agent, wait_s=0), client.send(agent, f"echo {n}", wait_s=20))
        assert reply.text == str(n)
    assert (await client.state(agent)).state["words"] == [str(n) for n in range(15)]
