"""What the API's description says of states in words is what the schema allows."""

import re
from typing import get_args

from claims.model import ClaimQuery, ClaimState
from tests.services import ROOT
from tools.openapi.enums import ENUMS

CLAIMS = (ROOT / "migrations/0002_claims.sql").read_text(encoding="utf-8")


def list_described_moves(text: str) -> set[tuple[str, str]]:
    """Return each transition of a text that says "from `here` to there, there or there"."""
    sentences = re.findall(r"from ([^;.]*?) to ([^;.]+)", text)
    return {
        (source, target)
        for sources, targets in sentences
        for source in re.findall(r"`(\w+)`", sources)
        for target in re.findall(r"\w+", targets)
        if target in get_args(ClaimState)
    }


def test_a_reader_learns_every_transition_of_a_claim() -> None:
    """A diagram of them has a test of its own, on the database; these are the rows that it is made from."""
    rows = CLAIMS.partition("INSERT INTO claim_moves VALUES")[2].partition(";")[0]
    allowed = set(re.findall(r"\('(\w+)', '(\w+)'\)", rows))
    assert len(allowed) == 22
    assert list_described_moves(ENUMS["ClaimState"].description) == allowed


def test_a_reader_learns_after_how_many_days_a_claim_is_stuck() -> None:
    """The text says it of each state in which somebody has to act."""
    rows = CLAIMS.partition("INSERT INTO claim_states")[2].partition(";")[0]
    days = dict(re.findall(r"\('(\w+)', '(\d+) days'", rows))
    assert len(days) == 5
    described = re.findall(r"(\d+)(?: days)? in (\w+)", str(ClaimQuery.model_fields["stuck"].description))
    assert {state: count for count, state in described} == days
