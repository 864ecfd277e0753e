"""A bundle as the parts of an upload, the same bytes at every attempt."""

import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

from podium.client.manifest import Manifest

Progress = Callable[[int, int], None]
"""Told the bytes that have gone out and their total."""


class _Watched(io.BufferedReader):
    """A file that tells how far it was read."""

    def __init__(self, path: Path, progress: Progress | None) -> None:
        super().__init__(io.FileIO(path))
        self._size = path.stat().st_size
        self._progress = progress

    def read(self, size: int | None = -1, /) -> bytes:
        content = super().read(size)
        if self._progress is not None:
            self._progress(self.tell(), self._size)
        return content


class BundleUpload:
    """Opens the bundle anew for each attempt; `close` ends the last one's."""

    def __init__(self, bundle: Path, manifest: Manifest, progress: Progress | None) -> None:
        self._bundle = bundle
        self._fields = {"agent_type": manifest.agent_type, "version": manifest.version}
        self._progress = progress
        self._file: _Watched | None = None

    def parts(self) -> dict[str, Any]:
        """The arguments of one attempt."""
        self.close()
        self._file = _Watched(self._bundle, self._progress)
        return {"data": self._fields, "files": {"file": (self._bundle.name, self._file, "application/gzip")}}

    def close(self) -> None:
        """Close the file."""
        if self._file is not None:
            self._file.close()
            self._file = None
