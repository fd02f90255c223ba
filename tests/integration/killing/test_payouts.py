"""The money of a month, its payout run killed at every step and repeated: to the cent, each commission paid once."""

import time
from dataclasses import dataclass, replace
from typing import Any

import pytest

from shared.api.execution import LEASE_MARGIN_S
from tests.figures import record
from tests.killing.requests import Asked
from tests.killing.world import Processes, Ran, Step, World
from tests.money.business import Business, copy_of, differences, statements
from tests.money.month import MONTH, month_of_business

# What Lambda has left for a run that will be killed: its key is free again soon.
SECONDS = 5.0


@pytest.fixture(scope="module")
def business(killing: World) -> Business:
    """The month, over and approved, in a database from which each kill takes a copy."""
    return month_of_business(killing.blank.postgres.fresh())


@dataclass(frozen=True)
class Payer:
    """An admin who makes the month's run, in processes that can be killed."""

    business: Business
    processes: Processes
    asked: Asked

    def run(self, **how: Any) -> Ran:
        """Ask for the run, with the same key each time."""
        return self.processes.run(self.asked.handler, self.asked.event(), **how)

    def with_another_key(self) -> Ran:
        """Ask as somebody who did not keep the key."""
        asked = replace(self.asked, key=self.asked.key + "-again")
        return self.processes.run(asked.handler, asked.event())


def payer(killing: World, business: Business) -> Payer:
    """An admin on a copy of the business."""
    mine = copy_of(business)
    asked = Asked("agents", "POST", "/payouts", {"month": MONTH}, claims=mine.admin)
    return Payer(mine, killing.processes(DB_NAME=mine.blank.name), asked)


def wrong(one: Payer, answers: list[Ran]) -> list[str]:
    """What is not as it would be without the kill; nothing where all is well."""
    told = [(ran.answer["statusCode"], ran.answer["body"]) for ran in answers]
    run = one.business.pay(MONTH)
    found = differences(one.business)
    if statements(run) != one.business.owed(MONTH):
        found.append(f"pays {statements(run)}, owes {one.business.owed(MONTH)}")
    if len(set(told)) != 1 or told[0][0] != 201 or run["id"] not in told[0][1]:
        found.append(f"answered {told}, the run is {run['id']}")
    audited = one.business.blank.rows("SELECT count(*) AS n FROM audit WHERE action = 'payout.made'")[0]["n"]
    return found if audited == 2 else [*found, f"{audited} runs were audited, with the one of the year before"]


def killed_at(killing: World, business: Business, step: Step) -> tuple[Payer, Ran, float]:
    """A run killed at a step, and at once repeated by somebody without its key; when its own key is free again."""
    one = payer(killing, business)
    free_at = time.monotonic() + SECONDS + LEASE_MARGIN_S
    assert one.run(seconds=SECONDS, kill=step).killed, step
    return one, one.with_another_key(), free_at


def test_a_payout_run_killed_at_every_step_and_repeated_pays_each_commission_once(
    killing: World, business: Business
) -> None:
    """By whoever repeats it: at once with another key, and later with its own; both get the one run's answer."""
    twin = payer(killing, business)
    points = twin.run().points
    twin.processes.stop()
    words: list[str] = []
    runs = [killed_at(killing, business, step) for step in points]
    for (one, first, free_at), step in zip(runs, points, strict=True):
        time.sleep(max(0.0, free_at - time.monotonic()))
        words += [f"{step}: {word}" for word in wrong(one, [first, one.run()])]
        one.processes.stop()
    record("kill_points_payout", killed=len(points), wrong=len(words))
    assert words == []
    assert len(points) >= 8, "admission, the transaction and the completion"
