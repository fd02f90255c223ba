"""The values of checks in words."""

import pytest

from stress.wording import describe_value


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
