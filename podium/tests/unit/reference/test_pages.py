"""The generated pages are current, and the page a gateway shows needs nothing from elsewhere."""

import re
from html.parser import HTMLParser
from pathlib import Path

import pytest

from podium.protocol.errors import by_code
from podium.protocol.routes import ROUTES
from podium.reference import POLICY, api_html
from podium.reference.__main__ import PAGES

FOLDER = Path(__file__).parents[4] / "docs/reference"


@pytest.mark.parametrize("name", PAGES)
def test_a_page_is_current(name: str) -> None:
    assert (FOLDER / name).read_text() == PAGES[name](), "write the pages anew: make reference"


@pytest.mark.parametrize("page", [PAGES["api.md"], api_html], ids=["markdown", "html"])
def test_every_route_is_on_both_pages(page: object) -> None:
    assert callable(page)
    text = page()
    for route in ROUTES:
        heading = f"{route.method} {route.path.replace(':path}', '}')}"
        assert heading in text
        assert route.doc.partition("`")[0].split("'")[0] in text


def test_every_code_is_on_the_pages() -> None:
    for code, kind in by_code().items():
        assert f"| `{code}` | {kind.status} |" in PAGES["errors.md"]()
        assert f"<code>{code}</code>" in api_html()


class _Page(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.links: list[str] = []
        self.ids: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag != "meta":
            self.open.append(tag)
        for name, value in attrs:
            assert name not in ("src", "onload", "onclick", "style"), (tag, name)
            if name == "href":
                self.links.append(value or "")
            if name == "id":
                self.ids.append(value or "")

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def test_the_page_stands_alone() -> None:
    page = _Page()
    page.feed(api_html())
    assert page.open == []
    assert len(set(page.ids)) == len(page.ids)
    assert {link for link in page.links if not link.startswith("#")} == {"/openapi.json"}
    assert {link[1:] for link in page.links if link.startswith("#")} == set(page.ids)
    assert not re.search(r"<(script|iframe|img|link|base|object)\b|url\(|@import", api_html())
    assert "default-src 'none'" in POLICY
