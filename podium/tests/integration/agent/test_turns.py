"""The real runtime with real bundles: start-up, turns and what they leave behind."""

import sqlite3
from pathlib import Path

import pytest

from podium.protocol.delta import apply
from podium.protocol.messages import (
    HOOK_INIT,
    AgentFailure,
    Complete,
    ConfigUpdate,
    Log,
    Message,
    MessageData,
    Origin,
    Ping,
    StateDelta,
    Steer,
    StopTurn,
    StreamUpdate,
)
from tests.support.coordinator_double import Run

COUNTER = """
class Agent(BaseAgent):
    class State(DeltaState):
        count: int = 0
        words: list[str] = []

    async def on_message(self, ctx, message):
        ctx.state.count += 1
        stream = await ctx.send_message()
        for word in message["text"].split():
            ctx.state.words.append(word)
            await stream.stream_token(word + " ")
        await stream.stream_token("", final=True)
"""


async def test_a_start_says_hello_and_how_long_it_took(run: Run) -> None:
    async with run(COUNTER) as agent:
        ready = await agent.init()
        hello = agent.coordinator.hellos[0]
        assert (hello.protocol, hello.launch_id, hello.n, hello.turn) == (1, "launch-1", 0, None)
        assert hello.sdk.startswith("python/")
        assert list(ready.phases) == ["python", "connect", "load", "init"]
        assert agent.coordinator.acked_ids == ["init"]
        assert agent.coordinator.frames == [ready], "an agent that has done nothing makes no turn before its first message"


async def test_a_turn_sends_changes_before_the_output_that_follows_them(run: Run) -> None:
    async with run(COUNTER) as agent:
        await agent.init()
        assert await agent.coordinator.ask("one two") == "one two "
        kinds = [type(frame) for frame in agent.coordinator.frames[1:]]
        assert kinds == [StateDelta, StreamUpdate, StateDelta, StreamUpdate, StreamUpdate, Complete]
        deltas = agent.coordinator.deltas_of("m1")
        whole = {"_version": 1, "count": 1, "words": ["one"]}
        assert deltas == [
            {"op": "replace", "path": "", "value": whole},
            {"op": "add", "path": "/words/-", "value": "two"},
        ]
        await agent.coordinator.ask("")
        assert agent.coordinator.deltas_of("m2") == [{"op": "replace", "path": "/count", "value": 2}]


async def test_the_state_goes_on_in_the_next_process(run: Run) -> None:
    async with run(COUNTER) as agent:
        await agent.init()
        await agent.coordinator.ask("a")
        document = apply(None, agent.coordinator.deltas_of("m1"))
        assert await agent.shut_down() == 0
    async with run(COUNTER) as agent:
        await agent.init(state=document)
        await agent.coordinator.ask("b")
        document = apply(document, agent.coordinator.deltas_of("m1"))
        assert document == {"_version": 1, "count": 2, "words": ["a", "b"]}


async def test_a_message_is_a_dict_with_everything_known_about_it(run: Run) -> None:
    code = """
    class Agent(BaseAgent):
        async def on_message(self, ctx, message):
            assert (ctx.message_id, ctx.attempt) == (message["id"], message["attempt"])
            await ctx.event("seen", {"message": message, "secret": ctx.secrets["k"], "id": ctx.agent_id})
    """
    async with run(code) as agent:
        await agent.init(secrets={"k": "v"})
        origin = Origin(tenant_id="t", role="admin", channel="ws")
        data = MessageData(text="hi", role="user", attachments=[{"path": "a"}], messages=[{"role": "user", "text": "ho"}])
        agent.coordinator.send(Message(id="f", message_id="mine", data=data, origin=origin, attempt=3))
        element = (await agent.coordinator.first(StreamUpdate)).element
        assert element["message"] == {
            "text": "hi", "role": "user", "attachments": [{"path": "a"}], "messages": [{"role": "user", "text": "ho"}],
            "id": "mine", "attempt": 3, "origin": {"tenant_id": "t", "role": "admin", "channel": "ws"},
        }  # fmt: skip
        assert (element["type"], element["name"], element["secret"], element["id"]) == ("custom", "seen", "v", "agent_1")


async def test_on_init_that_changes_something_makes_a_turn_of_its_own(run: Run) -> None:
    code = """
    class Agent(BaseAgent):
        class State(DeltaState):
            starts: int = 0

        async def on_init(self, ctx):
            ctx.state.starts += 1
    """
    async with run(code) as agent:
        await agent.init()
        assert apply(None, agent.coordinator.deltas_of(HOOK_INIT)) == {"_version": 1, "starts": 1}


