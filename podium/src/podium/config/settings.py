"""The one table of settings, and what those without a fixed default are on this machine."""

import dataclasses
import os
import re
import socket
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple, get_type_hints

from podium.config import kinds
from podium.config.kinds import one_of

NEEDED_APART = ("VALKEY_URL", "ADMIN_API_KEY", "SECRETS_KEY")
"""What a gateway or a coordinator that runs alone has to be given, since all have to have the same; `podium up` makes its own."""

Computed = Callable[[Mapping[str, str], Mapping[str, Any]], Any]
"""A default made from the environment and from the fields of `Settings` that stand above."""


class Setting(NamedTuple):
    """One row of the table. `default` is text like any other source's, None for none, or computed."""

    name: str
    kind: kinds.Kind
    default: str | Computed | None
    doc: str
    default_text: str = ""
    secret: bool = False

    @property
    def key(self) -> str:
        """Its key in the file and among the flags: `gateway_port` for GATEWAY_PORT, `data` for PODIUM_DATA."""
        return self.name.removeprefix("PODIUM_").lower()


def _data(environ: Mapping[str, str], above: Mapping[str, Any]) -> Path:
    if os.geteuid() == 0:
        return Path("/var/lib/podium")
    share = environ.get("XDG_DATA_HOME", "")
    return (Path(share) if share.startswith("/") else Path(environ.get("HOME") or Path.home()) / ".local/share") / "podium"


def _coordinator_id(environ: Mapping[str, str], above: Mapping[str, Any]) -> str:
    return re.sub(r"[^A-Za-z0-9_.-]", "-", socket.gethostname()).strip("-._")[:63] or "coordinator"


def _coordinator_url(environ: Mapping[str, str], above: Mapping[str, Any]) -> str:
    anywhere = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104 - compared, not bound
    host = anywhere.get(above["coordinator_host"], above["coordinator_host"])
    return f"http://{f'[{host}]' if ':' in host else host}:{above['coordinator_port']}"


def _log_format(environ: Mapping[str, str], above: Mapping[str, Any]) -> str:
    return "console" if sys.stderr.isatty() else "json"


