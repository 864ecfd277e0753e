"""One message sent and its reply shown as it comes."""

from contextlib import aclosing

from podium.cli.options import Settings
from podium.cli.output import print_json_line, printable
from podium.cli.transcript import Transcript
from podium.client import AsyncPodium
from podium.protocol.errors import TurnFailed
from podium.protocol.events import Event
from podium.protocol.ids import new_id


async def stream_reply(settings: Settings, podium: AsyncPodium, instance_id: str, text: str, message_id: str | None) -> None:
    """Send a message and print its events; raises TurnFailed where the agent gives it up."""
    message_id = message_id or new_id("msg")
    if settings.json:
        await _print_frames(podium, instance_id, text, message_id)
        return
    transcript = Transcript()
    try:
        async with aclosing(podium.stream(instance_id, text, message_id=message_id)) as frames:
            async for frame in frames:
                transcript.show(frame)
    finally:
        transcript.close_line()
    if not transcript.ended:
        status = await podium.message(instance_id, message_id)
        print(printable(status.reply.text) if status.reply else f"the message is {status.status}")


async def _print_frames(podium: AsyncPodium, instance_id: str, text: str, message_id: str) -> None:
    async with aclosing(podium.stream(instance_id, text, message_id=message_id)) as frames:
        async for frame in frames:
            print_json_line(frame)
            if isinstance(frame, Event) and frame.event_type == "error":
                raise TurnFailed(f"the agent could not process message {message_id}: {frame.content.get('message')}")
