"""An agent's process: `python -I -B -m podium.agent.runtime`, with what it needs in the environment.

Exit codes: 0 after a shutdown, 1 when the agent's code failed, 2 for a wrong environment, 75 when no coordinator answers.
"""

import asyncio
import contextlib
import io
import os
import signal
import sys
import time
from typing import NoReturn

from podium.agent.connection import Connection
from podium.agent.session import Session

NEEDED = ("AGENT_IPC_SOCKET", "AGENT_LAUNCH_ID", "AGENT_BUNDLE", "AGENT_ENTRYPOINT")
EXIT_WRONG_ENVIRONMENT = 2
EXIT_GRACE_S = 5


def main() -> None:
    """Run the agent that the environment names."""
    phases = {"python": round(_process_age_s() * 1000, 3)}
    signal.signal(signal.SIGINT, lambda *_: None)  # not SIG_IGN: the author's own child processes would inherit that
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(line_buffering=True, errors="backslashreplace")
    missing = [name for name in NEEDED if not os.environ.get(name)]
    if missing:
        print(f"podium: {', '.join(missing)} not set; this program is started by a coordinator", file=sys.stderr)
        sys.exit(EXIT_WRONG_ENVIRONMENT)
    asyncio.run(_run(phases))


async def _run(phases: dict[str, float]) -> None:
    connection = Connection(os.environ["AGENT_IPC_SOCKET"], os.environ["AGENT_LAUNCH_ID"])
    session = Session(connection, phases)
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, session.terminate)
    code = await session.run(os.environ["AGENT_ENTRYPOINT"], os.environ["AGENT_BUNDLE"])
    if code:
        _exit(code)
    # a clean end leaves time for exit handlers, but not for tasks and threads that never end
    signal.signal(signal.SIGALRM, lambda *_: _exit(0))
    signal.alarm(EXIT_GRACE_S)


def _exit(code: int) -> NoReturn:
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(Exception):  # the author's code may have closed or replaced it
            stream.flush()
    os._exit(code)


def _process_age_s() -> float:
    with open("/proc/self/stat", "rb") as file:  # noqa: PTH123  pathlib is not otherwise loaded
        start_ticks = int(file.read().rsplit(b")", 1)[1].split()[19])
    return max(0.0, time.clock_gettime(time.CLOCK_BOOTTIME) - start_ticks / os.sysconf("SC_CLK_TCK"))


if __name__ == "__main__":
    main()
