"""The text that a request may contain."""

import re
import time
import unicodedata
from functools import cache
from typing import Annotated, Any

import jsonschema_rs
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from shared.fields import (
    Amount,
    CompanyName,
    Country,
    Currency,
    Email,
    OwnOrId,
    PersonName,
    Phone,
    PlaceName,
    RecordId,
    ReferralCode,
    make_line_format,
    make_prose_format,
)


@cache
def adapter(kind: Any) -> TypeAdapter[Any]:
    return TypeAdapter(kind)


def is_accepted(kind: Any, value: str) -> bool:
    try:
        adapter(kind).validate_python(value)
    except ValidationError:
        return False
    return True


def read(kind: Any, value: str) -> str:
    return str(adapter(kind).validate_python(value))


def why(kind: Any, value: str) -> str:
    """Return the words of the refusal."""
    with pytest.raises(ValidationError) as caught:
        adapter(kind).validate_python(value)
    return caught.value.errors()[0]["msg"]


LONG = "x" * 63
GOOD_AND_BAD: list[tuple[Any, list[str], list[str]]] = [
    (
        Email,
        [
            *["besa@example.test", "a.b+c@x.example.test", f"{LONG}y@example.test", f"a@{LONG}.test"],
            *["besa@shqipëri.test", "besa@МАКЕДОНИЈА.мкд", "besa@xn--mnchen-3ya.test"],
            f"b@{'x' * 60}.{'x' * 60}.test",
        ],
        [
            *["besa", "@x.test", "a@b", "a b@x.test", "a@x.test\n", "ë@x.test", "\u212a@x.test", "a@x.test."],
            *[f"{LONG}yz@example.test", f"a@{LONG}y.test", f"bb@{'x' * 60}.{'x' * 60}.test", f"b@{'ë' * 64}.test"],
            *["=?utf-8?q?x?=@example.test", "a=?b@x.test", '"a b"@x.test', "a@[127.0.0.1]", "a@-ë.test", "a@♥.test"],
            *["a..b@x.test", ".a@x.test", "a@x..test", "a@ë..test", "a@xn--a.test", "a@b@x.test", "a@x_y.test"],
        ],
    ),
    (
        Phone,
        ["+38344123456", "+12025550123", "+390612345678", "+2250123456789", "+3780549886377", "+442079460018"],
        [
            *["38344123456", "+0123456789", "+38344123456\n", "+3834412345678901", "+383 44", "+٣٨٣٤٤١٢٣٤٥٦"],
            *["+383044123456", "+389070123456", "+355069123456", "+4402079460018", "+10202555012", "+70912345678"],
        ],
    ),
    (
        Amount,
        ["0", "0.5", "250.00", "9999999999.99", "1.234"],
        ["", "-1", "01", "1.2345", "1e3", "NaN", "1,5", "10000000000", "1\n", "+1", "1.", ".5", "١"],
    ),
    (
        ReferralCode,
        [
            *["ARTA-7K3F", "arta-7k3f", "ARTA7K3F", " arta 7k3f ", "ARTA-7K3I", "A7K3F", "ARTA - 7K3F"],
            *["Arta\u20107K3F", "Arta\u20137K3F", "Arta\u20157K3F", "Arta\u22127K3F"],
        ],
        [
            "-7K3F",
            "7K3F",
            "ARTAARTAA-7K3F",
            "ARTA-7K3U",
            "ARTA-7K3",
            "AR-TA-7K3F",
            "ARTA--7K3F",
            "ARTA-7K3F\n",
            "ART4-7K3F",
            "ÄRTA-7K3F",
            "ARTA_7K3F",
        ],
    ),
    (Country, ["XK", "CH"], ["xk", "ZZ", "CHE", ""]),
    (Currency, ["EUR", "MKD", "XCG"], ["eur", "ZZZ", "€", "ANG", "HRK", "BGN", "XAU"]),
    (
        PersonName,
        ["Besa Hoxha", "Љубица Ђорђевић", "O'Neil-Šarić", "李小龍", "Al", "می\u200cنا", "x" * 100, "e\u0301" * 100],
        [
            *["A", " Besa", "Besa ", "Be\u0000sa", "Be\nsa", "x" * 101, "e\u0301"],
            *["\u200b\u200b", "12", "--", "\u3164\u3164", "\u200d\u200d", "Be\u202esa", "Besa\u200f", "Be\u2066sa"],
            *["Be\u200bsa", "\ufeffBesa", "Besa\u00ad", "Besa\U000e0041", "See https://x.test", "x：／／y"],
        ],
    ),
    (PlaceName, ["Prizren", "Ö", "Peja (Peć)"], ["", "1", "-", "Peja\u200b", "Pe\u0007ja", " Peja"]),
    (
        CompanyName,
        ["Example Air", "3M", "24", "www.example.test"],
        ["--", "X", "\u200b\u200b", "Air\tline", "Air\u202e"],
    ),
    (RecordId, ["01A20BA6-AFB6-76D1-9556-A703FF01D17A"], ["01a20ba6afb676d19556a703ff01d17a", "me", "x"]),
    (OwnOrId, ["me", "01a20ba6-afb6-76d1-9556-a703ff01d17a"], ["ME", "{01a20ba6-afb6-76d1-9556-a703ff01d17a}"]),
]


