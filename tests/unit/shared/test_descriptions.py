"""The API's description of text, held against what the service takes: neither lets in what the other does not."""

import re
import unicodedata
from typing import Annotated, Any

import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from claims.model import FileName
from shared.fields import (
    Amount,
    CompanyName,
    Email,
    OwnOrId,
    PersonName,
    Phone,
    PlaceName,
    RecordId,
    ReferralCode,
    TermsVersion,
    make_line_format,
    make_prose_format,
)
from tests.schemathesis.hooks import fix_values

# By the field's name, by which fix_values knows what to mend.
KINDS: dict[str, Any] = {
    "full_name": PersonName,
    "city": PlaceName,
    "company_name": CompanyName,
    "email": Email,
    "phone": Phone,
    "amount": Amount,
    "referral_code": ReferralCode,
    "terms_version": TermsVersion,
    "staff_id": RecordId,
    "assignee": OwnOrId,
    "file_name": FileName,
    "title": Annotated[str, make_line_format(5, 20)],
    "reason": Annotated[str, make_prose_format(2, 20)],
}
ADAPTERS = {name: TypeAdapter(kind) for name, kind in KINDS.items()}
SCHEMAS = {name: adapter.json_schema() for name, adapter in ADAPTERS.items()}
EXAMPLES = settings(max_examples=60, suppress_health_check=list(HealthCheck), deadline=None)


def described(name: str, value: str) -> bool:
    """Return whether the description allows the value."""
    schema = SCHEMAS[name]
    fits = schema.get("minLength", 0) <= len(value) <= schema.get("maxLength", len(value))
    return fits and re.search(schema["pattern"], value) is not None and not value.endswith("\n")


def taken(name: str, value: str) -> bool:
    """Return whether the service accepts it."""
    try:
        ADAPTERS[name].validate_python(value)
    except ValidationError:
        return False
    return True


def generated(name: str) -> st.SearchStrategy[str]:
    """Values of the description."""
    return st.from_regex(SCHEMAS[name]["pattern"]).filter(lambda value: described(name, value))


@pytest.mark.parametrize("name", KINDS)
def test_what_the_description_allows_is_taken(name: str) -> None:
    """But for what patterns can't say, which the generated calls are mended for in the same way."""

    @EXAMPLES
    @given(generated(name))
    def check(value: str) -> None:
        values = {name: value}
        fix_values(values)
        assume(described(name, values[name]))
        assert taken(name, values[name])

    check()


@pytest.mark.parametrize(("name", "value"), [("city", "A\U000e0020"), ("file_name", "a\U000e0020.pdf")])
def test_generated_calls_are_mended_for_what_shows_nothing(name: str, value: str) -> None:
    """The tags, which no pattern names: found by chance, and rarely."""
    assert not taken(name, value)
    values = {name: value}
    fix_values(values)
    assert taken(name, values[name])


# Free text is held against its pattern more closely, in test_text.py.
@pytest.mark.parametrize("name", sorted(KINDS.keys() - {"title", "reason"}))
def test_what_the_description_forbids_is_refused(name: str) -> None:
    """Values with a character more, less or other than one that is allowed; in their composed form."""

    @EXAMPLES
    @given(generated(name), st.integers(0, 300), st.text(max_size=2), st.integers(0, 2))
    def check(value: str, at: int, put: str, over: int) -> None:
        at %= len(value) + 1
        changed = unicodedata.normalize("NFC", value[:at] + put + value[at + over :])
        assume(not described(name, changed))
        assert not taken(name, changed), ascii(changed)

    check()
