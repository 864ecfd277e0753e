"""The pages of the API reference in `docs/reference/`."""

from podium.reference.describe import TITLE, Entry, Table, errors, sections
from podium.reference.openapi import INTRODUCTION

_ERRORS = """\
# Errors

This page is made from the table in `podium/protocol/errors.py`; a test compares them. `make reference` writes it.

Every error is a problem document (RFC 9457, `application/problem+json`): `type`, `title`, `status`, `detail`, `code`,
`retryable`, `request_id`. `code` is stable and what a program should look at; `detail` is for people and says what happened,
why, and what to do. Where `retryable` is true, the same request can succeed later, after `Retry-After` seconds if that header is
there. An error about a limit has `limit`, and `current` where there is a current use. The `request_id` finds the request in the
platform's log.
"""


def api_page() -> str:
    """The text of `docs/reference/api.md`."""
    parts = [
        f"# {TITLE}",
        "This page is made from the table in `podium/protocol/routes.py`; a test compares them. `make reference` writes it. Every"
        " gateway has the same as OpenAPI at `/openapi.json` and as a page at `/docs`. What the codes mean:"
        " [errors.md](errors.md); events, cursors and ids: [spec/](../../spec/README.md).",
        INTRODUCTION,
    ]
    for section in sections():
        parts += [f"## {section.title}", *(_entry(entry) for entry in section.entries)]
    return "\n\n".join(parts) + "\n"


def errors_page() -> str:
    """The text of `docs/reference/errors.md`."""
    return f"{_ERRORS}\n{_table(errors())}\n"


def _entry(entry: Entry) -> str:
    return "\n\n".join(filter(None, [f"### {entry.name}", entry.text, *(_table(table) for table in entry.tables)]))


def _table(table: Table) -> str:
    lines = [table.header, tuple("---" for _ in table.header), *(tuple(map(_cell, row)) for row in table.rows)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _cell(text: str) -> str:
    return text.replace("|", "\\|")
