"""International domains become what mail is sent to."""

import subprocess
import sys

import pytest

from shared.fields.domain_names import convert_domain_to_ascii


@pytest.mark.parametrize(
    ("domain", "expected"),
    [
        ("Example.Test", "example.test"),
        ("münchen.test", "xn--mnchen-3ya.test"),
        ("faß.test", "xn--fa-hia.test"),
        ("FAẞ.test", "xn--fa-hia.test"),
        ("ελλάς.test", "xn--hxarsa0b.test"),
        ("срб.test", "xn--90a3ac.test"),
        ("日本語。test", "xn--wgv71a119e.test"),
        ("XN--MNCHEN-3YA.test", "xn--mnchen-3ya.test"),
        ("mu\u0308nchen.test", "xn--mnchen-3ya.test"),
    ],
)
def test_a_domain_becomes_its_one_ascii_form(domain: str, expected: str) -> None:
    """IDNA 2008, not 2003: ß stays a letter of its own. Case, width and composition make no other domain."""
    assert convert_domain_to_ascii(domain) == expected


@pytest.mark.parametrize(
    "label",
    [
        "♥", "a\u200db", "-ë", "ë-", "Ĳ-", "xn--a", "xn--", "xn--a-", "ab--ë", "\u0301a", "ë" * 60, "½ë", "😀", "xn--ë",
    ],
)  # fmt: skip
def test_what_is_no_label_is_refused(label: str) -> None:
    """Symbols, joiners, hyphens at the ends, punycode of nothing, what is too long."""
    with pytest.raises(ValueError, match=r"."):
        convert_domain_to_ascii(f"{label}.test")


def test_a_plain_domain_loads_no_tables() -> None:
    """A cold start with a usual address does not pay for the unusual ones."""

    code = "import sys; from shared.fields.domain_names import convert_domain_to_ascii as a; "
    code += "a('Example.test'); sys.exit('idna' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], env={"PYTHONPATH": "layers/shared"}, check=False)
    assert done.returncode == 0
