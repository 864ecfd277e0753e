"""Each command: what it asks, what it prints for people, what for programs."""

import io
import json
import signal
import subprocess
import sys
import tarfile
from pathlib import Path
from typing import Any

import msgspec
import pytest

from podium.client.pack import pack
from podium.coordinator.sse import record_frame
from podium.protocol import api, errors
from podium.protocol.events import Receipt
from tests.support.event_line import EventLine
from tests.support.gateway_double import KEY, Answer, GatewayDouble, Received, event_stream, json_answer, problem, stream
from tests.support.samples import DEPLOYMENT, NOW, REPLY, instance, message
from tests.unit.cli.conftest import Podium

INSTANCES = "/api/v1/instances"
INSTANCE = f"{INSTANCES}/a1"
MESSAGES = f"{INSTANCE}/messages"
DEPLOYMENTS = "/api/v1/deployments"


def page(*items: object) -> Answer:
    return json_answer({"items": items, "next_cursor": None})


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    root = tmp_path / "notes"
    (root / "__pycache__").mkdir(parents=True)
    (root / "podium.toml").write_text('[agent]\ntype = "notes"\nversion = "1.0.0"\n')
    (root / "agent.py").write_text("class Notes: ...\n")
    return root


class TestDeploy:
    def test_it_packs_uploads_and_says_what_it_left_out(self, podium: Podium, double: GatewayDouble, tree: Path) -> None:
        double.on("POST", DEPLOYMENTS, json_answer(DEPLOYMENT, 201))
        ran = podium("deploy", str(tree))
        assert (ran.code, ran.out) == (0, "deployed notes:1.0.0@01234567 (9 B)\n")
        assert "packed 2 files" in ran.err
        assert "left out __pycache__" in ran.err
        body = double.requests[0].body
        bundle = body[body.index(b"\x1f\x8b") :]
        with tarfile.open(fileobj=io.BytesIO(bundle), mode="r|gz") as archive:
            assert [member.name for member in archive] == ["agent.py", "podium.toml"]

    @pytest.mark.parametrize("where", ["before", "after"])
    def test_json_is_taken_before_and_after_the_name(self, podium: Podium, double: GatewayDouble, tree: Path, where: str) -> None:
        double.on("POST", DEPLOYMENTS, json_answer(DEPLOYMENT, 201))
        args = ["deploy", str(tree)]
        ran = podium(*(["--json", *args] if where == "before" else [*args, "--json"]))
        assert msgspec.convert(ran.json(), api.Deployment) == DEPLOYMENT
        assert ran.err == ""

    def test_a_version_that_is_taken_names_the_next_one(self, podium: Podium, double: GatewayDouble, tree: Path) -> None:
        taken = errors.VersionExists("notes 1.0.0 has other content: set agent.version to 1.0.1", next_version="1.0.1")
        double.on("POST", DEPLOYMENTS, problem(taken))
        ran = podium("deploy", str(tree))
        assert ran.code == 1
        assert ran.err.endswith("error: notes 1.0.0 has other content: set agent.version to 1.0.1 (version_exists)\n")
        assert json.loads(podium("deploy", str(tree), "--json").err)["next_version"] == "1.0.1"

    def test_a_packed_bundle_is_taken_as_it_is(self, podium: Podium, double: GatewayDouble, tree: Path, tmp_path: Path) -> None:
        pack(tree, tmp_path / "bundle.tar.gz")
        double.on("POST", DEPLOYMENTS, json_answer(DEPLOYMENT, 201))
        assert podium("deploy", str(tmp_path / "bundle.tar.gz")).code == 0
        assert (tmp_path / "bundle.tar.gz").read_bytes() in double.requests[0].body

    def test_a_directory_that_is_no_bundle(self, podium: Podium, double: GatewayDouble, tmp_path: Path) -> None:
        ran = podium("deploy", str(tmp_path))
        assert ran.code == 1
        assert "has no podium.toml" in ran.err
        assert double.requests == []