async def test_an_exception_ends_the_process_with_its_traceback(run: Run) -> None:
    code = """
    class Agent(BaseAgent):
        async def on_message(self, ctx, message):
            await ctx.send_message("half an answer")
            raise LookupError("no such \\ud800 thing")
    """
    async with run(code) as agent:
        await agent.init()
        agent.coordinator.say("go")
        failure = await agent.coordinator.first(AgentFailure)
        assert (failure.code, failure.message, failure.message_id) == ("agent_error", "LookupError: no such ? thing", "m1")
        assert 'raise LookupError("no such' in failure.traceback
        assert await agent.exit_code() == 1
        assert isinstance(agent.coordinator.frames[-1], AgentFailure)
        assert "LookupError" in agent.output


@pytest.mark.parametrize("body", ["import sys; sys.exit(0)", "asyncio.current_task().cancel(); await asyncio.sleep(1)"])
async def test_leaving_by_the_back_door_is_a_failure_too(run: Run, body: str) -> None:
    code = f"""
    class Agent(BaseAgent):
        async def on_message(self, ctx, message):
            {body}
    """
    async with run(code) as agent:
        await agent.init()
        agent.coordinator.say("go")
        assert (await agent.coordinator.first(AgentFailure)).message_id == "m1"
        assert await agent.exit_code() == 1


SQL = """
class Agent(BaseAgent):
    async def on_message(self, ctx, message):
        ctx.sql.executescript("CREATE TABLE IF NOT EXISTS t(x); INSERT INTO t VALUES ('script');")
        with ctx.sql:
            ctx.sql.execute("INSERT INTO t VALUES (?)", (message["text"],))
        ctx.sql.commit()
        ctx.sql.execute("COMMIT")
        if message["text"] == "fail":
            raise RuntimeError("failed")
"""


def _rows(workspace: Path) -> list[str]:
    connection = sqlite3.connect(workspace / ".podium" / "agent.db")
    try:
        return [row[0] for row in connection.execute("SELECT x FROM t")]
    finally:
        connection.close()


async def test_sql_is_committed_before_complete_and_undone_by_a_failure(run: Run) -> None:
    async with run(SQL) as agent:
        await agent.init()
        agent.coordinator.acknowledging = False
        agent.coordinator.say("kept")
        await agent.coordinator.first(Complete)
        assert _rows(agent.workspace) == ["script", "kept"]
        agent.coordinator.say("fail")
        await agent.coordinator.first(AgentFailure)
        assert _rows(agent.workspace) == ["script", "kept"]


async def test_a_process_that_is_killed_leaves_no_row(run: Run) -> None:
    code = """
    class Agent(BaseAgent):
        async def on_message(self, ctx, message):
            ctx.sql.execute("CREATE TABLE IF NOT EXISTS t(x)")
            ctx.sql.executemany("INSERT INTO t VALUES (?)", [(message["text"] * 1000,)] * 10_000)  # more than SQLite's cache
            ctx.sql.commit()
            if message["text"] == "b":
                await ctx.send_message("written")
                await asyncio.Event().wait()
    """
    async with run(code) as agent:
        await agent.init()
        await agent.coordinator.ask("a")
        agent.coordinator.say("b")
        await agent.coordinator.first(StreamUpdate)
        agent.process.kill()
        await agent.exit_code()
        assert {row[0] for row in _rows(agent.workspace)} == {"a"}


async def test_a_turn_can_be_stopped(run: Run) -> None:
    code = """
    class Agent(BaseAgent):
        async def on_message(self, ctx, message):
            await ctx.send_message("begun")
            if message["text"] == "polite":
                while not ctx.cancelled:
                    await asyncio.sleep(0.001)
            else:
                await asyncio.Event().wait()
    """
    async with run(code) as agent:
        await agent.init()
        for turn, text in enumerate(("polite", "stubborn"), 1):
            message_id = agent.coordinator.say(text)
            await agent.coordinator.first(StreamUpdate, turn)
            agent.coordinator.send(StopTurn(id=f"stop{turn}", message_id=message_id))
            complete = await agent.coordinator.first(Complete, turn)
            assert (complete.message_id, complete.stop_reason) == (message_id, "stopped")


