"""The values of checks in words."""

import pytest

from stress.wording import NOT_SHOWN, describe_value
from tests.services import ROOT


@pytest.mark.parametrize(
    ("value", "words"),
    [
        ({201: 55}, "55 × 201"),
        ({201: 1250, 503: 2}, "1,250 × 201, 2 × 503"),
        ({"lost": {"claim", "agent"}}, "lost: agent, claim"),
        ({(409, "request-in-progress"): 3}, "3 × 409, request-in-progress"),
        ({}, "none"),
        ([], "none"),
        ("", "none"),
        (None, "none"),
        ([3, 1], "3, 1"),
        ([True, False], "yes, no"),
        (0, "0"),
        (0.5, "0.5"),
        ("≥ 10 calls", "≥ 10 calls"),
    ],
)
def test_a_value_is_shown_in_words(value: object, words: str) -> None:
    """No page shows Python's brackets."""
    assert describe_value(value) == words


def test_the_words_by_which_a_missing_figure_is_found_are_written_once() -> None:
    """Who notes it and who looks for it can't differ then."""
    modules = [path for path in (ROOT / "stress").rglob("*.py") if NOT_SHOWN in path.read_text(encoding="utf-8")]
    assert [path.name for path in modules] == ["wording.py"]