class TestInstances:
    def test_create(self, podium: Podium, double: GatewayDouble) -> None:
        double.on("POST", INSTANCES, json_answer(instance(labels={"team": "x"}), 201))
        ran = podium(
            "instances", "create", "notes", "--id", "a1", "--config", "depth=3", "--config", "model=big", "--label", "team=x",
            "--env", "TZ=UTC", "--json",
        )  # fmt: skip
        assert ran.json()["instance_id"] == "a1"
        sent = msgspec.json.decode(double.requests[0].body, type=api.CreateInstance)
        assert (sent.deployment_id, sent.agent_id, sent.config) == ("notes", "a1", {"depth": 3, "model": "big"})
        assert (sent.labels, sent.environment) == ({"team": "x"}, {"TZ": "UTC"})

    def test_a_pair_without_a_value(self, podium: Podium) -> None:
        ran = podium("instances", "create", "notes", "--label", "team")
        assert ran.code == 2
        assert "'team' is not of the form NAME=VALUE" in ran.err

    def test_list_for_people_and_programs(self, podium: Podium, double: GatewayDouble) -> None:
        double.on("GET", INSTANCES, page(instance()))
        ran = podium("instances", "list", "--status", "ready")
        assert ran.out.splitlines() == [
            "INSTANCE\tDEPLOYMENT\tSTATUS\tCREATED\tLABELS",
            "a1\tnotes:1.0.0@01234567\tready\t2026-01-01T00:00:00Z\t",
        ]
        assert double.requests[0].query == {"status": ["ready"]}
        assert podium("instances", "list", "--json").json()["items"][0]["instance_id"] == "a1"

    def test_get_shows_how_it_ended_last(self, podium: Podium, double: GatewayDouble) -> None:
        last = api.LastExit(at=NOW, reason="exit", signal=9, log=["Traceback", "boom"])
        double.on("GET", INSTANCE, json_answer(instance("failed", reason="it dies", last_exit=last, startup_ms={"spawn": 12.0})))
        out = podium("instances", "get", "a1").out
        assert "failed: it dies" in out
        assert "2026-01-01T00:00:00Z exit (signal 9)" in out
        assert "| boom" in " ".join(out.split())
        last = api.LastExit(at=NOW, reason="killed", signal=9, oom=True)
        double.on("GET", INSTANCE, json_answer(instance("failed", last_exit=last)))
        assert "killed (signal 9, out of memory)" in podium("instances", "get", "a1").out

    def test_delete(self, podium: Podium, double: GatewayDouble) -> None:
        double.on("DELETE", INSTANCE, Answer(204))
        assert podium("instances", "delete", "a1").out == "deleted a1\n"
        assert podium("instances", "delete", "a1", "--json").json()["status"] == "terminated"

    @pytest.mark.parametrize(("verb", "aim"), [("hibernate", "hibernated"), ("wake", "ready")])
    def test_lifecycle(self, podium: Podium, double: GatewayDouble, verb: str, aim: str) -> None:
        double.on("POST", f"{INSTANCE}/{verb}", json_answer(instance(aim)))
        assert podium("instances", verb, "a1", "--json").json()["status"] == aim
        double.on("POST", f"{INSTANCE}/{verb}", json_answer(instance("initializing", reason="busy")))
        double.on("GET", INSTANCE, json_answer(instance("initializing", reason="busy")))
        ran = podium("instances", verb, "a1", "--wait", "0.01")
        assert ran.code == 1
        assert "a1 is initializing (busy) after 0.01 s" in ran.err
        assert podium("instances", verb, "a1", "--wait", "0").code == 0
        double.on("POST", f"{INSTANCE}/{verb}", json_answer(instance("failed", reason="cannot be imported")))
        ran = podium("instances", verb, "a1")
        assert ran.code == 1
        assert ran.err == "error: a1 has failed: cannot be imported (instance_failed)\n"


