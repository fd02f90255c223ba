"""Cursors are ours alone."""

import string
from contextlib import suppress
from uuid import UUID

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from pydantic import ValidationError

from shared.api.pagination import LAST_ID, CursorCodec
from shared.errors import Refusal
from shared.fields.pagination import PageQuery

CURSORS = CursorCodec("a secret")
BASE64 = string.ascii_letters + string.digits + "-_"


@given(st.uuids(), st.text(max_size=20))
def test_a_cursor_leads_back_to_its_id(last: UUID, listing: str) -> None:
    """It does so only on the list that it was made for."""
    assert CURSORS.read(listing, CURSORS.make(listing, last)) == last


@given(st.uuids(), st.integers(min_value=0, max_value=37), st.sampled_from(BASE64))
def test_a_changed_cursor_is_refused(last: UUID, at: int, character: str) -> None:
    """Any character may be changed, also in the bits that base64 ignores."""
    cursor = CURSORS.make("list", last)
    assume(cursor[at] != character)
    changed = cursor[:at] + character + cursor[at + 1 :]
    with pytest.raises(Refusal):
        CURSORS.read("list", changed)


@pytest.mark.parametrize("cursor", ["", "A", "AAAA", "!!!!", "é", "A" * 200])
def test_what_is_no_cursor_is_refused(cursor: str) -> None:
    """The problem names the field; there is no stack trace."""
    with pytest.raises(Refusal) as caught:
        CURSORS.read("list", cursor)
    assert caught.value.errors[0].pointer == "cursor"


def test_a_cursor_has_one_form() -> None:
    """The last character's four spare bits are zero: of its sixteen spellings one is ours."""
    cursor = CURSORS.make("list", UUID(int=7))
    taken = []
    for character in BASE64:
        with suppress(Refusal):
            CURSORS.read("list", cursor[:-1] + character)
            taken.append(character)
    assert taken == [cursor[-1]]


@pytest.mark.parametrize("limit", ["1", "20", "100"])
def test_a_limit_is_a_whole_number(limit: str) -> None:
    """It is written in decimal digits without a sign or spaces."""
    assert PageQuery.model_validate_strings({"limit": limit}, strict=True).limit == int(limit)


LIMITS = ["", "0", "101", "-1", "+5", " 5", "5 ", "5\n", "5_0", "05", "1e1", "5.0", "٥", "５", "true", "9" * 5000]


@pytest.mark.parametrize("limit", LIMITS, ids=lambda limit: repr(limit[:8]))
def test_a_limit_written_otherwise_is_refused(limit: str) -> None:
    """Python's int() would accept some of these."""
    with pytest.raises(ValidationError):
        PageQuery.model_validate_strings({"limit": limit}, strict=True)


def test_a_cursor_of_another_list_or_another_secret_is_refused() -> None:
    """An agent can't page on in another agent's clients."""
    cursor = CURSORS.make("clients a", UUID(int=7))
    with pytest.raises(Refusal):
        CURSORS.read("clients b", cursor)
    with pytest.raises(Refusal):
        CursorCodec("another").read("clients a", cursor)


def test_a_page_shows_its_limit_and_leads_on_only_where_more_was_found() -> None:
    """One row more than is shown says whether there is a next page."""
    rows = [{"id": UUID(int=n), "facts": n} for n in (3, 2, 1)]
    page = CURSORS.build_page("list", rows, 2, str)
    assert page.items == ["3", "2"]
    assert CURSORS.read("list", page.next_cursor) == UUID(int=2)
    assert CURSORS.build_page("list", rows[:2], 2, str).next_cursor is None
    assert CURSORS.read("list", None) == LAST_ID