@pytest.mark.parametrize(("kind", "good", "bad"), GOOD_AND_BAD)
def test_a_kind_of_text_takes_what_people_have_and_nothing_else(kind: Any, good: list[str], bad: list[str]) -> None:
    """Each with the near misses that a lax pattern lets through."""
    assert [value for value in good if not is_accepted(kind, value)] == []
    assert [value for value in bad if is_accepted(kind, value)] == []


@pytest.mark.parametrize(("kind", "good", "bad"), GOOD_AND_BAD)
def test_what_is_taken_is_what_the_description_says(kind: Any, good: list[str], bad: list[str]) -> None:
    """A client that checks by the schema never keeps a person from what the service takes."""
    schema = TypeAdapter(kind).json_schema()
    pattern = schema.get("pattern", "")
    composed = [unicodedata.normalize("NFC", value) for value in good]
    assert [value for value in composed if re.search(pattern, value) is None] == []
    assert [value for value in composed if len(value) > schema.get("maxLength", 999)] == []


@pytest.mark.parametrize(
    ("kind", "sent", "kept"),
    [
        (Email, "Besa@Example.TEST", "besa@example.test"),
        (Email, "besa@MÜNCHEN.test", "besa@xn--mnchen-3ya.test"),
        (Email, "besa@mu\u0308nchen\u3002test", "besa@xn--mnchen-3ya.test"),
        (Email, "besa@faß.test", "besa@xn--fa-hia.test"),
        (ReferralCode, "arta-7k3f", "ARTA-7K3F"),
        (ReferralCode, "lilo OIL9", "LILO-0119"),
        (ReferralCode, "LILOLILO-oil9", "LILOLILO-0119"),
        (RecordId, "01A20BA6-AFB6-76D1-9556-A703FF01D17A", "01a20ba6-afb6-76d1-9556-a703ff01d17a"),
        (OwnOrId, "01A20BA6-AFB6-76D1-9556-A703FF01D17A", "01a20ba6-afb6-76d1-9556-a703ff01d17a"),
        (PersonName, "Be\u0301sa", "Bésa"),
    ],
)
def test_what_can_be_written_in_several_ways_is_kept_in_one(kind: Any, sent: str, kept: str) -> None:
    """Two spellings of one address, code or id are one and the same everywhere behind."""
    assert read(kind, sent) == kept


@pytest.mark.parametrize(
    ("kind", "value", "words"),
    [
        (Phone, "+383044123456", "has a trunk zero, the 0 after the country's code"),
        (Email, f"{LONG}yz@example.test", "has 65 characters before the @, and may have at most 64"),
        (Email, "x" * 117 + "@example.test", "has 130 characters, and may have at most 128"),
        (PersonName, "See https://x.test", "has '://' in it"),
        (PersonName, "Be\u202esa", "is not one line of visible characters"),
        (PersonName, "B", "has 1 character, and needs at least 2"),
        (RecordId, "01a20ba6", "is not an id: it has 8, and an id has 36 characters, like 01a2"),
        (OwnOrId, "01a20ba6_afb6-76d1-9556-a703ff01d17a", "a character other than 0 to 9, a to f and dashes"),
        (OwnOrId, "01a20ba6a-fb6-76d1-9556-a703ff01d17a", "its dashes stand in other places"),
    ],
)
def test_a_refusal_says_what_is_wrong(kind: Any, value: str, words: str) -> None:
    """People correct what the answer names."""
    assert words in why(kind, value)


def test_a_long_address_is_turned_away_before_it_costs_anything() -> None:
    """Punycode takes time that grows with the square of the length."""
    begun = time.perf_counter()
    assert not is_accepted(Email, "a@" + "ë" * 200_000 + ".test")
    assert time.perf_counter() - begun < 0.2


