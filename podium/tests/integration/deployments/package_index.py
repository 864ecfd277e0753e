"""A package index on the loopback interface, with packages a test makes up."""

import io
import threading
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path


class PackageIndex:
    """Files of an index below `root`, served at `url`. The SDK's own dependency is there from the beginning, empty."""

    def __init__(self, root: Path, url: str) -> None:
        self._root = root
        self.url = url
        self.add_wheel("msgspec", "0.20.0", {})

    def add_wheel(self, name: str, version: str, files: Mapping[str, str]) -> None:
        """A pure wheel with these files."""
        info = f"{name}-{version}.dist-info"
        texts = dict(files) | {
            f"{info}/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n",
            f"{info}/WHEEL": "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
        }
        record = "".join(f"{path},,\n" for path in (*texts, f"{info}/RECORD"))
        body = io.BytesIO()
        with zipfile.ZipFile(body, "w") as wheel:
            for path, text in (texts | {f"{info}/RECORD": record}).items():
                wheel.writestr(path, text)
        self.add_file(name, f"{name}-{version}-py3-none-any.whl", body.getvalue())

    def add_file(self, name: str, file_name: str, content: bytes) -> None:
        """Any file of a package."""
        folder = self._root / name
        folder.mkdir(parents=True, exist_ok=True)
        (folder / file_name).write_bytes(content)
        links = "".join(f'<a href="{path.name}">{path.name}</a>' for path in folder.iterdir() if path.name != "index.html")
        (folder / "index.html").write_text(f"<!DOCTYPE html><html><body>{links}</body></html>")


class _Quiet(SimpleHTTPRequestHandler):
    def log_message(self, format: str, *args: object) -> None:
        pass


@contextmanager
def serving(root: Path) -> Iterator[PackageIndex]:
    """An index below `root` while the context is open."""
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(_Quiet, directory=str(root))) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.05,))
        thread.start()
        try:
            yield PackageIndex(root, f"http://127.0.0.1:{server.server_address[1]}/")
        finally:
            server.shutdown()
            thread.join()
