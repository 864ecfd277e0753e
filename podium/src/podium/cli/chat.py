"""`podium chat`: a conversation, line by line."""

import asyncio
import sys

import click

from podium.cli.failures import tell
from podium.cli.options import Settings, pass_settings, shared_options
from podium.cli.reply import StreamedReply
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
                    _turn(runner, StreamedReply(settings, podium, instance, line, None), settings, "answer> " if person else "")
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


def _turn(runner: asyncio.Runner, reply: StreamedReply, settings: Settings, prompt: str) -> None:
    """One message and the answers to what the agent asks; the conversation goes on where the agent gives it up.

    The loop stands still while somebody types, so that Ctrl-C is theirs.
    """
    try:
        while (question := runner.run(reply.until_question())) is not None:
            if (line := _read_line(prompt)) is None:
                return
            runner.run(reply.answer(question, line))
    except TurnFailed as error:
        tell(error, as_json=settings.json)
    finally:
        runner.run(reply.close())


def _read_line(prompt: str) -> str | None:
    try:
        return input(prompt)
    except EOFError:
        return None