class TestSend:
    def test_the_reply(self, podium: Podium, double: GatewayDouble) -> None:
        double.on("POST", MESSAGES, json_answer(REPLY))
        assert podium("send", "a1", "hello").out == "hi\n"
        assert podium("send", "a1", "hello", "--json", "--id", "m").json() == msgspec.to_builtins(REPLY)
        assert double.requests[-1].headers["idempotency-key"] == "m"

    def test_a_wait_that_ends(self, podium: Podium, double: GatewayDouble) -> None:
        double.on("POST", MESSAGES, json_answer(message("queued"), 202))
        ran = podium("send", "a1", "hello", "--id", "m", "--wait", "0")
        assert ran.code == 1
        assert ran.err.endswith("(timeout)\n")

    def test_the_stream_for_people(self, podium: Podium, double: GatewayDouble) -> None:
        line = EventLine()
        line.add("stream_start", "m")
        line.add("thinking_progress", "m", text="let me ")
        line.add("thinking_progress", "m", text="see")
        line.add("update", "m", text="half")
        line.add("attempt_failed", "m", first_seq=1, will_retry=True, message="it died")
        line.add("update", "m", text="who")
        line.add("update", "m", text="le", final=True)
        line.add("tool_call", "m", tool_name="search", arguments={"q": 1})
        line.add("update", "m", text="second")
        line.add("complete", "m", stop_reason="end_turn")
        double.on("POST", MESSAGES, stream(line.events))
        ran = podium("send", "a1", "hello", "--stream", "--id", "m")
        assert (ran.code, ran.out) == (0, "half\nwhole\nsecond\n")
        assert ran.err.splitlines() == [
            "thinking: let me see",
            "attempt 1 failed (it died); trying again",
            '→ search {"q":1}',
        ]

    def test_the_stream_for_programs(self, podium: Podium, double: GatewayDouble) -> None:
        line = EventLine()
        line.add("update", "m", text="hi")
        line.add("complete", "m")
        double.on("POST", MESSAGES, stream(line.events))
        ran = podium("send", "a1", "hello", "--stream", "--id", "m", "--json")
        assert [item["event_type"] for item in ran.lines()] == ["update", "complete"]
        assert {item["type"] for item in ran.lines()} == {"update"}

    @pytest.mark.parametrize("options", [[], ["--json"]])
    def test_a_message_that_is_given_up(self, podium: Podium, double: GatewayDouble, options: list[str]) -> None:
        line = EventLine()
        line.add("update", "m", text="half")
        line.add("error", "m", code="exception", message="ZeroDivisionError", retryable=False)
        double.on("POST", MESSAGES, stream(line.events))
        ran = podium("send", "a1", "hello", "--stream", "--id", "m", *options)
        assert ran.code == 1
        assert "ZeroDivisionError" in ran.err
        assert options or ran.out == "half\n"

    def test_a_stream_whose_end_is_no_longer_kept(self, podium: Podium, double: GatewayDouble) -> None:
        line = EventLine()
        line.add("update", "m", text="half")
        first = stream(line.events)
        line.add("update", "m", text="lost")
        line.add("update", "m", text="kept")
        line.keep_from(3)
        double.on("POST", MESSAGES, Answer(body=first.body, headers=first.headers, cut_after=len(first.body)))
        double.on("GET", f"{INSTANCE}/events", stream(line.after(line.events[0].cursor), open_end=True))
        double.on("GET", f"{MESSAGES}/m", json_answer(message("complete", reply=REPLY)))
        ran = podium("send", "a1", "hello", "--stream", "--id", "m")
        assert (ran.code, ran.out) == (0, "half\nhi\n")
        assert "no longer kept" in ran.err

    def test_stream_and_wait_exclude_each_other(self, podium: Podium) -> None:
        assert podium("send", "a1", "hello", "--stream", "--wait", "1").code == 2