async def test_guidance_reaches_the_turn_it_is_for(run: Run) -> None:
    code = """
    class Agent(BaseAgent):
        async def on_init(self, ctx):
            self.steered = asyncio.Event()
            self.on("steer", self.on_steer)

        async def on_steer(self, ctx, content):
            await ctx.send_message("steered: " + content["text"])
            self.steered.set()

        async def on_message(self, ctx, message):
            await ctx.send_message("begun, ")
            await self.steered.wait()
    """
    async with run(code) as agent:
        await agent.init()
        message_id = agent.coordinator.say("go")
        await agent.coordinator.first(StreamUpdate)
        agent.coordinator.send(Steer(id="s0", message_id="another", content={"text": "right"}))
        agent.coordinator.send(Steer(id="s1", message_id=message_id, content={"text": "left"}))
        await agent.coordinator.first(Complete)
        assert agent.coordinator.text_of(message_id) == "begun, steered: left"


async def test_guidance_that_fails_ends_the_turn_at_once(run: Run) -> None:
    code = """
    class Agent(BaseAgent):
        async def on_init(self, ctx):
            self.on("steer", lambda ctx, content: 1 / 0)

        async def on_message(self, ctx, message):
            await ctx.send_message("begun")
            await asyncio.Event().wait()
    """
    async with run(code) as agent:
        await agent.init()
        message_id = agent.coordinator.say("go")
        await agent.coordinator.first(StreamUpdate)
        agent.coordinator.send(Steer(id="s", message_id=message_id, content={}))
        failure = await agent.coordinator.first(AgentFailure)
        assert (failure.message, failure.message_id) == ("ZeroDivisionError: division by zero", message_id)


async def test_changed_configuration_is_merged_and_told(run: Run) -> None:
    code = """
    class Agent(BaseAgent):
        changes = None

        async def on_config_change(self, ctx, changes):
            self.changes = changes

        async def on_message(self, ctx, message):
            model = ctx.get_config("model.name", "none")
            await ctx.send_message(f"{model} {ctx.get_config('model.gone', 'none')} {ctx.get_config('a')} {self.changes}")
    """
    async with run(code) as agent:
        await agent.init(config={"model": {"name": "small", "gone": 1}, "a": 1})
        changes = {"model": {"name": "large", "gone": None}}
        agent.coordinator.send(ConfigUpdate(id="c", changes=changes, source="runtime"))
        assert await agent.coordinator.ask("?") == f"large none 1 {changes}"


async def test_prints_logs_and_warnings_find_their_way(run: Run) -> None:
    code = """
    import logging, warnings

    class Agent(BaseAgent):
        async def on_message(self, ctx, message):
            print("printed")
            warnings.warn("warned")
            logging.getLogger("lib").info("said %s", "so")
            await asyncio.to_thread(ctx.log.error, "from a thread: %d", 7)
            ctx.log.debug("100%")
    """
    async with run(code) as agent:
        await agent.init()
        await agent.coordinator.ask("go")
        records = {(log.level, log.message, log.module) for log in agent.coordinator.of(Log)}
        assert records == {("info", "said so", "lib"), ("error", "from a thread: 7", ""), ("debug", "100%", "")}
        assert "printed\n" in agent.output
        assert "UserWarning: warned" in agent.output


async def test_background_work_counts_with_the_next_turn_and_may_not_fail_quietly(run: Run) -> None:
    code = """
    class Agent(BaseAgent):
        class State(DeltaState):
            ticks: int = 0

        async def run(self, ctx):
            ctx.state.ticks = 7
            try:
                await ctx.send_message("too early")
            except RuntimeError as error:
                ctx.log.info(str(error))
            await self.asked.wait()
            raise RuntimeError("run failed")

        async def on_init(self, ctx):
            self.asked = asyncio.Event()

        async def on_message(self, ctx, message):
            if message["text"] == "fail":
                self.asked.set()
                await asyncio.Event().wait()
    """
    async with run(code) as agent:
        await agent.init()
        assert "there is nothing to answer" in (await agent.coordinator.first(Log)).message
        await agent.coordinator.ask("go")
        assert apply(None, agent.coordinator.deltas_of("m1"))["ticks"] == 7
        agent.coordinator.say("fail")
        failure = await agent.coordinator.first(AgentFailure)
        assert (failure.message, failure.message_id) == ("RuntimeError: run failed", "m2")
        assert await agent.exit_code() == 1


