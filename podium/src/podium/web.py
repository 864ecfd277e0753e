"""What both HTTP servers do alike: problem documents, bounded bodies, typed queries, JSON out, and serving itself."""

import asyncio
import contextlib
import errno
import os
import re
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

import msgspec
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, HTTPConnection, Request
from starlette.responses import Response

from podium import log
from podium.protocol.documents import check_document
from podium.protocol.errors import (
    InternalError,
    InvalidRequest,
    NotFound,
    PodiumError,
    TooLarge,
    Unauthorized,
    Unavailable,
)
from podium.protocol.ids import INSTANCE_ID, new_id
from podium.protocol.parameters import MAX_WAIT_S, WAIT

T = TypeVar("T")
REQUEST_ID_HEADER = "x-request-id"
LIFE_HEADER = "x-podium-life"
"""The life of the instance that a forward means: another one refuses it."""
CHOSEN_KEY_HEADER = "x-podium-chosen-key"
"""The key a gateway chose for a request that came without one, so that its own second try does nothing twice."""
_REQUEST_ID = re.compile(r"[A-Za-z0-9_.:-]{1,64}", re.ASCII)
Endpoint = Callable[[Request], Awaitable[Response]]
_logger = log.get("web")


def json_response(value: Any, status: int = 200, headers: dict[str, str] | None = None) -> Response:
    """A JSON answer."""
    return Response(msgspec.json.encode(value), status, headers, "application/json")


def problem(error: PodiumError, request_id: str) -> Response:
    """An error as RFC 9457 says."""
    headers = {REQUEST_ID_HEADER: request_id}
    if error.retry_after_s is not None:
        headers["retry-after"] = str(error.retry_after_s)
    body = msgspec.json.encode(error.problem(request_id))
    return Response(body, error.status, headers, "application/problem+json")


def endpoint(handler: Endpoint) -> Endpoint:
    """`handler` with a request id, and with every error as a problem document."""

    async def answer(request: Request) -> Response:
        request_id = request_id_of(request)
        request.state.request_id = request_id
        try:
            response = await handler(request)
        except ClientDisconnect:
            return Response(status_code=499)
        except asyncio.CancelledError:
            return problem(Unavailable("this part of the platform is stopping", retry_after_s=1), request_id)
        except Exception as error:  # noqa: BLE001 - the boundary: nothing but problem documents leaves
            return problem(as_podium_error(error, request_id), request_id)
        response.headers.setdefault(REQUEST_ID_HEADER, request_id)
        return response

    return answer


def as_podium_error(error: Exception, request_id: str) -> PodiumError:
    """What a client is told of an error; what it is not told is logged under the request id."""
    match error:
        case PodiumError():
            return error
        case HTTPException():
            return InvalidRequest(str(error.detail))
        case ConnectionError() | TimeoutError():
            _logger.warning("unavailable", request_id=request_id, error=str(error))
            return Unavailable(f"a part of the platform does not answer: {error}", retry_after_s=1)
        case OSError(errno=errno.EMFILE | errno.ENFILE):
            _logger.error("no file descriptors left", request_id=request_id, exc_info=error)
            return Unavailable("this part of the platform has no file descriptors left: raise its limit", retry_after_s=5)
        case OSError(errno=errno.ENOSPC | errno.EDQUOT):
            _logger.error("disk full", request_id=request_id, exc_info=error)
            return Unavailable("the disk of this part of the platform is full: make room", retry_after_s=5)
        case OSError():
            _logger.error("storage failed", request_id=request_id, exc_info=error)
            return Unavailable("the platform's storage cannot be used now; the log says why", retry_after_s=5)
    _logger.error("internal error", request_id=request_id, exc_info=error)
    return InternalError("an unexpected error; the platform's log has it under this request id")


def request_id_of(request: HTTPConnection) -> str:
    """The client's own where it is a name that any log and header can carry, else a new one."""
    given = request.headers.get(REQUEST_ID_HEADER, "")
    return given if _REQUEST_ID.fullmatch(given) else new_id("req")


async def read_body(request: Request, limit_bytes: int) -> bytes:
    """The whole body; TooLarge as soon as it exceeds the limit."""
    chunks: list[bytes] = []
    size = 0
    async for chunk in request.stream():
        size += len(chunk)
        if size > limit_bytes:
            raise TooLarge(f"the body is larger than {limit_bytes} bytes", limit=limit_bytes)
        chunks.append(chunk)
    return b"".join(chunks)


def decode(body: bytes, type_: type[T]) -> T:
    """The body as the struct the route table names; InvalidRequest says which field is wrong."""
    if not body:
        raise InvalidRequest("the body is empty: send a JSON document")
    try:
        decoded = msgspec.json.decode(body, type=type_)
        check_document(body)
    except (ValueError, RecursionError) as error:
        raise InvalidRequest(f"the body is not as it should be: {error}") from None
    return decoded


def target(request: HTTPConnection) -> str:
    """The path with its query, as it was sent: what a caller header is signed for."""
    query = request.scope["query_string"].decode("ascii")
    path: str = request.scope["raw_path"].decode("ascii")
    return f"{path}?{query}" if query else path


def authorization(connection: HTTPConnection) -> str | None:
    """The Authorization header; Unauthorized where there are several: which one counts must never be a guess."""
    values = connection.headers.getlist("authorization")
    if len(values) > 1:
        raise Unauthorized("there are several Authorization headers: send one")
    return values[0] if values else None


def instance_id(request: HTTPConnection) -> str:
    """The instance in the path; NotFound for what cannot be one."""
    name = str(request.path_params["instance_id"])
    if not INSTANCE_ID.fullmatch(name):
        raise NotFound("there is no instance of that name")
    return name


def query_int(request: Request, name: str, default: int, low: int, high: int) -> int:
    """A whole number from the query, within bounds."""
    text = request.query_params.get(name)
    return default if text is None else whole_number(name, text, low, high)


def whole_number(name: str, text: str, low: int, high: int) -> int:
    """A whole number as somebody wrote it, within bounds; InvalidRequest."""
    if not (text.isascii() and text.isdigit() and len(text) < 19 and low <= int(text) <= high):
        raise InvalidRequest(f"{name} must be a whole number from {low} to {high}")
    return int(text)


def query_flag(request: Request, name: str) -> bool:
    """Whether a query says `true`; false where it says `false` or nothing."""
    text = request.query_params.get(name, "false")
    if text not in ("true", "false"):
        raise InvalidRequest(f"{name} must be true or false")
    return text == "true"


def wait_s(request: Request, default: float) -> float:
    """How long a caller wants to wait: `wait=` seconds up to MAX_WAIT_S; `Prefer: respond-async` is `wait=0`."""
    if "respond-async" in request.headers.get("prefer", ""):
        return 0.0
    text = request.query_params.get("wait")
    if text is None:
        return default
    try:
        return msgspec.convert(text, WAIT.type, strict=False)  # type: ignore[no-any-return]
    except msgspec.ValidationError:
        raise InvalidRequest(f"wait must be seconds from 0 to {MAX_WAIT_S}") from None


def listening_fd() -> int | None:
    """The socket a supervisor has bound for this process, so that a restart refuses nobody."""
    with contextlib.suppress(KeyError, ValueError):
        return int(os.environ["PODIUM_LISTEN_FD"])
    return None
