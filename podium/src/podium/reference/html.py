"""The API reference as one page without anything from elsewhere: what a gateway shows at `/docs`."""

import re
from functools import cache
from html import escape

from podium.reference.describe import TITLE, Entry, Section, Table, errors, sections
from podium.reference.openapi import INTRODUCTION

_STYLE = """
:root { color-scheme: light dark; --line: #8884; --code: #8882 }
body { font: 16px/1.5 system-ui, sans-serif; max-width: 60rem; margin: 0 auto; padding: 1rem }
h2 { border-bottom: 1px solid var(--line); margin-top: 3rem } h3 { margin-top: 2.5rem; font-family: ui-monospace, monospace }
code { font-family: ui-monospace, monospace; font-size: .9em; background: var(--code); border-radius: 3px; padding: .1em .3em;
  overflow-wrap: anywhere }
table { border-collapse: collapse; width: 100%; margin: .5rem 0 1rem } th, td { text-align: left; vertical-align: top;
  padding: .25rem .6rem .25rem 0; border-bottom: 1px solid var(--line) }
nav ul { columns: 2; padding-left: 1.2rem; font-family: ui-monospace, monospace; font-size: .8rem }
@media (max-width: 40rem) { nav ul { columns: 1 } table { display: block; overflow-x: auto } }
"""
POLICY = "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
"""The Content-Security-Policy the page is served with."""


@cache
def api_html() -> str:
    """The page."""
    made = [*sections(), Section("Errors", [Entry("Codes", "", [errors()])])]
    body = "\n".join(_section(section) for section in made)
    return (
        f'<!doctype html>\n<html lang="en">\n<head><meta charset="utf-8"><title>Podium: {TITLE}</title>'
        f'<meta name="viewport" content="width=device-width, initial-scale=1"><style>{_STYLE}</style></head>\n'
        f'<body>\n<h1>Podium: {TITLE}</h1>\n<p>{_inline(INTRODUCTION)} The same for programs: <a href="/openapi.json">'
        f"/openapi.json</a>.</p>\n{_contents(made)}\n{body}\n</body>\n</html>\n"
    )


def _contents(made: list[Section]) -> str:
    items = [
        f'<li><a href="#{_anchor(entry.name)}">{escape(entry.name)}</a></li>' for section in made for entry in section.entries
    ]
    return f"<nav><ul>\n{''.join(items)}\n</ul></nav>"


def _section(section: Section) -> str:
    return f"<h2>{escape(section.title)}</h2>\n" + "\n".join(_entry(entry) for entry in section.entries)


def _entry(entry: Entry) -> str:
    text = f"<p>{_inline(entry.text)}</p>\n" if entry.text else ""
    return f'<h3 id="{_anchor(entry.name)}">{escape(entry.name)}</h3>\n{text}' + "\n".join(map(_table, entry.tables))


def _table(table: Table) -> str:
    head = "".join(f"<th>{escape(cell)}</th>" for cell in table.header)
    rows = "\n".join(f"<tr>{''.join(f'<td>{_inline(cell)}</td>' for cell in row)}</tr>" for row in table.rows)
    return f"<table>\n<thead><tr>{head}</tr></thead>\n<tbody>\n{rows}\n</tbody>\n</table>"


def _anchor(name: str) -> str:
    return re.sub(r"[^A-Za-z0-9]+", "-", name).strip("-").lower()


def _inline(text: str) -> str:
    """Backquotes are code."""
    return re.sub(r"`([^`]+)`", r"<code>\1</code>", escape(text))
