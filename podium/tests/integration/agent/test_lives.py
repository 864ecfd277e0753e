"""The real runtime from start to end: idle, sleep, lost connections, repeated frames, agents that cannot be loaded."""

import signal
from pathlib import Path

import pytest

from podium.protocol.delta import apply
from podium.protocol.messages import (
    HOOK_IDLE,
    HOOK_INIT,
    HOOK_SHUTDOWN,
    AgentFailure,
    Complete,
    IdleCheck,
    IdleReply,
    StateDelta,
    StreamUpdate,
)
from tests.support.coordinator_double import CoordinatorDouble, Run, RunningAgent, running_agent

SLEEPER = """
class Agent(BaseAgent):
    class State(DeltaState):
        asked: int = 0
        ended: bool = False

    async def on_message(self, ctx, message):
        if message["text"] == "hold":
            self.held = ctx.keep_alive("a download")
        if message["text"] == "release":
            self.held.release()

    async def on_idle_timeout(self, ctx):
        ctx.state.asked += 1
        return ctx.state.asked > 1

    async def run(self, ctx):
        try:
            await asyncio.Event().wait()
        finally:
            print("run was cancelled")

    async def on_shutdown(self, ctx):
        ctx.sql.execute("CREATE TABLE t(x)")
        ctx.state.ended = True
"""


async def test_an_agent_says_whether_it_may_sleep(run: Run) -> None:
    async with run(SLEEPER) as agent:
        await agent.init()
        await agent.coordinator.ask("hold")
        answers = []
        for number, text in enumerate(("", "release", "", ""), 1):
            if text:
                await agent.coordinator.ask(text)
            agent.coordinator.send(IdleCheck(id=f"idle{number}"))
            reply = await agent.coordinator.first(IdleReply, number)
            answers.append((reply.idle, reply.reason))
        deferred = (False, "on_idle_timeout returned False")
        assert answers == [(False, "a download"), deferred, (True, ""), (True, "")]
        asked = [delta["value"] for delta in agent.coordinator.deltas_of(HOOK_IDLE)]
        assert asked == [1, 2, 3]


async def test_a_busy_agent_is_not_idle(run: Run) -> None:
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
        agent.coordinator.send(IdleCheck(id="idle"))
        assert (await agent.coordinator.first(IdleReply)).idle is False


@pytest.mark.parametrize("by_signal", [False, True])
async def test_shutdown_is_a_turn_of_its_own_and_ends_the_process(run: Run, by_signal: bool) -> None:
    async with run(SLEEPER) as agent:
        await agent.init()
        await agent.coordinator.ask("hello")
        if by_signal:
            agent.process.send_signal(signal.SIGINT)
            agent.process.terminate()
            assert await agent.exit_code() == 0
        else:
            assert await agent.shut_down() == 0
        assert agent.coordinator.deltas_of(HOOK_SHUTDOWN) == [{"op": "replace", "path": "/ended", "value": True}]
        assert agent.coordinator.of(Complete)[-1].message_id == HOOK_SHUTDOWN
        assert agent.output == "run was cancelled\n"
        assert (agent.workspace / ".podium" / "agent.db").stat().st_size > 0


async def test_an_agent_that_was_never_initialized_ends_at_once(run: Run) -> None:
    async with run(SLEEPER) as agent:
        await agent.coordinator.until(lambda: bool(agent.coordinator.hellos))
        agent.process.terminate()
        assert await agent.exit_code() in (0, -signal.SIGTERM)


async def test_a_shutdown_that_changes_nothing_sends_nothing(run: Run) -> None:
    async with run("class Agent(BaseAgent): pass") as agent:
        await agent.init()
        assert await agent.shut_down() == 0
        assert agent.coordinator.of(StateDelta) == []


async def test_a_failing_on_init_is_reported(run: Run) -> None:
    async with run(
        "class Agent(BaseAgent):\n    async def on_init(self, ctx): ctx.sql.execute('CREATE TABLE t(x)'); 1 / 0"
    ) as agent:
        _send_init(agent)
        failure = await agent.coordinator.first(AgentFailure)
        assert (failure.code, failure.message_id) == ("agent_error", HOOK_INIT)
        assert await agent.exit_code() == 1
        assert (agent.workspace / ".podium" / "agent.db").stat().st_size == 0


TALKER = """
class Agent(BaseAgent):
    class State(DeltaState):
        said: list[str] = []

    async def on_message(self, ctx, message):
        stream = await ctx.send_message()
        for number in range(200):
            ctx.state.said.append(str(number))
            await stream.stream_token(f"{number} ")
            await asyncio.sleep(0.001)
"""
SAID = [str(number) for number in range(200)]


