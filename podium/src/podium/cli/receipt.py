"""What became of something that was said to a turn."""

from podium.cli.options import Settings
from podium.cli.output import print_json
from podium.protocol.events import Receipt


def show_receipt(settings: Settings, receipt: Receipt) -> None:
    """Print it: one word for people."""
    if settings.json:
        print_json(receipt)
    else:
        print(receipt.disposition)
