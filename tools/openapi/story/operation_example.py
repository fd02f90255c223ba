"""The example of an operation: what is sent, and what is answered."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

JSON = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class OperationExample:
    """A call of an operation as the story tells it.

    `bodies` are requests by what they say, `query` the values of all its parameters. `answer` is None if the answer has
    no body; `other_answers` are those of further statuses.
    """

    bodies: Mapping[str, JSON] = field(default_factory=dict)
    query: JSON = field(default_factory=dict)
    answer: Any = None
    other_answers: Mapping[int, JSON] = field(default_factory=dict)


CURSOR = "eyJhZnRlciI6IjAxYTFhMDQwLTIyMDAtNzExZS04ZjY3LThkMTExNzM4ZjdkOSJ9"
PAGE_QUERY: JSON = {"limit": 20, "cursor": CURSOR}


def make_page(item: JSON) -> JSON:
    """Return the last page of a list that has one record."""
    return {"items": [item], "next_cursor": None}
