"""docs/reference/alarms.md says of each alarm how it was verified, and of none more than was done."""

import json
import re

import pytest

from tests.alarms.declared_troubles import TROUBLES
from tests.services import ROOT
from tests.settings.alarms import ALARMS

PAGE = (ROOT / "docs/reference/alarms.md").read_text(encoding="utf-8")
ROW = re.compile(r"^\| (\w+Alarm) \| ([a-z ]+) \| (.+) \|$", re.MULTILINE)
MADE = "made"


def describe_verification(alarm: str) -> tuple[str, str]:
    """Return how an alarm was verified, and by what: the troubles that ring it."""
    troubles = [name for name, trouble in TROUBLES.items() if alarm in trouble.rings]
    return MADE, "; ".join(f"{name} (`{TROUBLES[name].file}`)" for name in troubles)


def test_each_alarm_has_a_row_that_says_how_it_was_verified() -> None:
    """A new alarm needs a trouble that rings it."""
    wanted = [(name, *describe_verification(name)) for name in ALARMS]
    assert ROW.findall(PAGE) == wanted


def test_a_trouble_rings_only_alarms_that_exist() -> None:
    """An alarm that was renamed would be missed otherwise."""
    assert {name for trouble in TROUBLES.values() for name in trouble.rings} <= set(ALARMS)


def list_texts(file: str) -> str:
    """Return the source of a test file."""
    return (ROOT / file).read_text(encoding="utf-8")


@pytest.mark.parametrize("trouble", TROUBLES)
def test_each_trouble_is_made_in_its_file(trouble: str) -> None:
    """A test there names it, or makes the same of one function after another."""
    source = list_texts(TROUBLES[trouble].file)
    for_each = re.sub(r"\b\w+Function\b", "{function}", trouble)
    assert f'"{trouble}"' in source or f'f"{for_each}"' in source


def test_every_alarm_was_rung() -> None:
    """A test made the trouble that rang it; the page's summary counts them."""
    rung = {name for trouble in TROUBLES.values() for name in trouble.rings}
    assert set(ALARMS) - rung == set()
    assert f"{len(rung)} of {len(ALARMS)} alarms" in PAGE


def test_all_alarms_were_quiet_in_the_published_quiet_minutes() -> None:
    """A later alarm has not been seen quiet yet: run tests/chaos/test_quiet_minutes.py, then `make guarantees`."""
    [figure] = json.loads((ROOT / "measurements/figures.json").read_text(encoding="utf-8"))["quiet_minutes"]
    assert (figure["alarms"], figure["rung"]) == (len(ALARMS), 0)
