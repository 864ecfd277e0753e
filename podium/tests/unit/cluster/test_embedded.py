import subprocess
from pathlib import Path
from urllib.parse import unquote

import pytest

from podium.cluster.embedded import MAX_SOCKET_BYTES, embedded_argv, embedded_url, server_binary
from tests.support.valkey_server import valkey_server


def test_the_server_is_there_and_runs() -> None:
    said = subprocess.run([server_binary(), "--version"], capture_output=True, text=True, check=True)
    assert "Valkey server" in said.stdout


def test_it_listens_on_a_private_socket_only_and_writes_nothing(tmp_path: Path) -> None:
    with valkey_server(tmp_path) as server:
        assert (tmp_path / "valkey.sock").stat().st_mode & 0o777 == 0o600
        assert [path.name for path in tmp_path.iterdir()] == ["valkey.sock"]
        listening = Path(f"/proc/{server.pid}/net/tcp").read_text().splitlines()[1:]
        own = {str(Path(link).readlink()) for link in Path(f"/proc/{server.pid}/fd").iterdir()}
        assert not [line for line in listening if f"socket:[{line.split()[9]}]" in own]


def test_a_socket_left_by_a_killed_server_is_taken_over(tmp_path: Path) -> None:
    for _ in range(2):
        with valkey_server(tmp_path):
            pass
    assert (tmp_path / "valkey.sock").exists()


def test_a_path_too_long_for_a_socket_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="shorter"):
        embedded_argv(tmp_path / ("x" * MAX_SOCKET_BYTES), tmp_path)


def test_the_url_survives_odd_folders() -> None:
    url = embedded_url(Path("/a b/%c?d#e/s.sock"))
    assert unquote(url) == "unix:///a b/%c?d#e/s.sock"
    assert "?" not in url and "#" not in url
