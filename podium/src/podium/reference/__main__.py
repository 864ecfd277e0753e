"""`python -m podium.reference DIRECTORY` writes the generated pages of `docs/reference/`."""

import sys
from pathlib import Path

from podium.config import settings_reference
from podium.reference import api_page, errors_page

PAGES = {"api.md": api_page, "errors.md": errors_page, "settings.md": settings_reference}


def main() -> None:
    """Write them all."""
    for name, page in PAGES.items():
        Path(sys.argv[1], name).write_text(page())


if __name__ == "__main__":
    main()
