"""`podium chat`: a conversation, line by line."""

import asyncio
import sys

import click

from podium.cli.failures import tell
from podium.cli.options import Settings, pass_settings, shared_options
from podium.cli.reply import stream_reply
from podium.cli.session import connect
from podium.cli.transcript import print_note
from podium.client import AsyncPodium
from podium.protocol.errors import TurnFailed


@click.command(short_help="Talk to an instance.")
@click.argument("instance")
@shared_options
@pass_settings
def chat(settings: Settings, instance: str) -> None:
    """Talk to INSTANCE, a line at a time. Ctrl-C or Ctrl-D leaves; what the agent works on goes on without you."""
    person = sys.stdin.isatty()
    if person:
        # Line editing and history come with the import alone.
        import readline  # noqa: F401
    with asyncio.Runner() as runner:
        podium = runner.run(_connected(settings, instance, greet=person))
        try:
            while (line := _read_line("you> " if person else "")) is not None:
                if line.strip():
                    runner.run(_turn(settings, podium, instance, line))
        except KeyboardInterrupt:
            print_note("left; the agent goes on with what it has")
        finally:
            runner.run(podium.close())


async def _connected(settings: Settings, instance: str, *, greet: bool) -> AsyncPodium:
    podium = connect(settings)
    try:
        found = await podium.instance(instance)
    except BaseException:
        await podium.close()
        raise
    if greet and not settings.json:
        print_note(f"{found.instance_id}, {found.deployment_id}, {found.status}; Ctrl-C leaves")
    return podium


async def _turn(settings: Settings, podium: AsyncPodium, instance: str, line: str) -> None:
    """One message; the conversation goes on where the agent gives it up."""
    try:
        await stream_reply(settings, podium, instance, line, None)
    except TurnFailed as error:
        tell(error, as_json=settings.json)


def _read_line(prompt: str) -> str | None:
    try:
        return input(prompt)
    except EOFError:
        return None
