"""The frames of the native stream out of the bytes of an event stream."""

from collections.abc import AsyncGenerator, AsyncIterator

import msgspec

from podium.client.sse import NotAnEventStream, ServerSentEvent, SseParser
from podium.protocol.errors import InternalError
from podium.protocol.events import Frame

_KNOWN = frozenset({"update", "truncate", "reset", "status"})
_decoder: msgspec.json.Decoder[Frame] = msgspec.json.Decoder(Frame)


async def read_frames(chunks: AsyncIterator[bytes]) -> AsyncGenerator[Frame, None]:
    """Each whole frame; kinds of a later version are passed over. Raises InternalError for what is no frame."""
    parser = SseParser()
    async for chunk in chunks:
        try:
            frames = [_decode(event) for event in parser.feed(chunk) if event.event in _KNOWN]
        except (NotAnEventStream, msgspec.DecodeError) as error:
            raise InternalError(f"the stream holds something that is not an event: {error}") from error
        for frame in frames:
            yield frame


def _decode(event: ServerSentEvent) -> Frame:
    return _decoder.decode(event.data)
