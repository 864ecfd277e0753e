"""Lists that come in pages."""

from collections.abc import Mapping
from typing import Any, TypeVar

from podium.client.transport import Request, Transport
from podium.protocol.api import Page
from podium.protocol.errors import InternalError

T = TypeVar("T")


async def all_items(transport: Transport, path: str, kind: type[T], params: Mapping[str, Any] | None = None) -> list[T]:
    """The items of all pages; raises InternalError for a cursor that came before, which would never end."""
    items: list[T] = []
    seen: set[str] = set()
    cursor: str | None = None
    while True:
        request = Request(method="GET", path=path, params={**(params or {}), "cursor": cursor})
        page: Page[T] = (await transport.call(request)).read(Page[kind])  # type: ignore[valid-type]
        items += page.items
        cursor = page.next_cursor
        if cursor is None:
            return items
        if cursor in seen:
            raise InternalError(f"the pages of {path} go in a circle at cursor {cursor!r:.80}")
        seen.add(cursor)
