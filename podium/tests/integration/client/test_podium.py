"""Each method against real HTTP: what it sends, what it makes of the answer."""

import email
import email.policy
from pathlib import Path

import msgspec
import pytest

from podium.client import AsyncPodium, NotConfigured, Unreachable
from podium.client.pack import pack
from podium.protocol import api, errors
from tests.support.gateway_double import KEY, Answer, GatewayDouble, Received, json_answer, problem
from tests.support.samples import DEPLOYMENT, NOW, REPLY, instance, message

INSTANCE = "/api/v1/instances/a1"
MESSAGES = f"{INSTANCE}/messages"


def body(request: Received) -> dict[str, object]:
    return msgspec.json.decode(request.body)


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    tree = tmp_path / "tree"
    tree.mkdir()
    (tree / "podium.toml").write_text('[agent]\ntype = "notes"\nversion = "1.0.0"\n')
    pack(tree, tmp_path / "notes.tar.gz")
    return tmp_path / "notes.tar.gz"


async def test_the_key_goes_with_every_request(double: GatewayDouble, podium: AsyncPodium) -> None:
    double.on("GET", "/health", json_answer({"status": "ok"}))
    assert (await podium.health()).status == "ok"
    assert double.requests[0].headers["authorization"] == f"Bearer {KEY}"


async def test_ready_tells_what_is_missing(double: GatewayDouble, podium: AsyncPodium) -> None:
    double.on("GET", "/ready", json_answer({"status": "unready", "checks": {"valkey": "refused"}}, 503))
    health, ready = await podium.ready()
    assert (health.checks, ready) == ({"valkey": "refused"}, False)
    assert len(double.requests) == 1


async def test_deploy_sends_the_same_bytes_at_each_attempt(double: GatewayDouble, podium: AsyncPodium, bundle: Path) -> None:
    busy = problem(errors.Unavailable("restarting"))
    double.on("POST", "/api/v1/deployments", busy, json_answer(DEPLOYMENT, 201))
    told: list[tuple[int, int]] = []
    assert await podium.deploy(bundle, progress=lambda done, total: told.append((done, total))) == DEPLOYMENT
    first, second = double.requests
    assert first.body == second.body
    assert first.headers["idempotency-key"] == second.headers["idempotency-key"]
    assert told[-1] == (bundle.stat().st_size, bundle.stat().st_size)
    head = f"Content-Type: {second.headers['content-type']}\r\n\r\n".encode()
    form = email.message_from_bytes(head + second.body, policy=email.policy.HTTP)
    parts = {part.get_param("name", header="content-disposition"): part.get_payload(decode=True) for part in form.iter_parts()}
    assert parts == {"file": bundle.read_bytes(), "agent_type": b"notes", "version": b"1.0.0"}


async def test_another_bundle_under_a_version_is_refused(double: GatewayDouble, podium: AsyncPodium, bundle: Path) -> None:
    double.on("POST", "/api/v1/deployments", problem(errors.VersionExists("notes 1.0.0 is deployed with other bytes")))
    with pytest.raises(errors.VersionExists, match="other bytes"):
        await podium.deploy(bundle)
    assert len(double.requests) == 1


async def test_lists_are_read_to_their_end(double: GatewayDouble, podium: AsyncPodium) -> None:
    second = msgspec.structs.replace(DEPLOYMENT, version="1.0.1")
    double.on(
        "GET", "/api/v1/deployments",
        json_answer({"items": [DEPLOYMENT], "next_cursor": "c1"}), json_answer({"items": [second], "next_cursor": None}),
    )  # fmt: skip
    assert await podium.deployments() == [DEPLOYMENT, second]
    assert [request.query.get("cursor") for request in double.requests] == [None, ["c1"]]


async def test_a_list_that_goes_in_a_circle_is_an_error(double: GatewayDouble, podium: AsyncPodium) -> None:
    double.on("GET", "/api/v1/instances", json_answer({"items": [], "next_cursor": "c1"}))
    with pytest.raises(errors.InternalError, match="circle"):
        await podium.instances()


async def test_create_is_repeated_under_one_key(double: GatewayDouble, podium: AsyncPodium) -> None:
    double.on(
        "POST",
        "/api/v1/instances",
        Answer(cut_after=0),
        problem(errors.TooMany("wait"), retry_after="0"),
        json_answer(instance(), 201),
    )
    assert (await podium.create("notes", agent_id="a1", labels={"team": "x"})).instance_id == "a1"
    assert len({request.headers["idempotency-key"] for request in double.requests}) == 1
    sent = body(double.requests[-1])
    assert (sent["deployment_id"], sent["agent_id"], sent["labels"]) == ("notes", "a1", {"team": "x"})
    msgspec.json.decode(double.requests[-1].body, type=api.CreateInstance)


