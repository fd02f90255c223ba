"""Our lists of currencies and calling codes agree with the official ones, of which libraries have copies.

ISO 4217 is read by `iso4217`, the numbering plans of the world by `phonenumbers` (Google's libphonenumber). A newer
release of either may turn a test red: then the list in shared/fields/code_lists.py has to follow.
"""

import re
from collections.abc import Iterator
from random import Random

import phonenumbers
import pytest
from iso4217 import Currency
from phonenumbers import COUNTRY_CODE_TO_REGION_CODE, PhoneMetadata, PhoneNumberFormat, PhoneNumberType
from pydantic import TypeAdapter, ValidationError

from shared.fields import Phone
from shared.fields.code_lists import CURRENCIES, DECIMALS, TRUNK_ZERO

# Funds, units of account, metals, the code for tests and the one for no currency: nobody claims an amount of them.
NO_MONEY = {
    *("BOV", "CHE", "CHW", "CLF", "COU", "MXV", "USN", "UYI", "UYW", "XAD", "XAG", "XAU"),
    *("XBA", "XBB", "XBC", "XBD", "XDR", "XPD", "XPT", "XSU", "XTS", "XUA", "XXX"),
}
# What a person is reached by; special numbers are none, though 0800 is dialled after some countries' codes as well.
PERSONAL = ("fixed_line", "mobile", "voip", "personal_number")
PREFIXES, TRIES = 100, 8
# Rwanda's landlines begin with 06, its mobiles with 7, before which 0 is dialled inside the country.
ONLY_AFTER_06 = 250
PHONE: TypeAdapter[str] = TypeAdapter(Phone)


def test_the_currencies_are_iso_4217s() -> None:
    """All that are money, and no other."""
    assert set(CURRENCIES) == {currency.code for currency in Currency} - NO_MONEY
    assert {currency.code for currency in Currency} >= NO_MONEY


@pytest.mark.parametrize("code", CURRENCIES)
def test_a_currency_has_the_standards_decimals(code: str) -> None:
    """ISO 4217's minor unit."""
    assert DECIMALS[code] == Currency(code).exponent


def has_trunk_zero(number: str) -> bool:
    """Return whether a number is refused for a zero after its country's code."""
    return re.match(TRUNK_ZERO, number) is not None


def plans() -> Iterator[tuple[int, PhoneMetadata]]:
    """Return each numbering plan with its country's code, those of no country included."""
    for code, regions in COUNTRY_CODE_TO_REGION_CODE.items():
        for region in regions:
            plan = (
                PhoneMetadata.metadata_for_nongeo_region(code, None)
                if region == "001"
                else PhoneMetadata.metadata_for_region(region, None)
            )
            assert plan is not None
            yield code, plan


def numbers_from_zero(plan: PhoneMetadata) -> Iterator[str]:
    """Return personal numbers of a plan that begin with a zero, found by drawing: the same ones at each run."""
    draw = Random(1)
    for description in (getattr(plan, kind) for kind in PERSONAL):
        if description is None or not description.national_number_pattern:
            continue
        pattern = re.compile(description.national_number_pattern)
        general = plan.general_desc
        assert general is not None
        for length in description.possible_length or general.possible_length:
            for prefix in range(PREFIXES):
                for _ in range(TRIES):
                    number = f"0{prefix:02}" + "".join(draw.choices("0123456789", k=max(0, length - 3)))
                    if len(number) == length and pattern.fullmatch(number):
                        yield number


def test_no_persons_number_is_taken_for_one_with_a_trunk_zero() -> None:
    """In some countries subscribers' own numbers begin with 0: that zero belongs to them."""
    found = {code: list(numbers_from_zero(plan)) for code, plan in plans()}
    begin_with_zero = {code: numbers for code, numbers in found.items() if numbers}

    assert {39, 225, 226, 229, 241, 242, 250, 881, 992} <= set(begin_with_zero)
    refused = [
        f"+{code}{n}" for code, numbers in begin_with_zero.items() for n in numbers if has_trunk_zero(f"+{code}{n}")
    ]
    assert refused == []


ZERO_IS_DIALLED = sorted(code for code in COUNTRY_CODE_TO_REGION_CODE if has_trunk_zero(f"+{code}0123456"))
ZERO_BELONGS = {39, 225, 226, 227, 229, 241, 242, 378, 379, 881, 992}


def test_every_other_country_has_none_whose_numbers_begin_with_zero() -> None:
    """The country's code is read to its end, so that a zero within a number is not taken for the first."""
    assert set(ZERO_IS_DIALLED) == set(COUNTRY_CODE_TO_REGION_CODE) - ZERO_BELONGS
    assert has_trunk_zero(f"+{ONLY_AFTER_06}0788123456")
    assert not has_trunk_zero(f"+{ONLY_AFTER_06}06123456")


@pytest.mark.parametrize("region", sorted(phonenumbers.SUPPORTED_REGIONS))
@pytest.mark.parametrize("kind", ["FIXED_LINE", "MOBILE"])
def test_a_number_of_every_country_is_taken_and_not_with_a_trunk_zero(region: str, kind: str) -> None:
    """The numbers are libphonenumber's examples; a zero after the country's code is accepted only where it belongs."""
    example = phonenumbers.example_number_for_type(region, getattr(PhoneNumberType, kind))
    if example is None:
        assert kind == "FIXED_LINE" or region in {"IT", "TA"}
        return
    number = phonenumbers.format_number(example, PhoneNumberFormat.E164)
    assert PHONE.validate_python(number) == number
    code, national = number[1 : 1 + len(str(example.country_code))], number[1 + len(str(example.country_code)) :]
    if int(code) not in ZERO_BELONGS:
        with pytest.raises(ValidationError):
            PHONE.validate_python(f"+{code}0{national}")
