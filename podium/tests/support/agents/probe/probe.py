"""An agent that does what its messages say, so that tests can look at every side of the platform."""

import asyncio
import hashlib
import json
import os
import signal
import sys

from podium.agent import AgentContext, BaseAgent
from podium.agent.models.delta_state import DeltaState


class Probe(BaseAgent):
    """`VERB ARGUMENTS`, one method each; the answer is what it returns."""

    class State(DeltaState):
        count: int = 0
        words: list = []
        slept: int = 0

    async def on_message(self, ctx: AgentContext, message: dict) -> None:
        verb, _, rest = message["text"].partition(" ")
        ctx.state.count += 1
        ctx.state.words.append(rest)
        ctx.sql.execute("CREATE TABLE IF NOT EXISTS seen (id TEXT, attempt INTEGER)")
        ctx.sql.execute("INSERT INTO seen VALUES (?, ?)", (message["id"], message["attempt"]))
        answer = await getattr(self, verb)(ctx, rest, message)
        stream = await ctx.send_message()
        await stream.stream_token(str(answer), final=True)

    async def on_shutdown(self, ctx: AgentContext) -> None:
        ctx.state.slept += 1

    async def echo(self, ctx: AgentContext, rest: str, message: dict) -> str:
        return rest

    async def tokens(self, ctx: AgentContext, rest: str, message: dict) -> str:
        """N tokens with a pause between them."""
        number, pause_s = rest.split()[:2]
        stream = await ctx.send_message()
        for n in range(int(number)):
            await stream.stream_token(f"{n} ")
            await asyncio.sleep(float(pause_s))
        return "end"

    async def pour(self, ctx: AgentContext, rest: str, message: dict) -> str:
        """One token of N bytes."""
        await (await ctx.send_message()).stream_token("x" * int(rest))
        return "poured"

    async def fail(self, ctx: AgentContext, rest: str, message: dict) -> str:
        """Raise in the first N attempts."""
        if message["attempt"] <= int(rest.split()[0]):
            raise ValueError(f"attempt {message['attempt']} was told to fail")
        return f"attempt {message['attempt']}"

    async def die(self, ctx: AgentContext, rest: str, message: dict) -> str:
        """End the process in the first N attempts."""
        if message["attempt"] <= int(rest.split()[0]):
            print("last words", flush=True)
            os._exit(7)
        return f"attempt {message['attempt']}"

    async def eat(self, ctx: AgentContext, rest: str, message: dict) -> str:
        """Take so many MiB of memory in the first attempt."""
        return str(len(bytearray(int(rest) << 20)) >> 20) if message["attempt"] == 1 else "spared"

    async def kill(self, ctx: AgentContext, rest: str, message: dict) -> str:
        """End the process by SIGKILL at a named point of the first attempt: begun, streaming, committed."""
        point = rest.split()[0]
        if message["attempt"] > 1:
            return "survived"
        stream = await ctx.send_message()
        if point == "streaming":
            for n in range(20):
                await stream.stream_token(f"{n} ")
                await asyncio.sleep(0.005)
        if point == "committed":
            close = ctx._close_sql
            ctx._close_sql = lambda *, commit: (close(commit=commit), os.kill(os.getpid(), signal.SIGKILL))
            return "lost"
        os.kill(os.getpid(), signal.SIGKILL)
        return "never"

    async def look(self, ctx: AgentContext, rest: str, message: dict) -> str:
        """What the process sees of its surroundings."""
        seen = {"uid": os.getuid(), "env": dict(os.environ), "cwd": os.getcwd(), "groups": os.getgroups(), "config": ctx.config,
                "path": sys.path, "executable": sys.executable, "fds": sorted(os.listdir("/proc/self/fd"))}  # fmt: skip
        return json.dumps(seen)

    async def read(self, ctx: AgentContext, rest: str, message: dict) -> str:
        """Try to read a path."""
        try:
            return os.listdir(rest) and "listed" if os.path.isdir(rest) else open(rest, "rb").read(10).hex()
        except OSError as error:
            return type(error).__name__

    async def write(self, ctx: AgentContext, rest: str, message: dict) -> str:
        name, _, content = rest.partition(" ")
        (ctx.workspace / name).write_text(content)
        return "written"

    async def rows(self, ctx: AgentContext, rest: str, message: dict) -> str:
        return json.dumps(ctx.sql.execute("SELECT id, attempt FROM seen ORDER BY rowid").fetchall())

    async def say(self, ctx: AgentContext, rest: str, message: dict) -> str:
        print(rest, flush=True)
        ctx.log.info(f"logged {rest}")
        return "said"

    async def secret(self, ctx: AgentContext, rest: str, message: dict) -> str:
        """The hash of a secret: the secret itself must not reach the stream or the state."""
        return hashlib.sha256(ctx.secrets[rest].encode()).hexdigest()

    async def config(self, ctx: AgentContext, rest: str, message: dict) -> str:
        """The configuration, and what on_config_change was told in this process."""
        return json.dumps([ctx.config, getattr(self, "changes", [])])

    async def on_config_change(self, ctx: AgentContext, changes: dict) -> None:
        self.changes = [*getattr(self, "changes", []), changes]

    async def hang(self, ctx: AgentContext, rest: str, message: dict) -> str:
        """Say something, then never end."""
        await ctx.send_message("begun")
        await asyncio.Event().wait()
        return "never"

    async def spin(self, ctx: AgentContext, rest: str, message: dict) -> str:
        """Say something, then never let go."""
        await ctx.send_message("begun")
        await asyncio.sleep(0.01)
        while True:
            pass

    async def deny(self, ctx: AgentContext, rest: str, message: dict) -> str:
        """Say something, then answer each frame, and go on whoever wants it to stop."""
        await ctx.send_message("begun")
        while True:
            try:
                await asyncio.sleep(60)
            except asyncio.CancelledError:
                continue

    async def listen(self, ctx: AgentContext, rest: str, message: dict) -> str:
        """Wait for N pieces of guidance, and fail with them in the first M attempts."""
        number, failing = map(int, rest.split())
        await ctx.send_message("listening")
        while len(ctx.steers) < number:
            await asyncio.sleep(0.005)
        if message["attempt"] <= failing:
            raise ValueError(f"told to fail with {ctx.steers}")
        steers, ctx.steers[:] = list(ctx.steers), []
        return json.dumps([message["attempt"], steers])

    async def ask(self, ctx: AgentContext, rest: str, message: dict) -> str:
        """Ask; killed after the answer in the first N attempts."""
        number, _, question = rest.partition(" ")
        answer = await ctx.ask(question)
        if message["attempt"] <= int(number):
            os.kill(os.getpid(), signal.SIGKILL)
        return json.dumps([message["attempt"], answer])

    async def permit(self, ctx: AgentContext, rest: str, message: dict) -> str:
        """Ask for several permissions at once."""
        decisions = await asyncio.gather(*(ctx.request_permission("delete", path=path) for path in rest.split()))
        return json.dumps([[decision.approved, decision.reason] for decision in decisions])

    async def stay(self, ctx: AgentContext, rest: str, message: dict) -> str:
        """Keep awake from now on."""
        ctx.keep_alive(rest)
        return "staying"

    async def whole(self, ctx: AgentContext, rest: str, message: dict) -> str:
        return json.dumps(message)
