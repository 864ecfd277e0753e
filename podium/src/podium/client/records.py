"""A log that is followed over any number of connections: each record once, by its number."""

from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing
from typing import Any

import msgspec

from podium.client.errors import Unreachable
from podium.client.retry import Retry
from podium.client.sse import NotAnEventStream, SseParser
from podium.client.transport import Request, Transport, pause
from podium.protocol.api import LogRecord
from podium.protocol.errors import InternalError, PodiumError

_decoder = msgspec.json.Decoder(LogRecord)


async def follow_records(
    transport: Transport, path: str, after: int | None, limit: int | None, level: str | None, resume_for_s: float
) -> AsyncGenerator[LogRecord, None]:
    """All records after a number, or the newest `limit` and what follows; without an end."""
    retry = Retry(resume_for_s)
    while True:
        params: dict[str, Any] = {"follow": "true", "level": level, "limit": limit, "after": after}
        failure: PodiumError = Unreachable(f"{transport.url} ended the stream")
        try:
            async with transport.stream(Request(method="GET", path=path, params=params)) as chunks:
                retry.reached()
                async with aclosing(_read(chunks)) as records:
                    async for record in records:
                        if after is None or record.id > after:
                            after = record.id
                            retry.progressed()
                            yield record
        except PodiumError as error:
            failure = error
        await pause(retry, failure)


async def _read(chunks: AsyncIterator[bytes]) -> AsyncGenerator[LogRecord, None]:
    parser = SseParser()
    async for chunk in chunks:
        try:
            records = [_decoder.decode(event.data) for event in parser.feed(chunk) if event.event == "log"]
        except (NotAnEventStream, msgspec.DecodeError) as error:
            raise InternalError(f"the stream holds something that is not a log record: {error}") from error
        for record in records:
            yield record
