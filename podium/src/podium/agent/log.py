"""Log records of the agent on their way to `podium logs`."""

import asyncio
import sys
import threading
import time
from typing import TYPE_CHECKING, Any

from podium.agent.connection import Connection
from podium.protocol import messages

if TYPE_CHECKING:
    import logging

MAX_MESSAGE_CHARS = 64 * 1024


class Log:
    """`ctx.log`: `info("took %d ms", n)` and the like, from any thread. While too much is unacknowledged, it goes to stderr."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._loop = asyncio.get_running_loop()
        self._thread = threading.get_ident()

    def debug(self, message: str, *args: Any) -> None:
        """For whoever looks for a fault."""
        self.record("debug", _text(message, args))

    def info(self, message: str, *args: Any) -> None:
        """For whoever wants to know what went on."""
        self.record("info", _text(message, args))

    def warning(self, message: str, *args: Any) -> None:
        """Something is not as it should be, and work goes on."""
        self.record("warning", _text(message, args))

    def error(self, message: str, *args: Any) -> None:
        """Something failed."""
        self.record("error", _text(message, args))

    def exception(self, message: str, *args: Any) -> None:
        """As `error`, with the traceback of the exception being handled."""
        import traceback

        self.record("error", f"{_text(message, args)}\n{traceback.format_exc()}")

    def record(self, level: str, message: str, module: str = "") -> None:
        """Send one record as it is."""
        text = message[:MAX_MESSAGE_CHARS].encode("utf-8", "replace").decode()
        frame = messages.Log(n=0, level=level, message=text, module=module, timestamp=time.time())
        if threading.get_ident() == self._thread:
            self._send(frame)
            return
        try:
            self._loop.call_soon_threadsafe(self._send, frame)
        except RuntimeError:  # the loop has ended before the thread
            _to_stderr(frame)

    def _send(self, frame: messages.Log) -> None:
        if self._connection.full:
            _to_stderr(frame)
        else:
            self._connection.send(frame)


def forward_logging(log: Log) -> None:
    """Send what the author's code and libraries log through `logging` the same way, unless they have set up handlers."""
    import logging

    class Forwarding(logging.Handler):
        def emit(self, record: "logging.LogRecord") -> None:
            try:
                log.record(record.levelname.lower(), self.format(record), record.name)
            except Exception:  # noqa: BLE001  a record that cannot be formatted is reported the way logging does
                self.handleError(record)

    root = logging.getLogger()
    if not root.handlers:
        root.addHandler(Forwarding())
        if root.level == logging.WARNING:
            root.setLevel(logging.INFO)


def _text(message: str, args: tuple[Any, ...]) -> str:
    return message % args if args else str(message)


def _to_stderr(frame: messages.Log) -> None:
    print(f"{frame.level}: {frame.message}", file=sys.stderr)
