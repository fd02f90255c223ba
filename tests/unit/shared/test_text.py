"""What text a request may carry."""

from typing import Annotated, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from shared.text import Amount, Country, Currency, Email, PersonName, Phone, ReferralCode, line, prose

LINE: TypeAdapter[str] = TypeAdapter(Annotated[str, line(2, 20)])
PROSE: TypeAdapter[str] = TypeAdapter(Annotated[str, prose(2, 40)])


def accepts(kind: Any, value: str) -> bool:
    try:
        TypeAdapter(kind).validate_python(value)
    except ValidationError:
        return False
    return True


@pytest.mark.parametrize(
    ("kind", "good", "bad"),
    [
        (
            Email,
            ["besa@example.test", "a.b+c@x.example.test"],
            ["besa", "@x.test", "a@b", "a b@x.test", "a@x.test\n", "ë@x.test"],
        ),
        (
            Phone,
            ["+38344123456", "+12025550123"],
            ["38344123456", "+0123456789", "+38344123456\n", "+3834412345678901", "+383 44"],
        ),
        (
            Amount,
            ["0", "0.5", "250.00", "9999999999.99"],
            ["", "-1", "01", "1.234", "1e3", "NaN", "1,5", "10000000000", "1\n"],
        ),
        (ReferralCode, ["ARTA-7K3F"], ["arta-7K3F", "ARTA7K3F", "ARTA-7K3I", "-7K3F", "ARTAARTAA-7K3F"]),
        (Country, ["XK", "CH"], ["xk", "ZZ", "CHE", ""]),
        (Currency, ["EUR", "MKD"], ["eur", "ZZZ", "€"]),
        (
            PersonName,
            ["Besa Hoxha", "Љубица Ђорђевић", "O'Neil-Šarić", "李小龍", "Al"],
            ["A", " Besa", "Besa ", "Be\u0000sa", "Be\nsa"],
        ),
    ],
)
def test_a_kind_of_text_takes_what_people_have_and_nothing_else(kind: Any, good: list[str], bad: list[str]) -> None:
    """Each with the near misses that a lax pattern lets through."""
    assert [value for value in good if not accepts(kind, value)] == []
    assert [value for value in bad if accepts(kind, value)] == []


def test_an_email_address_is_one_address_however_it_is_written() -> None:
    """Lower case is what is kept, and what is unique."""
    assert TypeAdapter(Email).validate_python("Besa@Example.TEST") == "besa@example.test"


def test_text_is_normalised_but_measured_as_it_came() -> None:
    """Two code points that NFC makes one count as two, as the client's own check counts them."""
    assert LINE.validate_python("e\u0301") == "\u00e9"


@given(st.text(alphabet=st.characters(exclude_categories=["Cc", "Cs", "Zs", "Zl", "Zp"]), min_size=2, max_size=20))
def test_a_line_takes_any_script(value: str) -> None:
    """Whatever has no control character and no white space."""
    assert LINE.validate_python(value)


@given(st.text(max_size=10), st.characters(categories=["Cc"]), st.text(max_size=10))
def test_a_line_refuses_a_control_character_wherever_it_stands(before: str, control: str, after: str) -> None:
    """Also as the last character, where "$" would look past a line end."""
    assert not accepts(Annotated[str, line(1, 30)], before + control + after)


def test_prose_keeps_its_lines() -> None:
    """Tabs and line ends go in and come out; other control characters do not go in."""
    assert PROSE.validate_python("one\r\n\ttwo\nthree") == "one\r\n\ttwo\nthree"
    assert not accepts(Annotated[str, prose(2, 40)], "one\x0btwo")
