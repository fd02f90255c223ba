"""International domains become what mail is sent to, as the `idna` library has it."""

import contextlib

import idna
import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st

from shared.domains import ascii_domain

# The scripts that people here write domains in, and a few more.
LETTERS = st.characters(categories=["Ll", "Lu", "Lo"], max_codepoint=0x2FFF).filter(lambda c: not c.isascii())
LABELS = st.text(LETTERS | st.sampled_from("ab9-ßς"), min_size=1, max_size=12)


def by_the_library(domain: str) -> str | None:
    try:
        return idna.encode(domain, uts46=True).decode()
    except UnicodeError:
        return None


@given(LABELS)
@example("münchen")
@example("faß")
@example("FAẞ")
@example("ελλάς")
@example("срб")
@example("日本語")
def test_a_domain_that_is_converted_is_what_idna_2008_says(label: str) -> None:
    """Where the two standards part, a domain may be refused; it never becomes another one."""
    assume(not label.isascii())
    try:
        found = ascii_domain(f"{label}.test")
    except ValueError:
        return
    assert found == by_the_library(f"{label}.test")


def test_each_character_is_converted_as_the_library_does_or_refused() -> None:
    """All that the two standards could treat differently, one by one."""
    found: dict[str, str] = {}
    for code in range(0x80, 0x3400):
        with contextlib.suppress(ValueError):
            found[f"a{chr(code)}.test"] = ascii_domain(f"a{chr(code)}.test")
    assert {domain: made for domain, made in found.items() if made != by_the_library(domain)} == {}
    assert len(found) > 4000


@given(st.text(st.sampled_from("aëçšđžčćñüößабвгдѓежзѕијклљмнњопрстќуфхцчџшђћαβγς9-"), min_size=1, max_size=12))
def test_what_people_here_write_is_converted(label: str) -> None:
    """Albanian, Serbian, Macedonian, German and Greek letters: all that the library takes."""
    expected = by_the_library(f"{label}.test")
    assume(expected is not None)
    assert ascii_domain(f"{label}.test") == expected


@pytest.mark.parametrize(
    "label",
    [
        "♥",
        "a\u200db",
        "-ë",
        "ë-",
        "xn--a",
        "xn--",
        "xn--a-",
        "ab--ë",
        "\u0301a",
        "ë" * 60,
        "½ë",
        "😀",
        "\u00a0ë",
        "xn--ë",
    ],
)
def test_what_is_no_label_is_refused(label: str) -> None:
    """Symbols, joiners, hyphens at the ends, punycode of nothing, what is too long."""
    with pytest.raises(ValueError, match=r".*"):
        ascii_domain(f"{label}.test")