class TestLooking:
    def test_deployments(self, podium: Podium, double: GatewayDouble) -> None:
        double.on("GET", DEPLOYMENTS, page(DEPLOYMENT))
        assert podium("deployments").out.splitlines()[1].startswith("notes:1.0.0@01234567\tpython\t9 B")
        assert podium("deployments", "--json").json()["items"][0]["version"] == "1.0.0"

    def test_logs(self, podium: Podium, double: GatewayDouble) -> None:
        double.on("GET", f"{INSTANCE}/logs", page(api.LogRecord(id=1, at=NOW, level="info", source="agent", message="hello")))
        assert podium("logs", "a1", "--limit", "5", "--level", "info").out == "2026-01-01T00:00:00Z info    agent    hello\n"
        assert double.requests[0].query == {"limit": ["5"], "level": ["info"]}
        assert podium("logs", "a1", "--json").json()["items"][0]["message"] == "hello"

    def test_logs_are_followed_until_an_error(self, podium: Podium, double: GatewayDouble) -> None:
        record = api.LogRecord(id=1, at=NOW, level="info", source="agent", message="hello")
        double.on("GET", f"{INSTANCE}/logs", event_stream(record_frame(record)), problem(errors.NotFound("deleted")))
        ran = podium("logs", "a1", "-f", "--limit", "5")
        assert (ran.code, ran.out) == (4, "2026-01-01T00:00:00Z info    agent    hello\n")
        assert [request.query for request in double.requests] == [
            {"follow": ["true"], "limit": ["5"]},
            {"follow": ["true"], "limit": ["5"], "after": ["1"]},
        ]
        double.on("GET", f"{INSTANCE}/logs", event_stream(record_frame(record)), problem(errors.NotFound("deleted")))
        assert [item["message"] for item in podium("logs", "a1", "--follow", "--json").lines()] == ["hello"]

    def test_events_go_on_until_an_error(self, podium: Podium, double: GatewayDouble) -> None:
        line = EventLine()
        line.add("update", "m", text="hi")
        double.on("GET", f"{INSTANCE}/events", stream(line.after(None)), problem(errors.NotFound("deleted")))
        ran = podium("events", "a1", "--after", "0.0")
        assert ran.code == 4
        assert ran.out.splitlines() == ["1.1  status: ready", '1.1  2026-01-01T00:00:00Z  m  update  {"text":"hi"}']
        double.on("GET", f"{INSTANCE}/events", stream(line.after(None)), problem(errors.NotFound("deleted")))
        assert [item["type"] for item in podium("events", "a1", "--json").lines()] == ["status", "update"]

    def test_status(self, podium: Podium, double: GatewayDouble) -> None:
        double.on("GET", "/health", json_answer(api.Health(status="ok")))
        double.on("GET", "/ready", json_answer(api.Health(status="ready", checks={"valkey": "ok"})))
        double.on("GET", "/api/v1/coordinators", problem(errors.Forbidden("admin only")))
        double.on("GET", DEPLOYMENTS, page(DEPLOYMENT))
        double.on("GET", INSTANCES, page(instance(), instance("hibernated")))
        found = podium("status", "--json").json()
        assert (found["coordinators"], found["deployments"]) == (None, 1)
        assert found["instances"] == {"ready": 1, "hibernated": 1}
        coordinator = api.CoordinatorStatus(coordinator_id="c1", url="http://c", load=1, capacity=9, draining=False)
        double.on("GET", "/api/v1/coordinators", page(coordinator))
        ran = podium("status")
        assert ran.code == 0
        assert "1 hibernated, 1 ready" in ran.out
        assert "c1\thttp://c\t1\t9\tno" in ran.out

    def test_status_of_a_platform_that_is_not_ready(self, podium: Podium, double: GatewayDouble) -> None:
        double.on("GET", "/health", json_answer(api.Health(status="ok")))
        double.on("GET", "/ready", json_answer(api.Health(status="unready", checks={"valkey": "refused"}), 503))
        ran = podium("status")
        assert ran.code == 1
        assert "unready (valkey refused)" in ran.out


class TestSteering:
    def test_each_says_what_became_of_it(self, podium: Podium, double: GatewayDouble) -> None:
        said = Receipt(id="r", disposition="injected")
        for verb in ("steer", "stop", "answer"):
            double.on("POST", f"{INSTANCE}/{verb}", json_answer(said))
        assert podium("steer", "a1", "go left").out == "injected\n"
        assert podium("stop", "a1", "--message", "m1", "--json").json()["disposition"] == "injected"
        podium("answer", "a1", "m1.1", "true")
        podium("answer", "a1", "m1.2", "not json")
        assert [msgspec.json.decode(request.body) for request in double.requests] == [
            {"content": "go left", "id": None},
            {"message_id": "m1", "id": None},
            {"request_id": "m1.1", "content": True, "id": None},
            {"request_id": "m1.2", "content": "not json", "id": None},
        ]

    def test_a_refusal_is_an_error(self, podium: Podium, double: GatewayDouble) -> None:
        double.on("POST", f"{INSTANCE}/stop", problem(errors.NoTurn("nothing to stop")))
        ran = podium("stop", "a1")
        assert (ran.code, ran.err) == (1, "error: nothing to stop (no_turn)\n")


