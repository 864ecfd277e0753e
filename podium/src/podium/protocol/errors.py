"""One tree of errors. Each class has a stable `code`, an HTTP status, and says whether trying again can help.

On the wire they are RFC 9457 problem documents.
"""

from typing import Any, ClassVar


class PodiumError(Exception):
    """Base of all errors that reach a client. `detail` says what happened, why and what to do, `remedy` what helps in general."""

    code: ClassVar[str] = "internal"
    status: ClassVar[int] = 500
    title: ClassVar[str] = "Something went wrong inside Podium"
    remedy: ClassVar[str] = "Try again; if it stays, look for the `request_id` in the platform's log and report it."
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
    remedy = "Correct the request as `detail` says. The same request again fails again."


class InvalidBundle(PodiumError):
    code, status, title = "invalid_bundle", 400, "The bundle cannot be accepted"
    remedy = "Correct the bundle as `detail` says and upload it again; nothing of it was kept."


class UnsupportedRuntime(PodiumError):
    code, status, title = "unsupported_runtime", 422, "This runtime is not supported yet"
    remedy = 'Use `runtime = "python"` in `podium.toml`.'


class Unauthorized(PodiumError):
    code, status, title = "unauthorized", 401, "A valid API key is needed"
    remedy = "Send `Authorization: Bearer pod_…` with a key of this platform, once."


class Forbidden(PodiumError):
    code, status, title = "forbidden", 403, "This key may not do that"
    remedy = "Use a key that has the permission `detail` names."


class NotFound(PodiumError):
    code, status, title = "not_found", 404, "There is no such thing"
    remedy = "Check the name. What belongs to another tenant is not found either."


class InstanceReplaced(PodiumError):
    code, status, title = "instance_replaced", 404, "The instance was deleted and created anew"
    remedy = "Look at the new instance; what was meant for the old one has gone with it."


class MethodNotAllowed(PodiumError):
    code, status, title = "method_not_allowed", 405, "The method is not allowed here"
    remedy = "Use one of the methods in the `Allow` header."


class Conflict(PodiumError):
    code, status, title = "conflict", 409, "This clashes with what is there"
    remedy = "Look at what is there, then decide."


class VersionExists(PodiumError):
    code, status, title = "version_exists", 409, "A version is immutable"
    remedy = "Deploy under the version `next_version` names, or under any other new one."


class InstanceExists(PodiumError):
    code, status, title = "instance_exists", 409, "An instance of that id exists"
    remedy = "Choose another `agent_id`, or delete the instance first."


class NoTurn(PodiumError):
    code, status, title = "no_turn", 409, "There is no turn to stop or guide"
    remedy = "Send guidance as a message. Where something was to be stopped there is nothing to do."


class AlreadyAnswered(PodiumError):
    code, status, title = "already_answered", 409, "The question was answered before"
    remedy = "Nothing: the first answer counts, and `tool_approval_resolved` has it."


class QuestionClosed(PodiumError):
    code, status, title = "question_closed", 409, "Nobody waits for this answer any more"
    remedy = "Send it as a message, if the agent should still know it."


class NotAFile(PodiumError):
    code, status, title = "not_a_file", 409, "Only regular files have content"
    remedy = "Name a regular file; a directory can be listed."


class TooSlow(PodiumError):
    code, status, title, retryable = "too_slow", 408, "The request came too slowly", True
    remedy = "Send the request again at once, whole. Behind a slow line, raise the timeout that `detail` names."


class TooLarge(PodiumError):
    code, status, title = "too_large", 413, "This is larger than the limit"
    remedy = "Send less than `limit`, or raise the setting."


class IdempotencyMismatch(PodiumError):
    code, status, title = "idempotency_mismatch", 422, "The key was used with another body"
    remedy = "Use a new `Idempotency-Key` for a new request."


class TooMany(PodiumError):
    code, status, title, retryable = "too_many", 429, "A limit is reached", True
    remedy = "Wait `Retry-After` seconds, or raise the limit that `detail` names."


class HeadTooLarge(PodiumError):
    code, status, title = "head_too_large", 431, "The headers are larger than the limit"
    remedy = "Send fewer or shorter headers, or raise the setting that `detail` names."


class TurnFailed(PodiumError):
    code, status, title = "turn_failed", 500, "The agent could not process this message"
    remedy = "Look at the instance's log. A new message starts from the state before."


class NotAvailable(PodiumError):
    code, status, title = "not_available", 501, "This part of the contract is not built yet"
    remedy = "Do without it: this release does not have it."


class NotConfigured(PodiumError):
    code, status, title = "not_configured", 501, "The platform is not set up for this"
    remedy = "Set what `detail` names, and start the gateway again."


class UpstreamFailed(PodiumError):
    code, status, title, retryable = "upstream_failed", 502, "A server behind Podium answered wrongly", True
    remedy = "Check the setting that `detail` names; it may also pass by itself."


class InstanceFailed(PodiumError):
    code, status, title, retryable = "instance_failed", 503, "The agent cannot be started", True
    remedy = "See `reason` and `last_exit` of the instance; mend the agent, deploy it, and send again."


class Unavailable(PodiumError):
    code, status, title, retryable = "unavailable", 503, "A part of Podium cannot be reached now", True
    remedy = "Wait `Retry-After` seconds and try again; nothing was lost."


class NewerFormat(PodiumError):
    code, status, title = "newer_format", 503, "This was written by a newer release"
    remedy = "Run the newer release, or one after it."


class Moved(PodiumError):
    code, status, title, retryable = "moved", 503, "The instance has another owner now", True
    remedy = "Try again: the gateway does so by itself."


def by_code() -> dict[str, type[PodiumError]]:
    """Every error class under its code: the reference, and what a client maps a problem back to."""
    return {"internal": InternalError} | {cls.code: cls for cls in PodiumError.__subclasses__() if cls is not InternalError}
