"""Exit codes, and how a failure is told: one line, or a problem document for programs."""

import json
import sys
from collections.abc import Mapping
from typing import Any

from podium.protocol.errors import InvalidRequest, NotFound, PodiumError, Unauthorized, Unavailable

FAILED, USAGE, UNREACHABLE, NOT_FOUND, INTERRUPTED = 1, 2, 3, 4, 130

EXIT_CODES: Mapping[int, str] = {
    0: "done",
    FAILED: "the operation failed; the error says what, why and what to do",
    USAGE: "the command line, the configuration or a value in it is not valid",
    UNREACHABLE: "the platform cannot be reached",
    NOT_FOUND: "there is no such deployment, instance or message",
    INTERRUPTED: "interrupted",
}
_BY_KIND: tuple[tuple[type[PodiumError], int], ...] = (
    (InvalidRequest, USAGE),
    (Unauthorized, USAGE),
    (Unavailable, UNREACHABLE),
    (NotFound, NOT_FOUND),
)


def exit_code(error: PodiumError) -> int:
    """What the command ends with."""
    if error.status == 404:
        return NOT_FOUND
    return next((code for kind, code in _BY_KIND if isinstance(error, kind)), FAILED)


def tell(error: PodiumError, *, as_json: bool) -> None:
    """Print a failure on stderr."""
    document = error.problem(str(error.extra.get("request_id", "")))
    if as_json:
        _print_json(document)
        return
    request = f" (request {document['request_id']})" if document["code"] == "internal" and document["request_id"] else ""
    _print_line(error.detail + request, str(document["code"]))


def tell_local(message: str, code: str, *, as_json: bool) -> None:
    """Print a failure that is none of the platform's on stderr."""
    if as_json:
        _print_json({"type": f"urn:podium:error:{code}", "title": message, "detail": message, "code": code, "retryable": False})
    else:
        _print_line(message, code)


def _print_json(document: dict[str, Any]) -> None:
    print(json.dumps(document, default=str), file=sys.stderr)


def _print_line(message: str, code: str) -> None:
    line = " ".join(message.split())
    print(f"error: {''.join(char for char in line if char.isprintable())} ({code})", file=sys.stderr)
