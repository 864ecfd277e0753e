"""Questions to people, guidance and stops, as the real runtime handles them."""

from podium.protocol.messages import Answer, Complete, Log, Steer, StopTurn, StreamUpdate, ToolRequest, ToolResponse
from tests.support.coordinator_double import Run

TWO = """
class Agent(BaseAgent):
    async def on_message(self, ctx, message):
        left, right = await asyncio.gather(ctx.ask("left?"), ctx.ask("right?", options=["a", "b"]))
        await ctx.send_message(f"{left} {right}")
"""


async def test_questions_asked_at_once_have_numbers_of_their_own(run: Run) -> None:
    async with run(TWO) as agent:
        await agent.init()
        agent.coordinator.say("go")
        second = await agent.coordinator.first(ToolRequest, 2)
        first = agent.coordinator.of(ToolRequest)[0]
        assert (first.request_id, first.message_id, first.kind) == ("m1.1", "m1", "question")
        assert first.content == {"question": "left?"}
        assert (second.request_id, second.content) == ("m1.2", {"question": "right?", "options": ["a", "b"]})
        agent.coordinator.send(Answer(id="a2", request_id="m1.2", content={"any": "JSON"}))
        agent.coordinator.send(Answer(id="a0", request_id="m1.9", content="to nobody"))
        agent.coordinator.send(Answer(id="a1", request_id="m1.1", content="west"))
        await agent.coordinator.first(Complete)
        assert agent.coordinator.text_of("m1") == "west {'any': 'JSON'}"


async def test_a_permission_is_granted_by_true_alone(run: Run) -> None:
    code = """
    class Agent(BaseAgent):
        async def on_message(self, ctx, message):
            for path in "abc":
                decision = await ctx.request_permission("delete", path=path)
                await ctx.send_message(f"{bool(decision)} {decision.reason};")
    """
    async with run(code) as agent:
        await agent.init()
        agent.coordinator.say("go")
        for number, content in enumerate((True, {"approved": False, "reason": "mine"}, "true"), 1):
            asked = await agent.coordinator.first(ToolRequest, number)
            assert (asked.kind, asked.content["action"]) == ("permission", "delete")
            agent.coordinator.send(Answer(id=f"a{number}", request_id=asked.request_id, content=content))
        await agent.coordinator.first(Complete)
        assert agent.coordinator.text_of("m1") == "True ;False mine;False ;"


async def test_a_question_that_is_given_up_is_taken_back(run: Run) -> None:
    code = """
    class Agent(BaseAgent):
        async def on_message(self, ctx, message):
            try:
                await asyncio.wait_for(ctx.ask("anybody?"), 0.01)
            except TimeoutError:
                await ctx.send_message("nobody")
    """
    async with run(code) as agent:
        await agent.init()
        assert await agent.coordinator.ask("go") == "nobody"
        assert [(asked.kind, asked.request_id) for asked in agent.coordinator.of(ToolRequest)] == [
            ("question", "m1.1"),
            ("withdraw", "m1.1"),
        ]


async def test_what_cannot_be_asked_raises(run: Run) -> None:
    code = """
    class Agent(BaseAgent):
        async def on_init(self, ctx):
            try:
                await ctx.ask("too early?")
            except RuntimeError as error:
                self.early = str(error)

        async def on_message(self, ctx, message):
            try:
                await ctx.ask("one too many?")
            except RuntimeError as error:
                await ctx.send_message(f"{self.early}; {error}")
    """
    async with run(code) as agent:
        await agent.init()
        agent.coordinator.say("go")
        asked = await agent.coordinator.first(ToolRequest)
        agent.coordinator.send(ToolResponse(id="r", request_id=asked.request_id, content="there are too many"))
        await agent.coordinator.first(Complete)
        text = agent.coordinator.text_of("m1")
        assert text.startswith("questions belong to on_message")
        assert text.endswith("there are too many")


async def test_a_stop_ends_the_wait_for_an_answer(run: Run) -> None:
    async with run(TWO) as agent:
        await agent.init()
        message_id = agent.coordinator.say("go")
        await agent.coordinator.first(ToolRequest, 2)
        agent.coordinator.send(StopTurn(id="stop", message_id=message_id))
        complete = await agent.coordinator.first(Complete)
        assert complete.stop_reason == "stopped"
        assert {asked.request_id for asked in agent.coordinator.of(ToolRequest) if asked.kind == "withdraw"} == {"m1.1", "m1.2"}


READS = """
class Agent(BaseAgent):
    async def on_message(self, ctx, message):
        await ctx.send_message("begun")
        while len(ctx.steers) < 2:
            await asyncio.sleep(0.001)
        await ctx.send_message(f" {ctx.steers}")
        if message["text"] == "empty":
            ctx.steers.clear()
"""


async def test_guidance_without_a_handler_waits_to_be_read(run: Run) -> None:
    async with run(READS) as agent:
        await agent.init()
        for turn, text in enumerate(("empty", "leave"), 1):
            message_id = agent.coordinator.say(text)
            await agent.coordinator.first(StreamUpdate, 2 * turn - 1)
            agent.coordinator.send(Steer(id=f"l{turn}", message_id=message_id, content="left"))
            agent.coordinator.send(Steer(id=f"r{turn}", message_id=message_id, content="right"))
            await agent.coordinator.first(Complete, turn)
            assert agent.coordinator.text_of(message_id) == "begun ['left', 'right']"
        assert [log.message[:28] for log in agent.coordinator.of(Log)] == ["2 pieces of guidance were no"]


async def test_guidance_that_comes_right_behind_its_message_is_kept_for_its_turn(run: Run) -> None:
    async with run(READS) as agent:
        await agent.init()
        message = agent.coordinator.message("leave")
        for frame in (message, *(Steer(id=word, message_id=message.message_id, content=word) for word in ("one", "two"))):
            agent.coordinator.send(frame)
        await agent.coordinator.first(Complete)
        assert agent.coordinator.text_of(message.message_id) == "begun ['one', 'two']"
