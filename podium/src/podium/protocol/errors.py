"""One tree of errors. Each class has a stable `code`, an HTTP status, and says whether trying again can help.

On the wire they are RFC 9457 problem documents.
"""

from typing import Any, ClassVar


class PodiumError(Exception):
    """Base of all errors that reach a client. `detail` says what happened, why, and what to do."""

    code: ClassVar[str] = "internal"
    status: ClassVar[int] = 500
    title: ClassVar[str] = "Something went wrong inside Podium"
    retryable: ClassVar[bool] = False

    def __init__(self, detail: str, *, retry_after_s: int | None = None, **extra: Any) -> None:
        super().__init__(detail)
        self.detail = detail
        self.retry_after_s = retry_after_s
        self.extra = extra

    def problem(self, request_id: str) -> dict[str, Any]:
        """The RFC 9457 document for this error."""
        return {
            "type": f"urn:podium:error:{self.code}",
            "title": self.title,
            "status": self.status,
            "detail": self.detail,
            "code": self.code,
            "retryable": self.retryable,
            "request_id": request_id,
            **self.extra,
        }


class InternalError(PodiumError):
    """A bug of ours, or a machine that fails us; the log has the whole story under the request id."""

    retryable = True


class InvalidRequest(PodiumError):
    code, status, title = "invalid_request", 400, "The request is not valid"


class InvalidBundle(PodiumError):
    code, status, title = "invalid_bundle", 400, "The bundle cannot be accepted"


class UnsupportedRuntime(PodiumError):
    code, status, title = "unsupported_runtime", 422, "This runtime is not supported yet"


class Unauthorized(PodiumError):
    code, status, title = "unauthorized", 401, "A valid API key is needed"


class Forbidden(PodiumError):
    code, status, title = "forbidden", 403, "This key may not do that"


class NotFound(PodiumError):
    code, status, title = "not_found", 404, "There is no such thing"


class InstanceReplaced(PodiumError):
    code, status, title = "instance_replaced", 404, "The instance was deleted and created anew"


class MethodNotAllowed(PodiumError):
    code, status, title = "method_not_allowed", 405, "The method is not allowed here"


class Conflict(PodiumError):
    code, status, title = "conflict", 409, "This clashes with what is there"


class VersionExists(PodiumError):
    code, status, title = "version_exists", 409, "A version is immutable"


class InstanceExists(PodiumError):
    code, status, title = "instance_exists", 409, "An instance of that id exists"


class NotAFile(PodiumError):
    code, status, title = "not_a_file", 409, "Only regular files have content"


class TooLarge(PodiumError):
    code, status, title = "too_large", 413, "This is larger than the limit"


class IdempotencyMismatch(PodiumError):
    code, status, title = "idempotency_mismatch", 422, "The key was used with another body"


class TooMany(PodiumError):
    code, status, title, retryable = "too_many", 429, "A limit is reached", True


class TurnFailed(PodiumError):
    code, status, title = "turn_failed", 500, "The agent could not process this message"


class NotAvailable(PodiumError):
    code, status, title = "not_available", 501, "This part of the contract is not built yet"


class NotConfigured(PodiumError):
    code, status, title = "not_configured", 501, "The platform is not set up for this"


class UpstreamFailed(PodiumError):
    code, status, title, retryable = "upstream_failed", 502, "A server behind Podium answered wrongly", True


class InstanceFailed(PodiumError):
    code, status, title, retryable = "instance_failed", 503, "The agent cannot be started", True


class Unavailable(PodiumError):
    code, status, title, retryable = "unavailable", 503, "A part of Podium cannot be reached now", True


class NewerFormat(PodiumError):
    code, status, title = "newer_format", 503, "This was written by a newer release"


class Moved(PodiumError):
    code, status, title, retryable = "moved", 503, "The instance has another owner now", True


def by_code() -> dict[str, type[PodiumError]]:
    """Every error class under its code: the reference, and what a client maps a problem back to."""
    return {"internal": InternalError} | {cls.code: cls for cls in PodiumError.__subclasses__() if cls is not InternalError}
