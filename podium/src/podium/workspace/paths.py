"""Paths a client names inside a workspace: relative, `/`-separated, never upwards; bytes not UTF-8 as surrogate escapes."""

import os

from podium.protocol.errors import InvalidRequest

MAX_PATH_BYTES = 4095


def checked_segments(path: str) -> list[str]:
    """The names on the way to `path`, none for the root; InvalidRequest for what is no path inside a workspace."""
    try:
        size_bytes = len(os.fsencode(path))
    except UnicodeEncodeError:
        raise InvalidRequest("The path holds characters that no file name can have.") from None
    if size_bytes > MAX_PATH_BYTES:
        raise InvalidRequest(f"The path has {size_bytes} bytes; at most {MAX_PATH_BYTES} are possible.")
    if "\0" in path:
        raise InvalidRequest("The path holds a NUL character; no file name can.")
    if path.startswith("/"):
        raise InvalidRequest(f"The path {path[:80]!r} is absolute; name it relative to the workspace.")
    segments = [segment for segment in path.split("/") if segment not in ("", ".")]
    if ".." in segments:
        raise InvalidRequest(f"The path {path[:80]!r} contains '..'; name it without.")
    return segments
