"""The entry point of `podium`."""


def main() -> None:
    """Run the command line."""
