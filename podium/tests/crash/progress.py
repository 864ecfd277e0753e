"""Lines for the end of the test report, however pytest was called."""

LINES: list[str] = []


def told(line: str) -> None:
    """Say it there, once the run is over."""
    LINES.append(line)
