"""The context file: which platform the command line talks to, and with which key. `podium up` writes it."""

import os
import tempfile
from pathlib import Path

import msgspec

from podium.client.errors import NotConfigured

_MAX_BYTES = 64 << 10


class Context(msgspec.Struct, kw_only=True):
    """A platform: the gateway's URL, a key for it, and the data directory where it runs on this machine."""

    url: str
    api_key: str
    data: str | None = None


def context_path() -> Path:
    """`PODIUM_CONTEXT`, else `podium/context.json` in the user's configuration directory."""
    if named := os.environ.get("PODIUM_CONTEXT"):
        return Path(named)
    base = os.environ.get("XDG_CONFIG_HOME", "")
    return (Path(base) if base.startswith("/") else Path("~/.config").expanduser()) / "podium" / "context.json"


def read_context(path: Path | None = None) -> Context | None:
    """The context, or None where there is none; raises NotConfigured for a file that cannot be used."""
    path = path or context_path()
    try:
        with path.open("rb") as file:
            content = file.read(_MAX_BYTES)
        return msgspec.json.decode(content, type=Context)
    except FileNotFoundError:
        return None
    except (OSError, msgspec.DecodeError, UnicodeDecodeError) as error:
        raise NotConfigured(f"the context file {path} cannot be used: {error}; remove it or run `podium up` again") from error


def resolve(url: str | None, api_key: str | None, path: Path | None = None) -> Context:
    """Arguments, else `PODIUM_URL` and `PODIUM_API_KEY`, else the context file, whose key goes to its own URL only."""
    url = url or os.environ.get("PODIUM_URL")
    api_key = api_key or os.environ.get("PODIUM_API_KEY")
    if url and api_key:
        return Context(url=url, api_key=api_key)
    context = read_context(path)
    if context is None and not url:
        raise NotConfigured(
            "no platform is named: start one with `podium up`, which writes a context file, or set PODIUM_URL and PODIUM_API_KEY"
        )
    url = url or (context.url if context else "")
    if not api_key and (context is None or url.rstrip("/") != context.url.rstrip("/")):
        raise NotConfigured(f"no API key is named for {url}; set PODIUM_API_KEY, or give --api-key")
    return Context(url=url, api_key=api_key or (context.api_key if context else ""), data=context.data if context else None)


def write_context(url: str, api_key: str, data: str | os.PathLike[str] | None = None, *, path: Path | None = None) -> Path:
    """Write the context, readable by its owner only; a reader sees the old file or the new one. Raises OSError."""
    path = path or context_path()
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    context = Context(url=url, api_key=api_key, data=os.fspath(data) if data is not None else None)
    content = msgspec.json.format(msgspec.json.encode(context), indent=2) + b"\n"
    descriptor, name = tempfile.mkstemp(prefix=".context-", dir=path.parent)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        Path(name).replace(path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise
    return path
