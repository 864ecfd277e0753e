from podium.agent import AgentContext, BaseAgent
from podium.agent.models.delta_state import DeltaState


class Counter(BaseAgent):
    class State(DeltaState):
        count: int = 0

    async def on_message(self, ctx: AgentContext, message: dict) -> None:
        ctx.state.count += 1
        stream = await ctx.send_message()
        for token in ("You have ", f"sent {ctx.state.count} ", "messages."):
            await stream.stream_token(token)