async def test_output_after_the_turn_is_refused(run: Run) -> None:
    code = """
    class Agent(BaseAgent):
        late = None

        async def on_message(self, ctx, message):
            if self.late:
                try:
                    await self.late.stream_token("late")
                except RuntimeError as error:
                    await ctx.send_message(str(error))
            else:
                self.late = await ctx.send_message("first")
    """
    async with run(code) as agent:
        await agent.init()
        await agent.coordinator.ask("1")
        assert await agent.coordinator.ask("2") == "the turn of message m1 has ended: it can have no more output"


async def test_every_element_and_the_usage(run: Run) -> None:
    code = """
    class Agent(BaseAgent):
        async def on_message(self, ctx, message):
            await ctx.thinking("hm")
            call = await ctx.tool_call("find", {"q": "x"})
            await ctx.tool_result(call, {"hits": 1})
            await ctx.code_block("1+1", "python")
            (ctx.workspace / "a.txt").write_text("a")
            await ctx.file_change("a.txt", "created")
            await ctx.terminal("done", exit_code=0)
            await ctx.plan(["think", "act"])
            await ctx.plan_step(0, completed=True)
            await ctx.report_usage(input_tokens=2, output_tokens=3)
            await ctx.report_usage(input_tokens=2)
    """
    async with run(code) as agent:
        await agent.init()
        await agent.coordinator.ask("go")
        elements = [frame.element for frame in agent.coordinator.of(StreamUpdate)]
        assert elements == [
            {"type": "thinking", "phase": "progress", "text": "hm"},
            {"type": "tool_call", "phase": "complete", "tool_call_id": "call_0", "tool_name": "find", "arguments": {"q": "x"}},
            {"type": "tool_result", "phase": "result", "tool_call_id": "call_0", "result": {"hits": 1}},
            {"type": "code_block", "code": "1+1", "language": "python"},
            {"type": "file_change", "path": "a.txt", "change": "created"},
            {"type": "terminal_output", "terminal_id": "main", "text": "done", "phase": "complete", "exit_code": 0},
            {"type": "plan", "phase": "created", "steps": ["think", "act"]},
            {"type": "plan", "phase": "step_completed", "step": 0},
            {"type": "usage", "input_tokens": 2, "output_tokens": 3},
            {"type": "usage", "input_tokens": 2},
        ]  # fmt: skip
        assert agent.coordinator.of(Complete)[0].usage == {"input_tokens": 4, "output_tokens": 3}
        assert (agent.workspace / "a.txt").read_text() == "a"


async def test_ping_is_answered_while_a_turn_runs(run: Run) -> None:
    code = """
    class Agent(BaseAgent):
        async def on_message(self, ctx, message):
            await ctx.send_message("begun")
            await asyncio.Event().wait()
    """
    async with run(code) as agent:
        await agent.init()
        agent.coordinator.say("go")
        await agent.coordinator.first(StreamUpdate)
        agent.coordinator.send(Ping())
        await agent.coordinator.until(lambda: agent.coordinator.pongs == 1)


async def test_output_that_is_computed_without_waiting_leaves_meanwhile(run: Run, tmp_path: Path) -> None:
    code = """
    import pathlib, time

    class Agent(BaseAgent):
        async def on_message(self, ctx, message):
            await ctx.send_message("begun")
            while not pathlib.Path("go").exists():  # the loop of the process is blocked
                time.sleep(0.005)
    """
    async with run(code) as agent:
        await agent.init()
        agent.coordinator.say("go")
        await agent.coordinator.first(StreamUpdate)
        (agent.workspace / "go").touch()
        await agent.coordinator.first(Complete)


async def test_nobody_outruns_the_acknowledgements(run: Run) -> None:
    code = """
    class Agent(BaseAgent):
        async def on_message(self, ctx, message):
            stream = await ctx.send_message()
            for number in range(3000):
                await stream.stream_token("x")
    """
    async with run(code) as agent:
        await agent.init()
        agent.coordinator.acknowledging = False
        agent.coordinator.say("go")
        await agent.coordinator.until(lambda: len(agent.coordinator.of(StreamUpdate)) >= 1000)
        agent.coordinator.send(Ping())
        await agent.coordinator.until(lambda: agent.coordinator.pongs == 1)
        assert len(agent.coordinator.frames) < 1100
        agent.coordinator.acknowledging = True
        agent.coordinator.acknowledge()
        await agent.coordinator.first(Complete)
        assert agent.coordinator.text_of("m1") == "x" * 3000
