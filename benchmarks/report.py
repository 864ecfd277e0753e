"""What every benchmark leaves behind: a table for people and benchmarks/results/NAME.json for programs."""

import json
import os
import platform
import statistics
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

from rich.console import Console
from rich.table import Table

RESULTS = Path(__file__).parent / "results"


@dataclass(frozen=True)
class Row:
    """One figure. `against` is what it was measured beside in the same run, `ratio` value / against; `must`, `aim`: targets."""

    name: str
    value: float
    unit: str
    better: Literal["lower", "higher"]
    against: str = ""
    ratio: float | None = None
    must: float | None = None
    aim: float | None = None


def percentile(values: list[float], share: float) -> float:
    """The value that `share` of all lie below, interpolated."""
    return statistics.quantiles(values, n=1000, method="inclusive")[round(share * 1000) - 1]


def publish(name: str, rows: list[Row]) -> None:
    """Print the rows and write them."""
    table = Table(title=name)
    for title in ("what", "value", "unit", "against", "ratio", "must", "aim"):
        table.add_column(title, justify="left" if title in ("what", "unit", "against") else "right")
    for row in rows:
        figures = [row.ratio, row.must, row.aim]
        table.add_row(row.name, f"{row.value:,.2f}", row.unit, row.against, *("" if f is None else f"{f:,.3g}" for f in figures))
    Console(width=160).print(table)
    RESULTS.mkdir(exist_ok=True)
    document = {"machine": _machine(), "rows": [asdict(row) for row in rows]}
    (RESULTS / f"{name}.json").write_text(json.dumps(document, indent=2) + "\n")


def _machine() -> dict[str, object]:
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    cpu = next((line.split(":")[1].strip() for line in lines if "model name" in line), "")
    memory_kib = int(Path("/proc/meminfo").read_text().split()[1])
    return {
        "cores": os.cpu_count(), "cpu": cpu, "memory_gib": round(memory_kib / 2**20, 1), "kernel": platform.release(),
        "python": platform.python_version(), "load": os.getloadavg()[0],
    }  # fmt: skip
