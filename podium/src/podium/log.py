"""The log of Podium's own processes: one line per event on stderr, coloured on a terminal or as JSON, without secrets.

`get` may be called anywhere, also at import; nothing is set up before `configure`. The standard library's logging, which
uvicorn and others use, takes the same way.
"""

import logging
import re
import sys
from collections.abc import Iterable, Mapping
from contextlib import AbstractContextManager
from typing import Any, Literal, TextIO

import structlog
from structlog.typing import EventDict, Processor, WrappedLogger

Format = Literal["console", "json"]

HIDDEN = "[redacted]"
_HIDING = (
    (re.compile(r"pod_(?:admin_)?[A-Za-z0-9_.~+/=-]{12,}"), HIDDEN),
    (re.compile(r"(?i)\b(bearer|basic)\s+[A-Za-z0-9_.~+/=-]+"), rf"\1 {HIDDEN}"),
    (re.compile(r"://[^/\s@]+@"), f"://{HIDDEN}@"),
)
"""API keys, Authorization headers, and what stands before the host of a URL."""
_SECRET_NAME = re.compile(r"(?i)secret|authori[sz]ation|password|passwd|api_?key|cookie|credential")
_CONTROLS = {code: f"\\x{code:02x}" for code in (*range(0x20), *range(0x7F, 0xA0)) if chr(code) not in "\n\t"}
_MAX_DEPTH = 8
_HANDLER = "podium"
_QUIET = ("httpx", "httpcore", "asyncio", "uvicorn.error", "websockets")


def get(name: str) -> structlog.stdlib.BoundLogger:
    """A logger; its events carry `name` as `logger` and what `context` has set."""
    processors: list[Processor] = [
        structlog.stdlib.filter_by_level,
        *_shared(),
        structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
    ]
    logger: structlog.stdlib.BoundLogger = structlog.wrap_logger(
        logging.getLogger(name),
        processors=processors,
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=True,
    )
    return logger


def context(**values: Any) -> AbstractContextManager[None]:
    """Every event of this task within the block carries `values`, such as `request_id` or `instance_id`."""
    return structlog.contextvars.bound_contextvars(**values)


def configure(format: Format, level: str, stream: TextIO | None = None) -> None:
    """Send all logging of this process to `stream` (stderr), from `level` (debug, info, warning, error) up. May be repeated.

    uvicorn has to be run with `log_config=None`, else it brings handlers of its own.
    """
    handler = logging.StreamHandler(stream or sys.stderr)
    handler.name = _HANDLER
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=_shared(),
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *_render(format, handler.stream)],
        )
    )
    root = logging.getLogger()
    for known in [known for known in root.handlers if known.name == _HANDLER]:
        root.removeHandler(known)
    root.addHandler(handler)
    root.setLevel(level.upper())
    for name in _QUIET:
        logging.getLogger(name).setLevel(max(logging.WARNING, root.level))


def redact(logger: WrappedLogger, method: str, event: EventDict) -> EventDict:
    """A structlog processor that hides API keys anywhere, and all values whose names speak of secrets."""
    return {name: _redacted(name, value, _MAX_DEPTH) for name, value in event.items()}


def _shared() -> list[Processor]:
    return [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_logger_name,
        structlog.stdlib.add_log_level,
        structlog.stdlib.PositionalArgumentsFormatter(),
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]


def _render(format: Format, stream: TextIO) -> list[Processor]:
    hidden: list[Processor] = [structlog.processors.format_exc_info, redact]
    if format == "json":
        return [*hidden, structlog.processors.JSONRenderer()]
    console = structlog.dev.ConsoleRenderer(colors=stream.isatty(), exception_formatter=structlog.dev.plain_traceback)
    return [*hidden, _escape, console]


def _redacted(name: str, value: Any, depth: int) -> Any:
    if value is None or isinstance(value, (bool, int, float)):
        return value
    if _SECRET_NAME.search(name):
        return HIDDEN
    if isinstance(value, Mapping | list | tuple | set | frozenset):
        return _redacted_items(value, depth - 1) if depth else "…"
    return _without_keys(value if isinstance(value, str) else repr(value))


def _redacted_items(items: Mapping[Any, Any] | Iterable[Any], depth: int) -> Any:
    if isinstance(items, Mapping):
        return {str(name): _redacted(str(name), value, depth) for name, value in items.items()}
    return [_redacted("", value, depth) for value in items]


def _without_keys(text: str) -> str:
    for pattern, replacement in _HIDING:
        text = pattern.sub(replacement, text)
    return text


def _escape(logger: WrappedLogger, method: str, event: EventDict) -> EventDict:
    """What agents and clients say must not steer the operator's terminal, nor look like a line of its own."""
    return {name: _escaped(name, value) if isinstance(value, str) else value for name, value in event.items()}


def _escaped(name: str, text: str) -> str:
    visible = text.translate(_CONTROLS)
    return visible if name == "exception" else visible.replace("\n", "\\n")
