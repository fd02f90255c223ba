"""The page of guarantees says what the tests say, and what they measure clears its bar. Run after all other tests."""

import os

import pytest

from tests.guarantees.page import (
    PAGE,
    PROMISES,
    ROOT,
    Proof,
    list_tests,
    read_guarantees,
    read_latest,
    read_published,
    render,
)

PROMISED = read_guarantees(PROMISES.read_text(encoding="utf-8"))
EVIDENCE = [pytest.param(each, id=each.figure) for promise in PROMISED for each in promise.evidence]
SHORT = [pytest.param(each, id=each.figure) for promise in PROMISED for each in promise.evidence if not each.long]


def test_the_page_is_what_is_promised_and_was_measured() -> None:
    """Not written by hand: `make guarantees` writes it."""
    assert PAGE.read_text(encoding="utf-8") == render(PROMISED, read_published())


@pytest.mark.parametrize("evidence", EVIDENCE)
def test_a_promise_names_a_test_that_there_is(evidence: Proof) -> None:
    """One that was renamed or deleted holds nothing."""
    path, _, name = evidence.test.partition("::")
    assert name in list_tests(ROOT / path)


@pytest.mark.parametrize("evidence", EVIDENCE)
def test_what_the_page_shows_clears_its_bar(evidence: Proof) -> None:
    """Each figure of each case."""
    figures = read_published()[evidence.figure]
    assert figures != []
    assert [figure for figure in figures if not evidence.is_met(figure)] == []


@pytest.mark.parametrize("evidence", EVIDENCE)
def test_what_was_measured_just_now_clears_its_bar(evidence: Proof) -> None:
    """The page may be older than the code."""
    assert [figure for figure in read_latest().get(evidence.figure, []) if not evidence.is_met(figure)] == []


@pytest.mark.skipif("MEASURED" not in os.environ, reason="only after all other tests, as `make test` runs it")
@pytest.mark.parametrize("evidence", SHORT)
def test_every_promise_was_measured_in_this_run(evidence: Proof) -> None:
    """A test that no longer records its figure shows nothing."""
    assert read_latest().get(evidence.figure, []) != []
