"""What the disk can do, as a baseline."""

import os
import time
from pathlib import Path


def fdatasyncs_per_second(folder: Path, seconds: float) -> float:
    """How many 4 KiB appends with fdatasync one writer makes on this disk."""
    path = folder / "baseline"
    with path.open("wb", buffering=0) as file:
        count, deadline = 0, time.perf_counter() + seconds
        while time.perf_counter() < deadline:
            file.write(b"x" * 4096)
            os.fdatasync(file.fileno())
            count += 1
    path.unlink()
    return count / seconds