async def test_filters_and_deletion(double: GatewayDouble, podium: AsyncPodium) -> None:
    double.on("GET", "/api/v1/instances", json_answer({"items": [instance()]}))
    double.on("DELETE", INSTANCE, Answer(204))
    assert await podium.instances(agent_type="notes", status="ready", labels=["a=b", "c=d"]) == [instance()]
    assert double.requests[0].query == {"agent_type": ["notes"], "status": ["ready"], "label": ["a=b", "c=d"]}
    await podium.delete("a1")


async def test_sleep_is_waited_for(double: GatewayDouble, podium: AsyncPodium) -> None:
    double.on("POST", f"{INSTANCE}/hibernate", json_answer(instance("scaling_down")))
    double.on("GET", INSTANCE, json_answer(instance("shutting_down")), json_answer(instance("hibernated")))
    assert (await podium.hibernate("a1")).status == "hibernated"


async def test_waking_gives_up_with_the_instance_as_it_stands(double: GatewayDouble, podium: AsyncPodium) -> None:
    double.on("POST", f"{INSTANCE}/wake", json_answer(instance("initializing")))
    assert (await podium.wake("a1", wait_s=0)).status == "initializing"
    double.on("POST", f"{INSTANCE}/wake", json_answer(instance("failed")))
    assert (await podium.wake("a1")).status == "failed"
    double.on("POST", f"{INSTANCE}/wake", problem(errors.InstanceFailed("it cannot be imported")))
    with pytest.raises(errors.InstanceFailed, match="imported"):
        await podium.wake("a1")


async def test_a_reply_that_comes_at_once(double: GatewayDouble, podium: AsyncPodium) -> None:
    double.on("POST", MESSAGES, json_answer(REPLY))
    assert await podium.send("a1", "hello", message_id="m") == REPLY
    request = double.requests[0]
    assert (request.headers["idempotency-key"], body(request)["id"], request.query["wait"]) == ("m", "m", ["50.0"])
    msgspec.json.decode(request.body, type=api.SendMessage)


async def test_messages_without_an_id_get_one_each(double: GatewayDouble, podium: AsyncPodium) -> None:
    double.on("POST", MESSAGES, json_answer(REPLY))
    await podium.send("a1", "hello")
    await podium.send("a1", "hello")
    ids = [str(body(request)["id"]) for request in double.requests]
    assert len(set(ids)) == 2
    assert all(name.startswith("msg_") for name in ids)


async def test_a_reply_that_takes_long_is_asked_for_again(double: GatewayDouble, podium: AsyncPodium) -> None:
    double.on("POST", MESSAGES, json_answer(message("queued"), 202, location=f"{MESSAGES}/m"))
    double.on(
        "GET", f"{MESSAGES}/m", json_answer(message("running")), Answer(cut_after=0),
        json_answer(message("complete", reply=REPLY)),
    )  # fmt: skip
    assert await podium.send("a1", "hello", message_id="m") == REPLY
    assert len(double.seen("POST", MESSAGES)) == 1
    assert len(double.seen("GET", f"{MESSAGES}/m")) == 3


async def test_a_wait_that_ends_says_how_to_go_on(double: GatewayDouble, podium: AsyncPodium) -> None:
    double.on("POST", MESSAGES, json_answer(message("queued"), 202))
    with pytest.raises(TimeoutError, match="message m has no reply yet"):
        await podium.send("a1", "hello", message_id="m", wait_s=0)


async def test_a_message_that_was_given_up(double: GatewayDouble, podium: AsyncPodium) -> None:
    failed = message("failed", error=api.MessageError(code="exception", message="ZeroDivisionError"))
    double.on("POST", MESSAGES, json_answer(message("queued"), 202), problem(errors.TurnFailed("it broke")))
    double.on("GET", f"{MESSAGES}/m", json_answer(failed))
    with pytest.raises(errors.TurnFailed, match="message m: ZeroDivisionError"):
        await podium.send("a1", "hello", message_id="m")
    with pytest.raises(errors.TurnFailed, match="it broke"):
        await podium.send("a1", "hello", message_id="m")


