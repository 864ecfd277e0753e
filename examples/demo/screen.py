"""What the demo says, and what it says when something is not as it should be."""

import os
from collections.abc import Sequence
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text


class Surprise(Exception):
    """Something is not as it should be."""


class Screen:
    """What the demo says, in colour where a person looks."""

    def __init__(self) -> None:
        self._console = Console(color_system=None if os.environ.get("NO_COLOR") else "auto", highlight=False, soft_wrap=True)
        self._line_open = False
        self._timings: list[tuple[str, float, str]] = []

    def step(self, title: str) -> None:
        """Begin a chapter."""
        self._line(f"\n{title}", "bold")

    def you(self, text: str) -> None:
        """What was sent."""
        self._line(f"  you    {text}", "cyan")

    def token(self, text: str) -> None:
        """A piece of the answer, as it comes."""
        if not self._line_open:
            self._console.print("  agent  ", style="green", end="")
            self._line_open = True
        self._console.print(Text(text.replace("\n", "\n         ")), style="green", end="")

    def note(self, text: str, style: str = "dim") -> None:
        """A line of its own."""
        self._line(f"         {text}", style)

    def check(self, what: str, found: Any, wanted: Any) -> None:
        """Tick what is as it should be; Surprise otherwise."""
        if found != wanted:
            raise Surprise(f"{what}: found {found!r} in place of {wanted!r}")
        self._line(f"  ✓      {what}", "bright_black")

    def time(self, what: str, seconds: float, remark: str = "") -> None:
        """Take a measurement into the table."""
        self._timings.append((what, seconds, remark))

    def table(self) -> None:
        """All measurements."""
        table = Table(box=None, show_header=False, pad_edge=False, padding=(0, 2))
        table.add_column(justify="left")
        table.add_column(justify="right", style="bold")
        table.add_column(style="dim")
        for what, seconds, remark in self._timings:
            table.add_row(f"  {what}", f"{seconds * 1000:,.0f} ms", remark)
        self.step("How long it took")
        self._console.print(table)

    def failure(self, text: str, lines: Sequence[str]) -> None:
        """What went wrong, and the log's last lines."""
        self._line(f"\nThe demo failed: {text}", "bold red")
        for line in lines:
            self._line(f"  | {line}", "dim")

    def _line(self, text: str, style: str) -> None:
        if self._line_open:
            self._console.print()
            self._line_open = False
        self._console.print(Text(text, style))
