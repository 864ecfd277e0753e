"""Bodies too large for memory: kept in a file of ours until a coordinator has them, so that a forward can be repeated."""

import asyncio
import tempfile
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import BinaryIO, cast

from starlette.requests import Request

from podium.protocol.errors import TooLarge

IN_MEMORY_BYTES = 1024 * 1024
CHUNK_BYTES = 256 * 1024


@asynccontextmanager
async def received(request: Request, limit_bytes: int) -> AsyncIterator[Callable[[], AsyncIterator[bytes]]]:
    """The whole body, which can be read from its beginning as often as it is needed. TooLarge, OSError."""
    with tempfile.SpooledTemporaryFile(IN_MEMORY_BYTES, prefix="podium-upload-") as spooled:
        file, size = cast(BinaryIO, spooled), 0
        async for piece in request.stream():
            size += len(piece)
            if size > limit_bytes:
                raise TooLarge(
                    f"the file is larger than {limit_bytes} bytes: send less, or raise MAX_UPLOAD_SIZE", limit=limit_bytes
                )
            await asyncio.to_thread(file.write, piece)

        async def pieces() -> AsyncIterator[bytes]:
            file.seek(0)
            while piece := await asyncio.to_thread(file.read, CHUNK_BYTES):
                yield piece

        yield pieces
