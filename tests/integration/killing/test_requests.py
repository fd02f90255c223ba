"""Exactly once: a request killed at any step, and sent again, leaves what one request leaves and answers as one."""

from collections import Counter
from collections.abc import Mapping

import pytest

from tests.figures import record
from tests.killing.campaign import Campaign, Fought, Twin, wrong
from tests.killing.requests import USE_CASES, UseCase
from tests.killing.tracing import uncovered
from tests.killing.world import Processes, World

EACH = pytest.mark.parametrize("use_case", USE_CASES, ids=lambda use_case: use_case.name)


@pytest.fixture(scope="module")
def fought(killing: World, processes: Processes, twins: Mapping[str, Twin]) -> Fought:
    """Every use case killed at every step that its twin has passed, once, and sent again."""
    campaign = Campaign(killing, [processes, killing.processes()])
    return campaign.run([(use_case, step) for use_case in USE_CASES for step in twins[use_case.name].points])


@EACH
def test_everything_that_leaves_a_request_has_a_step_before_and_after_it(
    twins: Mapping[str, Twin], use_case: UseCase
) -> None:
    """Seen from beside the code: HTTP by Python's audit events, SQL by libpq's own trace."""
    trace = twins[use_case.name].trace
    assert uncovered(trace) == []
    left = Counter(what for _, _, what in trace if what.startswith("wire"))
    assert left["wire connect"] == 1
    assert left["wire flight"] >= 1
    assert left["wire http"] >= 2, "admission and completion"


@EACH
def test_an_unkilled_request_adds_its_rows_and_answers_from_them(twins: Mapping[str, Twin], use_case: UseCase) -> None:
    """What every killed one is held against."""
    twin = twins[use_case.name]
    assert twin.answer["statusCode"] == use_case.status
    assert twin.added == use_case.adds


@EACH
def test_a_request_killed_at_any_step_and_sent_again_is_done_once(
    killing: World, fought: Fought, twins: Mapping[str, Twin], use_case: UseCase
) -> None:
    """One audit entry, its jobs once, and the answer that the first would have given, whatever step it died at."""
    killed, twin = fought.of(use_case), twins[use_case.name]
    assert {one.step for one in killed} == set(twin.points)
    words = [word for one in killed for word in wrong(killing, one, twin)]
    committed = sum(one.committed is not None for one in killed)
    record("kill_points_requests", use_case=use_case.name, killed=len(killed), committed=committed, wrong=len(words))
    assert words == []


def test_all_killed_requests_together_add_no_row_more_than_unkilled_ones(fought: Fought) -> None:
    """In any table: what a doubled effect would leave somewhere else than at its own record is found here."""
    assert fought.added == fought.wanted


def test_some_died_before_and_some_after_the_commit_and_some_were_sent_again_too_early(fought: Fought) -> None:
    """Else the campaign would have shown little: where the key is held, 409 says so until the lease is over."""
    committed = sum(one.committed is not None for one in fought.killed)
    assert 0 < committed < len(fought.killed)
    assert any(one.in_progress for one in fought.killed)
