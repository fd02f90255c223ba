"""A request that is killed at any crash point and sent again is done exactly once and answered as one request."""

from collections import Counter
from collections.abc import Mapping

import pytest

from tests.crash_recovery.environment import CrashTestEnvironment, ProcessRunner
from tests.crash_recovery.kill_runs import KillRun, KillRunResult, ReferenceRun, list_differences
from tests.crash_recovery.requests import USE_CASES, UseCase
from tests.crash_recovery.syscall_trace import list_uncovered
from tests.databases import IS_PIPELINED
from tests.measurements import record

EACH = pytest.mark.parametrize("use_case", USE_CASES, ids=lambda use_case: use_case.name)


@pytest.fixture(scope="module")
def kill_run(
    crash_test: CrashTestEnvironment, processes: ProcessRunner, reference_runs: Mapping[str, ReferenceRun]
) -> KillRunResult:
    """Return every use case killed at every crash point that its twin has passed, once, and sent again."""
    campaign = KillRun(crash_test, [processes, crash_test.start_processes()])
    return campaign.run(
        [(use_case, crash_point) for use_case in USE_CASES for crash_point in reference_runs[use_case.name].points]
    )


@EACH
@pytest.mark.skipif(not IS_PIPELINED, reason="sent one by one, statements leave between two crash points")
def test_everything_that_leaves_a_request_has_a_crash_point_before_and_after_it(
    reference_runs: Mapping[str, ReferenceRun], use_case: UseCase
) -> None:
    """Seen from beside the code: HTTP by Python's audit events, SQL by libpq's own trace."""
    trace = reference_runs[use_case.name].trace
    assert list_uncovered(trace) == []
    left = Counter(what for _, _, what in trace if what.startswith("sent"))
    assert left["sent connect"] == 1
    assert left["sent round trip"] >= 1
    assert left["sent http"] >= 2, "admission and completion"


@EACH
def test_an_unkilled_request_adds_its_rows_and_answers_from_them(
    reference_runs: Mapping[str, ReferenceRun], use_case: UseCase
) -> None:
    """Every killed request is compared with this one."""
    reference = reference_runs[use_case.name]
    assert reference.answer["statusCode"] == use_case.status
    assert reference.added == use_case.adds


@EACH
def test_a_request_killed_at_any_crash_point_and_sent_again_is_done_once(
    crash_test: CrashTestEnvironment,
    kill_run: KillRunResult,
    reference_runs: Mapping[str, ReferenceRun],
    use_case: UseCase,
) -> None:
    """It leaves one audit entry, its jobs once, and the answer that the first request would have given."""
    killed, reference = kill_run.list_killed(use_case), reference_runs[use_case.name]
    assert {one.crash_point for one in killed} == set(reference.points)
    words = [word for one in killed for word in list_differences(crash_test, one, reference)]
    committed = sum(one.committed is not None for one in killed)
    record("kill_points_requests", use_case=use_case.name, killed=len(killed), committed=committed, wrong=len(words))
    assert words == []


def test_all_killed_requests_together_add_no_row_more_than_unkilled_ones(kill_run: KillRunResult) -> None:
    """All tables are counted, so a doubled effect is found that is not at its own record."""
    assert kill_run.added == kill_run.wanted


def test_requests_died_before_and_after_the_commit_and_some_were_repeated_too_early(kill_run: KillRunResult) -> None:
    """The campaign proves little without all three. A held key is 409 until its lease ends."""
    committed = sum(one.committed is not None for one in kill_run.killed)
    assert 0 < committed < len(kill_run.killed)
    assert any(one.in_progress for one in kill_run.killed)