# fmt: off
@dataclasses.dataclass(frozen=True, kw_only=True, repr=False)
class Settings:
    """All settings, checked. A field is named as its setting, with the unit; `idle_timeout_s` None is never."""

    gateway_host: Annotated[str, Setting("GATEWAY_HOST", kinds.HOST, "127.0.0.1", "Address the gateway listens on.")]
    gateway_port: Annotated[int, Setting("GATEWAY_PORT", kinds.PORT, "8090", "Port of the public API.")]
    coordinator_host: Annotated[str, Setting(
        "COORDINATOR_HOST", kinds.HOST, "127.0.0.1", "Address the coordinator listens on.",
    )]
    coordinator_port: Annotated[int, Setting(
        "COORDINATOR_PORT", kinds.PORT, "9090", "Port on which the coordinator answers gateways.",
    )]
    coordinator_id: Annotated[str, Setting(
        "COORDINATOR_ID", kinds.NAME, _coordinator_id,
        "Name of this coordinator. Keep it for the life of the data directory.", "the host's name",
    )]
    coordinator_url: Annotated[str, Setting(
        "COORDINATOR_URL", kinds.HTTP_URL, _coordinator_url, "How gateways reach this coordinator.",
        "`COORDINATOR_HOST` and `COORDINATOR_PORT`",
    )]
    valkey_url: Annotated[str | None, Setting(
        "VALKEY_URL", kinds.VALKEY_URL, None, "The Valkey that gateways and coordinators share.", "one of its own", secret=True,
    )]
    environment: Annotated[str, Setting(
        "ENVIRONMENT", one_of("dev", "staging", "production"), "dev", "First part of all keys in the object store.",
    )]
    admin_api_key: Annotated[str | None, Setting(
        "ADMIN_API_KEY", kinds.ADMIN_KEY, None, "The API key that may do everything.",
        "made once, kept in the data directory", secret=True,
    )]
    secrets_key: Annotated[str | None, Setting(
        "SECRETS_KEY", kinds.SECRET, None, "Root of the keys that sign requests between parts: the same on all of them.",
        "made once, kept in the data directory", secret=True,
    )]
    secrets_key_previous: Annotated[str | None, Setting(
        "SECRETS_KEY_PREVIOUS", kinds.SECRET, None, "The SECRETS_KEY before this one: what it has sealed is still read.",
        "none", secret=True,
    )]
    ensemble_url: Annotated[str | None, Setting(
        "ENSEMBLE_URL", kinds.BASE_URL, None, "An OpenAI-compatible endpoint, asked which models there are.", "none",
    )]
    ensemble_api_key: Annotated[str | None, Setting(
        "ENSEMBLE_API_KEY", kinds.TOKEN, None, "The key for ENSEMBLE_URL.", "none", secret=True,
    )]
    agent_python: Annotated[Path | None, Setting(
        "AGENT_PYTHON", kinds.PATH, None, "The interpreter that runs agents; their uids have to be able to execute it.",
        "`/usr/bin/python3.11`, else Podium's own",
    )]
    data: Annotated[Path, Setting(
        "PODIUM_DATA", kinds.PATH, _data, "The data directory.", "`/var/lib/podium` as root, else `~/.local/share/podium`",
    )]
    log_format: Annotated[Literal["console", "json"], Setting(
        "LOG_FORMAT", one_of("console", "json"), _log_format, "How log lines look.", "`console` on a terminal, else `json`",
    )]
    log_level: Annotated[str, Setting(
        "LOG_LEVEL", one_of("debug", "info", "warning", "error"), "info", "The least level that is logged.",
    )]
    max_bundle_size_bytes: Annotated[int, Setting(
        "MAX_BUNDLE_SIZE", kinds.SIZE, "64MiB", "The largest bundle that is accepted, packed.",
    )]
    max_message_size_bytes: Annotated[int, Setting(
        "MAX_MESSAGE_SIZE", kinds.SIZE, "1MiB", "The largest message that is accepted.",
    )]
    max_connections: Annotated[int, Setting(
        "MAX_CONNECTIONS", kinds.COUNT, "10000",
        "Client connections that a gateway or coordinator holds open at once; never more than its file descriptors allow.",
    )]
    max_request_head_size_bytes: Annotated[int, Setting(
        "MAX_REQUEST_HEAD_SIZE", kinds.SIZE, "32KiB", "The largest request line and headers that are accepted.",
    )]
    request_head_timeout_s: Annotated[float, Setting(
        "REQUEST_HEAD_TIMEOUT", kinds.DURATION, "10s", "How long a client may take for the request line and headers.",
    )]
    request_body_timeout_s: Annotated[float, Setting(
        "REQUEST_BODY_TIMEOUT", kinds.DURATION, "30s", "How long the body of a request may come at less than 1 KiB/s.",
    )]
    keep_alive_timeout_s: Annotated[float, Setting(
        "KEEP_ALIVE_TIMEOUT", kinds.DURATION, "75s", "How long a connection is kept on which nothing is asked.",
    )]
    max_upload_size_bytes: Annotated[int, Setting(
        "MAX_UPLOAD_SIZE", kinds.SIZE, "64MiB", "The largest file that is accepted for a workspace.",
    )]
    max_spool_size_bytes: Annotated[int, Setting(
        "MAX_SPOOL_SIZE", kinds.SIZE, "256MiB", "Bytes of uploads that may wait for the end of a turn, for one instance.",
    )]
    max_inbox: Annotated[int, Setting("MAX_INBOX", kinds.COUNT, "1000", "Messages that may wait in one instance's inbox.")]
    max_agents: Annotated[int, Setting("MAX_AGENTS", kinds.COUNT, "1000", "Instances one coordinator keeps awake at once.")]
    max_events: Annotated[int, Setting(
        "MAX_EVENTS", kinds.COUNT, "100000", "Events kept of each instance; the oldest beyond are dropped after a turn.",
    )]
    max_readers: Annotated[int, Setting("MAX_READERS", kinds.COUNT, "1000", "Event streams open on one instance at once.")]
    max_sockets: Annotated[int, Setting("MAX_SOCKETS", kinds.COUNT, "10000", "WebSockets one gateway holds open at once.")]
    max_frames_per_second: Annotated[int, Setting(
        "MAX_FRAMES_PER_SECOND", kinds.COUNT, "100", "Frames a client may send over one WebSocket in a second.",
    )]
    reader_timeout_s: Annotated[float, Setting(
        "READER_TIMEOUT", kinds.DURATION, "60s", "How long a client may take nothing of what it is sent before it is cut off.",
    )]
    start_timeout_s: Annotated[float, Setting(
        "START_TIMEOUT", kinds.DURATION, "30s", "How long an agent may take from its start until it is ready.",
    )]
    stop_grace_s: Annotated[float, Setting(
        "STOP_GRACE", kinds.DURATION, "5s", "How long an agent may take to end a turn that was stopped before it is killed.",
    )]
    shutdown_grace_s: Annotated[float, Setting(
        "SHUTDOWN_GRACE", kinds.DURATION, "10s", "How long an agent may take to end before it is killed.",
    )]
    restart_pause_s: Annotated[float, Setting(
        "RESTART_PAUSE", kinds.DURATION, "15s", "The longest pause before a part of the platform that ended is started again.",
    )]

    def __repr__(self) -> str:
        shown = (f"{field}={'…' if row.secret else repr(getattr(self, field))}" for field, row in rows())
        return f"Settings({', '.join(shown)})"
# fmt: on


def rows() -> list[tuple[str, Setting]]:
    """The table: the field of `Settings` and its row, in order."""
    hints = get_type_hints(Settings, include_extras=True)
    return [(field, hint.__metadata__[0]) for field, hint in hints.items()]
