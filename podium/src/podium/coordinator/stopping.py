"""When an agent that should end its turn has to be killed: past its grace, or as soon as it is plainly out of control.

A live event loop answers a ping. One that does not is caught in code that never awaits; if it burns a processor meanwhile, it has
had its chance to answer, else it may only be starved on a busy host, and gets longer.
"""

import asyncio

from podium.coordinator.host import Limits
from podium.coordinator.link import Link
from podium.launcher.procfs import read_cpu_s

PING_EVERY_S = 0.1
SPINNING_AFTER_S = 0.4
SILENT_AFTER_S = 1.2


async def out_of_control(link: Link, limits: Limits) -> None:
    """Return once the agent has to be killed."""
    loop = asyncio.get_running_loop()
    deadline, heard_at, used_s = loop.time() + limits.stop_grace_s, loop.time(), _cpu_s(link)
    while loop.time() < deadline:
        link.ping()
        await asyncio.sleep(PING_EVERY_S)
        if link.heard_at > heard_at or link.full:
            heard_at, used_s = loop.time(), _cpu_s(link)
        silent_s = loop.time() - heard_at
        if silent_s > SILENT_AFTER_S or (silent_s > SPINNING_AFTER_S and _cpu_s(link) - used_s > SPINNING_AFTER_S / 2):
            return


def _cpu_s(link: Link) -> float:
    return read_cpu_s(link.pid) if link.pid is not None else 0.0
