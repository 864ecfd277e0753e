"""`podium events`: everything an instance does, as it happens."""

import asyncio
import os
import stat
import sys
from collections.abc import Coroutine
from contextlib import aclosing
from typing import Any

import click
import msgspec

from podium.cli.options import Settings, pass_settings, shared_options
from podium.cli.output import print_json_line, printable, when
from podium.cli.session import converse
from podium.client import AsyncPodium
from podium.protocol.events import Event, Frame, Reset, Status, Truncate


@click.command(short_help="Follow everything an instance does.")
@click.argument("instance")
@click.option("--after", metavar="CURSOR", help="Begin after this cursor, such as 1.42; else at the oldest event kept.")
@shared_options
@pass_settings
def events(settings: Settings, instance: str, after: str | None) -> None:
    """Follow the events of INSTANCE until Ctrl-C; with --json one a line. Reading does not wake it."""
    converse(settings, lambda podium: _while_read(_follow(settings, podium, instance, after)))


async def _while_read(following: Coroutine[Any, Any, None]) -> None:
    """Follow until nobody reads any more: `podium events x | head` has to end although no event comes to be written."""
    task, left = asyncio.create_task(following), asyncio.Event()

    def leave() -> None:
        left.set()
        task.cancel()

    if (pipe := _output_pipe()) is not None:
        # A pipe's writing end is never readable: the selector wakes for it only when its reader has gone.
        asyncio.get_running_loop().add_reader(pipe, leave)
    try:
        await task
    except asyncio.CancelledError:
        if not left.is_set():
            raise
        raise BrokenPipeError from None


def _output_pipe() -> int | None:
    try:
        descriptor = sys.stdout.fileno()
    except OSError:  # not a file at all, as in a program that calls us
        return None
    return descriptor if stat.S_ISFIFO(os.fstat(descriptor).st_mode) else None


async def _follow(settings: Settings, podium: AsyncPodium, instance: str, after: str | None) -> None:
    async with aclosing(podium.events(instance, after=after)) as frames:
        async for frame in frames:
            if settings.json:
                print_json_line(frame)
            else:
                print(printable(_line(frame)), flush=True)


def _line(frame: Frame) -> str:
    if isinstance(frame, Event):
        content = msgspec.json.encode(frame.content).decode()
        return f"{frame.cursor}  {when(frame.ts)}  {frame.message_id or '-'}  {frame.event_type}  {content}"
    if isinstance(frame, Truncate):
        return f"{frame.epoch}.{frame.after_seq}  truncate: what came above {frame.after_seq} is lost"
    if isinstance(frame, Reset):
        return f"-  reset: the log begins at {frame.first_seq}"
    assert isinstance(frame, Status)
    return f"{frame.cursor}  status: {frame.status}"