def test_text_is_normalised_and_then_measured() -> None:
    """Two code points that NFC makes one count as one, and one that NFC makes three counts as three."""
    assert read(Annotated[str, make_line_format(5, 5)], "e\u0301" * 5) == "é" * 5
    assert not is_accepted(LINE_OF_5, "e\u0301xyz")
    assert is_accepted(LINE_OF_5, "\ufb2c\ufb2c")


LINE_OF_5 = Annotated[str, make_line_format(5, 20)]


@given(st.text(alphabet=st.characters(exclude_categories=["Cc", "Cs", "Cf", "Cn", "Zs", "Zl", "Zp"]), min_size=9))
def test_a_line_takes_any_script(value: str) -> None:
    """It accepts whatever has no control character and no white space."""
    assume(value[0] < "\u0300" and len(unicodedata.normalize("NFC", value)) <= 2000)
    assert read(Annotated[str, make_line_format(2, 2000)], value) == unicodedata.normalize("NFC", value)


CONTROLS = [chr(c) for c in range(0xA0) if unicodedata.category(chr(c)) == "Cc"]


@pytest.mark.parametrize("control", [c for c in CONTROLS if c not in "\t\n\r"])
@pytest.mark.parametrize("kind", [make_line_format(2, 30), make_prose_format(2, 30)])
def test_free_text_loses_its_control_characters(kind: Any, control: str) -> None:
    """They are removed wherever they stand: text pasted from a PDF or a terminal has some."""
    assert read(Annotated[str, kind], f"{control}one{control} two{control}") == "one two"


@pytest.mark.parametrize("kind", [PersonName, PlaceName, CompanyName, Email, Phone, ReferralCode, Amount])
@pytest.mark.parametrize("control", CONTROLS)
def test_names_and_addresses_with_a_control_character_are_refused(kind: Any, control: str) -> None:
    """A control character in a name or an address is no slip of the clipboard."""
    good = GOOD_AND_BAD[[k for k, _, _ in GOOD_AND_BAD].index(kind)][1][0]
    assert [v for v in (control + good, good[:2] + control + good[2:], good + control) if is_accepted(kind, v)] == []


@pytest.mark.parametrize(
    ("sent", "kept"),
    [
        ("one\r\n\ttwo\nthree", "one\r\n\ttwo\nthree"),
        ("  one two \n\n", "one two"),
        ("\ufeffone\ufeff two\x00", "one two"),
        ("\u200b\u200f one two", "one two"),
        ("e\x00\u0301 accent", "é accent"),
        ("one ❤\ufe0f", "one ❤\ufe0f"),
    ],
)
def test_prose_keeps_its_lines_and_loses_what_surrounds_it(sent: str, kept: str) -> None:
    """Tabs and line ends inside stay as they came."""
    assert read(Annotated[str, make_prose_format(2, 40)], sent) == kept


def test_a_line_stays_one_line() -> None:
    """A line end becomes a space, so that words stay apart."""
    assert read(Annotated[str, make_line_format(2, 40)], "two\r\nlines\tand\u2028more\n") == "two lines and more"


@pytest.mark.parametrize("blank", ["\x00" * 9, " " * 9, "\u200b" * 9, "\u3164" * 9, "\ufeff\n\x07 \t\u2060" * 3])
def test_text_that_shows_nothing_is_none(blank: str) -> None:
    """This holds for any length."""
    assert not is_accepted(Annotated[str, make_line_format(2, 30)], blank)
    assert not is_accepted(Annotated[str, make_prose_format(2, 30)], blank)


def test_a_long_text_has_its_bound_beside_the_pattern() -> None:
    """A pattern that counts to 10,000 is more than common validators compile."""
    schema = TypeAdapter(Annotated[str, make_prose_format(20, 10_000)]).json_schema()
    assert (schema["maxLength"], "{18,}" in schema["pattern"]) == (10_000, True)
    assert jsonschema_rs.validator_for(schema).is_valid("x" * 20)


PIECES = st.sampled_from(
    ["a", "é", " ", "\t", "\n", "\r", "\x00", "\x0c", "\x85", "\u2028", "\ufeff", "\u200b", "\ufe0f"]
)


@given(st.lists(PIECES, max_size=14).map("".join), st.sampled_from([make_line_format(2, 6), make_prose_format(2, 6)]))
def test_the_pattern_of_free_text_says_exactly_what_is_taken(value: str, kind: Any) -> None:
    """Removed characters don't count, in the description as in the service."""
    schema = TypeAdapter(Annotated[str, kind]).json_schema()
    assert (re.search(schema["pattern"], value) is not None) is is_accepted(Annotated[str, kind], value)
