"""Why an instance is awake, for people."""

from podium.coordinator.lifecycle import Status
from podium.coordinator.work import Work

MAX_REASON_CHARS = 200
_STARTING = (Status.DEPLOYING, Status.INITIALIZING)
_ENDING = (Status.SCALING_DOWN, Status.SHUTTING_DOWN)


class Awake:
    """What keeps an agent from sleeping between turns: how long it has been idle since what, and what it said itself."""

    def __init__(self) -> None:
        self.idle_timeout_s: float | None = None
        self._since = "it started"
        self._deferred = ""

    def busy(self, what: str) -> None:
        """From now on it is idle since `what`."""
        self._since, self._deferred = what, ""

    def deferred(self, reason: str) -> None:
        """The agent does not want to sleep yet, and why."""
        self._deferred = reason[:MAX_REASON_CHARS] or "it gave no reason"

    def because(self, status: Status, work: Work | None) -> str | None:
        """One line; None where it is not awake."""
        if status in _STARTING:
            return "starting"
        if status in _ENDING:
            return "falling asleep"
        if status is Status.RUNNING and work:
            return _turn(work)
        if status not in (Status.READY, Status.RUNNING):
            return None
        if self._deferred:
            return f"the agent wants to be: {self._deferred}"
        if self.idle_timeout_s is None:
            return f"its idle timeout is never; idle since {self._since}"
        return f"idle for less than its timeout of {self.idle_timeout_s:g} s, since {self._since}"


def _turn(work: Work) -> str:
    if work.stopping:
        return f"turn of message {work.message_id}, being stopped"
    if work.waiting:
        return f"waiting for an answer to {', '.join(sorted(work.waiting.values())[:3])}"
    return f"turn of message {work.message_id}"