async def test_what_an_instance_holds(double: GatewayDouble, podium: AsyncPodium) -> None:
    entry = api.FileEntry(path="a b/ü.txt", kind="file", size_bytes=2, modified_at=NOW)
    record = api.LogRecord(id=1, at=NOW, level="info", source="agent", message="hello")
    double.on("GET", f"{INSTANCE}/state", json_answer(api.StateDocument(state={"n": 1}, checkpoint=3)))
    double.on("GET", f"{INSTANCE}/logs", json_answer({"items": [record], "next_cursor": "2"}))
    double.on("GET", f"{INSTANCE}/files", json_answer({"items": [entry]}))
    double.on("GET", f"{INSTANCE}/files/a b/ü.txt", Answer(body=b"hi"))
    assert (await podium.state("a1")).state == {"n": 1}
    assert (await podium.logs("a1", limit=5, level="info")).items == [record]
    assert await podium.files("a1", "a b") == [entry]
    assert await podium.file("a1", "a b/ü.txt") == b"hi"
    with pytest.raises(errors.TooLarge):
        await podium.file("a1", "a b/ü.txt", max_bytes=1)


@pytest.mark.parametrize("path", ["", "/etc/passwd", "../secrets", "a/../../b", "a//b"])
async def test_paths_that_leave_the_workspace_are_not_even_asked_for(
    double: GatewayDouble, podium: AsyncPodium, path: str
) -> None:
    with pytest.raises(errors.InvalidRequest):
        await podium.file("a1", path)
    with pytest.raises(errors.InvalidRequest):
        await podium.instance(f"a1/{path}")
    assert double.requests == []


async def test_errors_that_stay_are_raised_after_a_while(double: GatewayDouble) -> None:
    double.on("GET", INSTANCE, problem(errors.Unavailable("no coordinator")))
    async with AsyncPodium(double.url, KEY, retry_for_s=0.02) as podium:
        with pytest.raises(errors.Unavailable, match="no coordinator"):
            await podium.instance("a1")
    assert len(double.requests) > 1


async def test_a_bug_over_there_is_not_repeated(double: GatewayDouble, podium: AsyncPodium) -> None:
    double.on("GET", INSTANCE, problem(errors.InternalError("see the log")))
    with pytest.raises(errors.InternalError) as raised:
        await podium.instance("a1")
    assert raised.value.extra["request_id"] == "req_1"
    assert len(double.requests) == 1


async def test_an_answer_of_another_shape_is_an_error(double: GatewayDouble, podium: AsyncPodium) -> None:
    double.on("GET", INSTANCE, Answer(body=b"<html>"))
    with pytest.raises(errors.InternalError, match="not what this version"):
        await podium.instance("a1")


async def test_an_answer_that_breaks_off_is_asked_for_again(double: GatewayDouble, podium: AsyncPodium) -> None:
    whole = json_answer(instance())
    double.on("GET", INSTANCE, Answer(body=whole.body, headers=whole.headers, cut_after=10), whole)
    assert await podium.instance("a1") == instance()


@pytest.mark.parametrize("url", ["127.0.0.1:8090", "ftp://x", "http://", "", "http://x:99999999", "http://[x"])
async def test_urls_that_are_none(url: str) -> None:
    with pytest.raises(NotConfigured):
        AsyncPodium(url or " ", KEY)


@pytest.mark.parametrize("key", ["pod with space", "pod_\nx", "pöd", " "])
async def test_keys_that_are_none(key: str) -> None:
    with pytest.raises(NotConfigured):
        AsyncPodium("http://127.0.0.1:1", key)


async def test_unreachable_is_an_error_of_the_platforms_tree() -> None:
    assert issubclass(Unreachable, errors.PodiumError)
    assert Unreachable not in errors.by_code().values()


@pytest.mark.parametrize(
    ("verb", "arguments", "sent"),
    [
        ("steer", ({"go": "left"},), {"content": {"go": "left"}}),
        ("stop", (), {"message_id": None}),
        ("stop", ("m1",), {"message_id": "m1"}),
        ("answer", ("m1.1", True), {"request_id": "m1.1", "content": True}),
    ],
)
async def test_what_is_said_to_a_turn_is_said_once(
    double: GatewayDouble, podium: AsyncPodium, verb: str, arguments: tuple, sent: dict
) -> None:
    receipt = {"type": "receipt", "id": "r1", "disposition": "injected"}
    double.on("POST", f"{INSTANCE}/{verb}", problem(errors.Unavailable("restarting")), json_answer(receipt))
    assert (await getattr(podium, verb)("a1", *arguments, receipt_id="r1")).disposition == "injected"
    assert [request.headers["idempotency-key"] for request in double.requests] == ["r1", "r1"]
    assert body(double.requests[1]) == sent | {"id": None}


async def test_a_refusal_is_raised_by_its_code(double: GatewayDouble, podium: AsyncPodium) -> None:
    double.on("POST", f"{INSTANCE}/answer", problem(errors.QuestionClosed("too late")))
    with pytest.raises(errors.QuestionClosed):
        await podium.answer("a1", "m1.1", "yes")
