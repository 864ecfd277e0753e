import base64
import csv
import hashlib
import io
import zipfile
from pathlib import Path

import podium
from podium.deployments.sdk_wheel import build_sdk_wheel


def test_same_files_same_bytes(tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    first, second = build_sdk_wheel(tmp_path), build_sdk_wheel(tmp_path / "other")
    assert first.path.name == f"podium-{podium.__version__}-py3-none-any.whl"
    assert first.path.read_bytes() == second.path.read_bytes()
    assert first.sha256 == second.sha256 == hashlib.sha256(first.path.read_bytes()).hexdigest()
    assert build_sdk_wheel(tmp_path).sha256 == first.sha256
    assert [path.name for path in tmp_path.iterdir() if path.is_file()] == [first.path.name]


def test_what_it_holds(tmp_path: Path) -> None:
    with zipfile.ZipFile(build_sdk_wheel(tmp_path).path) as wheel:
        names = wheel.namelist()
        metadata = wheel.read(f"podium-{podium.__version__}.dist-info/METADATA").decode()
    assert {"podium/__init__.py", "podium/py.typed", "podium/agent/__init__.py", "podium/protocol/messages.py"} <= set(names)
    tops = {name.split("/")[1] for name in names if name.startswith("podium/")}
    assert tops <= {"__init__.py", "py.typed", "agent", "client", "protocol", "testing"}
    assert not any(name.endswith(".pyc") for name in names)
    lines = metadata.splitlines()
    assert f"Version: {podium.__version__}" in lines
    assert "Provides-Extra: client" in lines
    required = [line for line in lines if line.startswith("Requires-Dist: ")]
    assert [line for line in required if "extra" not in line] == ["Requires-Dist: msgspec<1,>=0.20"]
    assert all("httpx" in line for line in required if "extra" in line)


def test_record_is_right(tmp_path: Path) -> None:
    with zipfile.ZipFile(build_sdk_wheel(tmp_path).path) as wheel:
        record_name = f"podium-{podium.__version__}.dist-info/RECORD"
        rows = list(csv.reader(io.StringIO(wheel.read(record_name).decode())))
        assert [row[0] for row in rows] == wheel.namelist()
        for name, digest, size in rows[:-1]:
            content = wheel.read(name)
            encoded = base64.urlsafe_b64encode(hashlib.sha256(content).digest()).rstrip(b"=").decode()
            assert (digest, size) == (f"sha256={encoded}", str(len(content)))
    assert rows[-1] == [record_name, "", ""]
