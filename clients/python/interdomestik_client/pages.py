"""Lists, page by page."""

from collections.abc import Callable, Iterator
from typing import Any, TypeVar

T = TypeVar("T")


class ListRefused(Exception):
    """A page was answered with a problem; `answer` is what the generated function returned."""

    def __init__(self, answer: Any) -> None:
        super().__init__(getattr(answer, "detail", "no answer"))
        self.answer = answer


def iterate(list_page: Callable[..., Any], **query: Any) -> Iterator[Any]:
    """Yield every item of a list: `iterate(claims_list.sync, client=client, state=…)`. Raise ListRefused.

    `list_page` is the `sync` of a generated function that takes a cursor; a page is read when it is reached.
    """
    cursor: dict[str, str] = {}
    while True:
        page = list_page(**query, **cursor)
        if not hasattr(page, "items"):
            raise ListRefused(page)
        yield from page.items
        if not page.next_cursor:
            return
        cursor = {"cursor": page.next_cursor}
