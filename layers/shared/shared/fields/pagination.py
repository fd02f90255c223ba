"""The fields of lists: which page is requested, and the page."""

import re
from typing import Annotated, Any, Generic, TypeVar

from pydantic import BeforeValidator, Field

from shared.fields import RequestModel, ResponseModel, TextFormat, make_rule_error

T = TypeVar("T")


def _parse_whole_number(value: Any) -> Any:
    # Checked here, since int() also accepts "+5", " 5", "5_0" and digits of other scripts.
    if isinstance(value, str) and re.fullmatch("[1-9][0-9]{0,9}", value) is None:
        raise make_rule_error("is not a whole number, like 20")
    return int(value)


class PageQuery(RequestModel):
    """The size of a page, and the cursor at which it begins."""

    limit: Annotated[int, Field(ge=1, le=100), BeforeValidator(_parse_whole_number)] = Field(
        default=20, description="The most records that the page may have."
    )
    cursor: Annotated[str, TextFormat(r"^[A-Za-z0-9_-]+$", "a cursor of this list", 1, 200)] | None = Field(
        default=None, description="Where the page begins: `next_cursor` of the page before it."
    )


class Page(ResponseModel, Generic[T]):
    """One page of a list, newest first; `next_cursor` is null on the last page."""

    items: list[T] = Field(description="The records of this page, at most as many as `limit` says.")
    next_cursor: str | None = Field(description="What to send as `cursor` for the next page; null on the last page.")