async def test_a_lost_connection_loses_and_doubles_nothing(run: Run) -> None:
    async with run(TALKER) as agent:
        coordinator = agent.coordinator
        await agent.init()
        for turn in (1, 2):
            coordinator.acknowledging = False
            message_id = coordinator.say("go")
            for number in (20, 60, 100):
                await _said(coordinator, message_id, number)
                coordinator.hang_up()
            coordinator.acknowledging = True
            await coordinator.first(Complete, turn)
            assert coordinator.text_of(message_id).split() == SAID
        assert coordinator.repeats > 0
        assert len(coordinator.hellos) == 7
        assert [hello.turn for hello in coordinator.hellos] == [None, "f1", "f1", "f1", "f2", "f2", "f2"]
        assert coordinator.hellos[-1].n > coordinator.hellos[1].n > 0
        document = None
        for frame in coordinator.of(StateDelta):
            document = apply(document, frame.deltas)
        assert document == {"_version": 1, "said": SAID * 2}


async def test_a_coordinator_that_was_away_finds_the_agent_where_it_was(run: Run) -> None:
    async with run(TALKER) as agent:
        coordinator = agent.coordinator
        await agent.init()
        message_id = coordinator.say("go")
        await _said(coordinator, message_id, 10)
        await coordinator.close()
        await coordinator.listen()
        await coordinator.first(Complete)
        assert coordinator.text_of(message_id).split() == SAID


async def test_a_frame_that_comes_again_is_acknowledged_and_dropped(run: Run) -> None:
    async with run(SLEEPER) as agent:
        coordinator = agent.coordinator
        await agent.init()
        frame = coordinator.message("hold")
        coordinator.send(frame)
        await coordinator.first(Complete)
        _send_init(agent)
        coordinator.send(frame)
        await coordinator.until(lambda: len(coordinator.acked_ids) == 4)
        assert coordinator.acked_ids == ["init", "f1", "init", "f1"]
        await coordinator.ask("hello")
        assert len(coordinator.of(Complete)) == 2


@pytest.mark.parametrize(
    ("entrypoint", "code", "reason"),
    [
        ("agent", "", "not of the form module:Class"),
        ("nothing:Agent", "", "No module named 'nothing'"),
        ("agent:Other", "", "module agent has no Other"),
        ("agent:Agent", "class Agent: pass", "is not a subclass of podium.agent.BaseAgent"),
        ("agent:Agent", "class Agent(BaseAgent):\n    State = dict", "State is not a subclass"),
        ("agent:Agent", "raise SystemExit(3)", "SystemExit: 3"),
        ("agent:Agent", "import does_not_exist", "No module named 'does_not_exist'"),
        ("agent:Agent", "class Agent(BaseAgent):\n    class State(DeltaState):\n        when: object = object()", "state.when"),
        ("agent:Agent", "class Agent(BaseAgent):\n    def __init__(self): raise KeyError('x')", "KeyError"),
    ],
)
async def test_what_cannot_be_loaded_is_said_once_and_clearly(tmp_path: Path, entrypoint: str, code: str, reason: str) -> None:
    bundle = tmp_path / "bundle"
    bundle.mkdir()
    preamble = "from podium.agent import BaseAgent\nfrom podium.agent.models.delta_state import DeltaState\n"
    (bundle / "agent.py").write_text(preamble + code)
    async with running_agent(bundle, tmp_path / "workspace", entrypoint) as agent:
        await agent.coordinator.until(lambda: bool(agent.coordinator.hellos))
        _send_init(agent)
        failure = await agent.coordinator.first(AgentFailure)
        assert failure.code == "load_failed"
        assert failure.message_id is None
        assert reason in failure.message
        assert await agent.exit_code() == 1


async def test_a_wrong_environment_is_named(tmp_path: Path) -> None:
    async with running_agent(tmp_path, tmp_path / "workspace", env={"AGENT_BUNDLE": "", "AGENT_ENTRYPOINT": ""}) as agent:
        assert await agent.exit_code() == 2
        assert agent.output == "podium: AGENT_BUNDLE, AGENT_ENTRYPOINT not set; this program is started by a coordinator\n"


async def _said(coordinator: CoordinatorDouble, message_id: str, words: int) -> None:
    await coordinator.until(lambda: len(coordinator.text_of(message_id).split()) >= words)


def _send_init(agent: RunningAgent) -> None:
    agent.coordinator.send_init(workspace=str(agent.workspace))
