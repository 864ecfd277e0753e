"""An answer that is not a success, as one of the errors of the protocol."""

from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any

import msgspec

from podium.protocol import errors
from podium.protocol.errors import PodiumError

_BY_CODE = errors.by_code()
_BY_STATUS: dict[int, type[PodiumError]] = {
    400: errors.InvalidRequest,
    401: errors.Unauthorized,
    403: errors.Forbidden,
    404: errors.NotFound,
    405: errors.MethodNotAllowed,
    409: errors.Conflict,
    413: errors.TooLarge,
    422: errors.InvalidRequest,
    429: errors.TooMany,
    501: errors.NotAvailable,
    502: errors.Unavailable,
    503: errors.Unavailable,
    504: errors.Unavailable,
}
_PASSING = frozenset({429, 502, 503, 504})
_MAX_RETRY_AFTER_S = 86_400


def problem_error(status: int, headers: Mapping[str, str], body: bytes) -> PodiumError:
    """The error for an answer of `status`: by its problem document's `code`, else by the status alone."""
    document = _document(body)
    code = document.get("code")
    kind = _BY_CODE.get(str(code)) or _BY_STATUS.get(status, errors.InternalError)
    detail = document.pop("detail", None)
    if not isinstance(detail, str):
        detail = f"the answer was {status} without a problem document; check that the URL is a Podium gateway's"
    error = kind(detail, retry_after_s=retry_after_s(headers.get("retry-after")))
    error.extra = {"status": status} | document
    return error


def code_of(error: PodiumError) -> str:
    """The code the platform named, also where this client is too old to have a class for it."""
    return str(error.extra.get("code", error.code))


def passes_by_itself(error: PodiumError) -> bool:
    """Whether the same request may succeed soon. An agent that cannot be started counts only where the platform says when."""
    if isinstance(error, errors.InstanceFailed) and error.retry_after_s is None:
        return False
    return bool(error.extra.get("retryable", error.retryable)) and error.extra.get("status", error.status) in _PASSING


def retry_after_s(value: str | None) -> int | None:
    """`Retry-After` in seconds, from either of its forms; None where it is missing or neither."""
    if not value:
        return None
    if value.isascii() and value.isdigit():
        return min(int(value[:9]), _MAX_RETRY_AFTER_S)
    try:
        at = parsedate_to_datetime(value)
    except ValueError:
        return None
    left_s = (at.replace(tzinfo=at.tzinfo or UTC) - datetime.now(UTC)).total_seconds()
    return min(max(0, round(left_s)), _MAX_RETRY_AFTER_S)


def _document(body: bytes) -> dict[str, Any]:
    try:
        return msgspec.json.decode(body, type=dict[str, Any])
    except (msgspec.DecodeError, UnicodeDecodeError):
        return {}
