"""The entry point of `podium`."""

import sys


def main() -> None:
    """Run the command line and leave with its exit code."""
    try:
        import click  # noqa: F401
    except ModuleNotFoundError:
        print("error: the command line is not installed; install podium[cli] (not_installed)", file=sys.stderr)
        sys.exit(2)
    from podium.cli.root import run

    sys.exit(run(sys.argv[1:]))
