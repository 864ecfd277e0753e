"""One message sent and its reply shown as it comes, with the questions the agent asks in between."""

from collections.abc import AsyncGenerator

from podium.cli.options import Settings
from podium.cli.output import print_json_line, printable
from podium.cli.transcript import QUESTIONS, Transcript, print_note
from podium.client import AsyncPodium
from podium.protocol.errors import AlreadyAnswered, QuestionClosed, TurnFailed
from podium.protocol.events import Event, Reset, Truncate
from podium.protocol.ids import new_id

_YES = frozenset({"y", "yes", "true"})
_NO = frozenset({"n", "no", "false", ""})


async def stream_reply(settings: Settings, podium: AsyncPodium, instance_id: str, text: str, message_id: str | None) -> None:
    """Send a message and print its events; raises TurnFailed where the agent gives it up."""
    reply = StreamedReply(settings, podium, instance_id, text, message_id)
    try:
        while await reply.until_question():
            pass  # somebody else answers
    finally:
        await reply.close()


class StreamedReply:
    """A message on its way. `until_question` until that returns None, then `close`."""

    def __init__(self, settings: Settings, podium: AsyncPodium, instance_id: str, text: str, message_id: str | None) -> None:
        self._podium = podium
        self._instance_id = instance_id
        self._message_id = message_id or new_id("msg")
        self._transcript = None if settings.json else Transcript()
        self._frames: AsyncGenerator[Event | Truncate | Reset, None] = podium.stream(
            instance_id, text, message_id=self._message_id
        )

    async def until_question(self) -> Event | None:
        """Print events up to the next question of the agent, and return that; None once the message has ended. TurnFailed."""
        async for frame in self._frames:
            self._show(frame)
            if isinstance(frame, Event) and frame.event_type in QUESTIONS:
                return frame
        if self._transcript and not self._transcript.ended:
            self._transcript.close_line()
            status = await self._podium.message(self._instance_id, self._message_id)
            print(printable(status.reply.text) if status.reply else f"the message is {status.status}")
        return None

    async def answer(self, question: Event, line: str) -> None:
        """Answer with what a person typed; a permission is granted by y or yes; all that is not no is the reason against it."""
        content: object = line
        if question.event_type == "tool_permission_requested":
            word = line.strip().lower()
            content = word in _YES if word in _YES | _NO else {"approved": False, "reason": line}
        try:
            await self._podium.answer(self._instance_id, str(question.content.get("request_id")), content)
        except (AlreadyAnswered, QuestionClosed) as error:
            print_note(error.detail)

    async def close(self) -> None:
        """Leave; the agent goes on."""
        await self._frames.aclose()
        if self._transcript:
            self._transcript.close_line()

    def _show(self, frame: Event | Truncate | Reset) -> None:
        if self._transcript:
            self._transcript.show(frame)
            return
        print_json_line(frame)
        if isinstance(frame, Event) and frame.event_type == "error":
            raise TurnFailed(f"the agent could not process message {self._message_id}: {frame.content.get('message')}")
