"""The platform's own secrets: read from the settings, or made once under the data directory."""

import os
import secrets
from pathlib import Path
from typing import NamedTuple


class PlatformKeys(NamedTuple):
    """The administrator's key and the root of all signing; `made` names the files that were made just now."""

    admin_api_key: str
    secrets_key: str
    made: list[Path]


def platform_keys(data: Path, admin_api_key: str | None, secrets_key: str | None) -> PlatformKeys:
    """What was set, else what lies in `{data}/keys`, else new keys written there, 0600. OSError."""
    folder = data / "keys"
    folder.mkdir(mode=0o700, exist_ok=True)
    folder.chmod(0o700)
    made: list[Path] = []
    admin = admin_api_key or _kept(folder / "admin_api_key", f"pod_admin_{secrets.token_urlsafe(32)}", made)
    root = secrets_key or _kept(folder / "secrets_key", secrets.token_urlsafe(48), made)
    return PlatformKeys(admin, root, made)


def kept_name(path: Path, name: str) -> str:
    """The name in the file, which is made with `name` where it is missing."""
    return _kept(path, name, [])


def _kept(path: Path, fresh: str, made: list[Path]) -> str:
    """The text in `path`; where there is none, `fresh`, linked into place whole so that a crash leaves no half of it."""
    try:
        return path.read_text().strip()
    except FileNotFoundError:
        pass
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    fd = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(fd, "w") as file:
        file.write(fresh + "\n")
        file.flush()
        os.fsync(file.fileno())
    try:
        os.link(draft, path)
        made.append(path)
    except FileExistsError:
        pass
    finally:
        draft.unlink()
    return path.read_text().strip()
