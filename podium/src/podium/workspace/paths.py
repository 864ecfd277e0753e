"""Paths a client names inside a workspace: relative, `/`-separated, never upwards; bytes not UTF-8 as surrogate escapes."""

import os

from podium.protocol.errors import InvalidRequest

MAX_PATH_BYTES = 4095
MAX_NAME_BYTES = 255
DRAFT_PREFIX = ".podium-upload."
"""Begins the names of files that are being put."""


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


def checked_file(path: str) -> list[str]:
    """The names on the way to a file that is put from outside, its own last; InvalidRequest for what can be none."""
    segments = checked_segments(path)
    if not segments or path.endswith("/"):
        raise InvalidRequest(f"The path {path[:80]!r} names no file.")
    if any(len(os.fsencode(segment)) > MAX_NAME_BYTES for segment in segments):
        raise InvalidRequest(f"A name in the path has more than {MAX_NAME_BYTES} bytes.")
    if segments[-1].startswith(DRAFT_PREFIX):
        raise InvalidRequest(f"Names that begin with {DRAFT_PREFIX!r} are kept for uploads on their way.")
    return segments
