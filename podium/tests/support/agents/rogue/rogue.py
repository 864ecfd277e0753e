"""An agent that speaks to the coordinator over its own socket, past the SDK, and breaks the rules."""

import asyncio
import json
import os
import signal
import socket
import time

from podium.agent import AgentContext, BaseAgent


class Rogue(BaseAgent):
    """Each message names what to do."""

    async def on_message(self, ctx: AgentContext, message: dict) -> None:
        self.message_id = message["id"]
        await asyncio.to_thread(getattr(self, message["text"]))
        await ctx.send_message("done")

    def behave(self) -> None:
        """Do nothing wrong."""

    def another_launch(self) -> None:
        """Say hello as somebody else."""
        self._wire = socket.socket(socket.AF_UNIX)
        self._wire.connect(os.environ["AGENT_IPC_SOCKET"])
        self.frame(type="hello", protocol=1, sdk="rogue", launch_id="f" * 32)
        self._wire.settimeout(2)
        assert self._wire.recv(1) == b"", "refused"

    def garbage(self) -> None:
        self.hijack()
        self._wire.sendall(b"\xff" * 100_000)
        time.sleep(5)

    def gap(self) -> None:
        self.hijack()
        self.frame(type="log", n=1_000_000, level="info", message="x")
        time.sleep(5)

    def error_then_complete(self) -> None:
        n = self.hijack()
        self.frame(type="error", n=n + 1, code="c" * 10_000, message="m" * 100_000, message_id=self.message_id)
        self.frame(type="complete", n=n + 2, message_id=self.message_id, usage={"x": "y" * 1_000_000}, stop_reason="s" * 10_000)
        time.sleep(5)

    def foreign_output(self) -> None:
        """Output and an end for a message of another agent or turn."""
        n = self.hijack()
        self.frame(type="stream_update", n=n + 1, message_id="other", element={"type": "text_delta", "text": "stolen"})
        self.frame(type="complete", n=n + 2, message_id="other")
        self.frame(
            type="stream_update", n=n + 3, message_id=self.message_id, element={"type": "text_delta", "text": "big" * 500_000}
        )
        self.frame(type="stream_update", n=n + 4, message_id=self.message_id, element={"type": ["no"], "deep": [[[[]]]]})
        self.frame(type="state_delta", n=n + 5, message_id=self.message_id, deltas=[{"op": "replace", "path": "", "value": []}])
        self.frame(type="complete", n=n + 6, message_id=self.message_id)
        time.sleep(5)

    def foreign_questions(self) -> None:
        """Questions in another's name, of no kind, without end; then one more that breaks the rules for good."""
        n, mine = self.hijack(), self.message_id
        wrong = [("other.1", "other", "question", {}), (f"{mine}.x", mine, "question", {}), (f"{mine}.1", mine, "dance", {}),
                 (f"{mine}.2", mine, "question", ["stolen"]), (f"{mine}.3", mine, "question", {"q": "stolen" * 100_000}),
                 (f"{mine}.4", mine, "withdraw", None)]  # fmt: skip
        for request_id, message_id, kind, content in wrong * 20:
            n += 1
            self.frame(type="tool_request", n=n, request_id=request_id, message_id=message_id, kind=kind, content=content)
        self.frame(type="tool_request", n=n + 1, request_id=7, message_id=mine, kind="question", content={})
        time.sleep(5)

    def survivors(self) -> None:
        """Leave processes behind that no signal but SIGKILL ends."""
        for _ in range(3):
            if os.fork() == 0:
                os.setsid()
                signal.signal(signal.SIGTERM, signal.SIG_IGN)
                while True:
                    time.sleep(1)

    def hijack(self) -> int:
        """Take the connection over; the highest frame number that was used."""
        self._wire = socket.socket(socket.AF_UNIX)
        self._wire.connect(os.environ["AGENT_IPC_SOCKET"])
        self.frame(type="hello", protocol=1, sdk="rogue", launch_id=os.environ["AGENT_LAUNCH_ID"], n=0)
        time.sleep(0.2)
        return 1  # ready was the only frame so far

    def frame(self, **fields: object) -> None:
        payload = json.dumps(fields).encode()
        self._wire.sendall(len(payload).to_bytes(4, "little") + payload)