class TestChat:
    def argv(self, double: GatewayDouble, *args: str) -> dict[str, Any]:
        env = {"PODIUM_URL": double.url, "PODIUM_API_KEY": KEY, "PYTHONUTF8": "1"}
        argv = [sys.executable, "-c", "from podium.cli.main import main; main()", *args]
        return {"args": argv, "env": env, "text": True}

    def run(self, double: GatewayDouble, text: str, *options: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(**self.argv(double, "chat", "a1", *options), input=text, capture_output=True, timeout=60)

    def test_line_by_line_over_a_failed_turn(self, double: GatewayDouble) -> None:
        double.on("GET", INSTANCE, json_answer(instance()))

        def answer(request: Received) -> Answer:
            body = msgspec.json.decode(request.body, type=api.SendMessage)
            line = EventLine()
            line.add("update", body.id, text=f"you said {body.text}")
            line.add("error" if body.text == "fail" else "complete", body.id, message="boom")
            return stream(line.events)

        double.on("POST", MESSAGES, answer)
        ran = self.run(double, "one\n\nfail\ntwo\n")
        assert (ran.returncode, ran.stdout) == (0, "you said one\nyou said fail\nyou said two\n")
        assert "boom (turn_failed)" in ran.stderr
        ids = [request.headers["idempotency-key"] for request in double.seen("POST", MESSAGES)]
        assert len(set(ids)) == 3

    def test_the_next_line_answers_what_the_agent_asks(self, double: GatewayDouble) -> None:
        double.on("GET", INSTANCE, json_answer(instance()))
        line = EventLine()
        line.add("tool_question_requested", "m", request_id="m.1", question="which?", options=["a", "b"])
        line.add("tool_permission_requested", "m", request_id="m.2", action="delete")
        line.add("tool_permission_requested", "m", request_id="m.3", action="delete")
        line.add("update", "m", text="done")
        line.add("complete", "m")

        def answer(request: Received) -> Answer:
            body = msgspec.json.decode(request.body, type=api.SendMessage)
            return stream([msgspec.structs.replace(event, message_id=body.id) for event in line.events])

        double.on("POST", MESSAGES, answer)
        receipt = json_answer(Receipt(id="r", disposition="injected"))
        double.on("POST", f"{INSTANCE}/answer", receipt, receipt, problem(errors.AlreadyAnswered("too late")))
        ran = self.run(double, "go\na\ny\nit is mine\n")
        assert (ran.returncode, ran.stdout) == (0, "done\n")
        assert ran.stderr.splitlines() == [
            '? which? {"options":["a","b"]} (m.1)', "? delete (m.2)", "? delete (m.3)", "too late",
        ]  # fmt: skip
        answers = [msgspec.json.decode(request.body) for request in double.seen("POST", f"{INSTANCE}/answer")]
        assert [(sent["request_id"], sent["content"]) for sent in answers] == [
            ("m.1", "a"), ("m.2", True), ("m.3", {"approved": False, "reason": "it is mine"}),
        ]  # fmt: skip

    def test_an_instance_that_is_not_there(self, double: GatewayDouble) -> None:
        double.on("GET", INSTANCE, problem(errors.NotFound("no such instance")))
        ran = self.run(double, "one\n")
        assert (ran.returncode, ran.stdout, ran.stderr) == (4, "", "error: no such instance (not_found)\n")

    @pytest.mark.parametrize("ended", [True, False])
    def test_an_interrupt_leaves_between_turns_and_within_one(self, double: GatewayDouble, ended: bool) -> None:
        double.on("GET", INSTANCE, json_answer(instance()))
        process = self.begin(double, ended, "chat", "a1", stdin=subprocess.PIPE)
        with process:
            assert process.stdin
            process.stdin.write("hello\n")
            process.stdin.flush()
            out, err = self.interrupted(process)
        assert (process.returncode, out) == (0, "text\n")
        assert err == "left; the agent goes on with what it has\n"

    def test_events_end_when_nobody_reads_any_more(self, double: GatewayDouble) -> None:
        line = EventLine()
        line.add("update", "m", text="hi")
        double.on("GET", f"{INSTANCE}/events", stream(line.after(None), open_end=True))
        argv = self.argv(double, "events", "a1")
        with subprocess.Popen(**argv, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
            assert process.stdout
            assert process.stderr
            assert process.stdout.readline() == "1.1  status: ready\n"
            process.stdout.close()
            assert (process.wait(30), process.stderr.read()) == (0, "")

    def test_an_interrupted_stream_ends_its_line(self, double: GatewayDouble) -> None:
        with self.begin(double, False, "send", "a1", "hello", "--stream", "--id", "m") as process:
            out, _ = self.interrupted(process)
        assert (process.returncode, out) == (130, "text\n")

    def begin(self, double: GatewayDouble, ended: bool, *args: str, **rest: Any) -> subprocess.Popen[str]:
        def answer(request: Received) -> Answer:
            line = EventLine()
            message_id = msgspec.json.decode(request.body, type=api.SendMessage).id
            line.add("update", message_id, text="text")
            if ended:
                line.add("complete", message_id)
            return stream(line.events, open_end=True)

        double.on("POST", MESSAGES, answer)
        options = self.argv(double, *args) | rest
        return subprocess.Popen(**options, stdout=subprocess.PIPE, stderr=subprocess.PIPE)

    def interrupted(self, process: subprocess.Popen[str]) -> tuple[str, str]:
        """Send SIGINT once the reply shows; all that was printed."""
        assert process.stdout
        assert process.stderr
        begun = process.stdout.read(4)
        process.send_signal(signal.SIGINT)
        return begun + process.stdout.read(), process.stderr.read()
