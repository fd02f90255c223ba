"""A payout run that is killed at any crash point and repeated pays each commission of the month once, to the cent."""

import time
from dataclasses import dataclass, replace
from typing import Any

import pytest

from shared.api.execution import LEASE_MARGIN_S
from tests.crash_recovery.environment import CrashPoint, CrashTestEnvironment, ProcessResult, ProcessRunner
from tests.crash_recovery.requests import PlannedRequest
from tests.measurements import record
from tests.money.month import MONTH, simulate_month
from tests.money.simulated_business import SimulatedBusiness, copy_of, list_differences, read_statements

# What Lambda has left for a run that will be killed: its key is free again soon, and on a busy machine there is still
# time for the calls that would not be begun if they could outlast it.
SECONDS = 8.0


@pytest.fixture(scope="module")
def business(crash_test: CrashTestEnvironment) -> SimulatedBusiness:
    """Return the month, over and approved, in a database from which each kill takes a copy."""
    return simulate_month(crash_test.fresh_database.postgres.make_fresh_database())


@dataclass(frozen=True)
class PayoutCaller:
    """An admin who makes the month's run, in processes that can be killed."""

    business: SimulatedBusiness
    processes: ProcessRunner
    asked: PlannedRequest

    def run(self, **how: Any) -> ProcessResult:
        """Ask for the run, with the same key each time."""
        return self.processes.run(self.asked.handler, self.asked.build_event(), **how)

    def call_with_another_key(self) -> ProcessResult:
        """Ask as somebody who did not keep the key."""
        asked = replace(self.asked, key=self.asked.key + "-again")
        return self.processes.run(asked.handler, asked.build_event())


def make_payer(crash_test: CrashTestEnvironment, business: SimulatedBusiness) -> PayoutCaller:
    """Return an admin on a copy of the business."""
    mine = copy_of(business)
    asked = PlannedRequest("agents", "POST", "/payouts", {"month": MONTH}, claims=mine.admin)
    return PayoutCaller(mine, crash_test.start_processes(DB_NAME=mine.fresh_database.name), asked)


def list_mistakes(one: PayoutCaller, answers: list[ProcessResult]) -> list[str]:
    """Return what differs from a run that was not killed; empty if all is well."""
    answered = [(result.answer["statusCode"], result.answer["body"]) for result in answers]
    run = one.business.run_payout(MONTH)
    found = list_differences(one.business)
    if read_statements(run) != one.business.compute_owed(MONTH):
        found.append(f"pays {read_statements(run)}, owes {one.business.compute_owed(MONTH)}")
    if len(set(answered)) != 1 or answered[0][0] != 201 or run["id"] not in answered[0][1]:
        found.append(f"answered {answered}, the run is {run['id']}")
    audited = one.business.fresh_database.query_rows("SELECT count(*) AS n FROM audit WHERE action = 'payout.made'")[0][
        "n"
    ]
    return found if audited == 2 else [*found, f"{audited} runs were audited, with the one of the year before"]


def kill_and_repeat(
    crash_test: CrashTestEnvironment, business: SimulatedBusiness, crash_point: CrashPoint
) -> tuple[PayoutCaller, ProcessResult, float]:
    """Kill a run at a crash point, repeat it at once without its key, and with its key when that is free again."""
    one = make_payer(crash_test, business)
    free_at = time.monotonic() + SECONDS + LEASE_MARGIN_S
    died = one.run(seconds=SECONDS, kill=crash_point)
    assert died.killed, f"{crash_point} was not reached: {died.crash_points}"
    return one, one.call_with_another_key(), free_at


def test_a_payout_run_killed_at_every_crash_point_and_repeated_pays_each_commission_once(
    crash_test: CrashTestEnvironment, business: SimulatedBusiness
) -> None:
    """It is repeated at once with another key, and later with its own; both get the one run's answer."""
    reference = make_payer(crash_test, business)
    points = reference.run().points
    reference.processes.stop()
    words: list[str] = []
    runs = [kill_and_repeat(crash_test, business, crash_point) for crash_point in points]
    for (one, first, free_at), crash_point in zip(runs, points, strict=True):
        time.sleep(max(0.0, free_at - time.monotonic()))
        words += [f"{crash_point}: {word}" for word in list_mistakes(one, [first, one.run()])]
        one.processes.stop()
    record("kill_points_payout", killed=len(points), wrong=len(words))
    assert words == []
    assert len(points) >= 8, "admission, the transaction and the completion"
