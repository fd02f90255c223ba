"""Outages of many minutes with Lambda's recursive loop detection on: nothing is stopped, no job is lost or done twice.

Relay and worker wake each other while jobs wait, which Lambda takes for a loop. Virtual time, the deployed settings.
"""

from collections import Counter
from collections.abc import Callable
from statistics import median
from typing import Any
from uuid import UUID

import pytest

from local.runtime.lineage import MOST_INVOCATIONS
from relay.app import QUEUE_PATIENCE
from shared.circuit.store import force_circuit
from shared.database.pipeline import Database
from shared.outbox.retry_policy import RETRY
from shared.units import SECOND
from tests.databases import FreshDatabase
from tests.integration.jobs.lambda_simulation import POLICIES, SimulatedLambda, read_sweep_s, simulate_lambda
from tests.integration.jobs.records import RecordFixtures
from tests.measurements import record
from worker import job_runner
from worker.job_runner import MOST_HOPS

MINUTE = 60.0
OUTAGE_MIN, FORCED_MIN = 20, 30
UNLIMITED = 10**6
# A job that has failed often waits this long by itself, and then for the relay's schedule.
RECOVERY_S = RETRY.cap_s + read_sweep_s() + MINUTE


@pytest.fixture
def add_jobs(records: RecordFixtures) -> Callable[[SimulatedLambda], list[UUID]]:
    """A mail of each priority and a sign-in, of somebody new."""

    def add(simulation: SimulatedLambda) -> list[UUID]:
        person = records.add_member()
        due: dict[str, Any] = {"available_at": simulation.read_time()}
        mails = [
            records.add_mail("member-welcome", person, to=person, priority=priority, **due)
            for priority in ("high", "normal", "low")
        ]
        return [*mails, records.add_identity(person, priority="high", **due)]

    return add


def force_circuits(simulation: SimulatedLambda, command: Any) -> None:
    """Force both circuits, as an operator does."""
    for policy in POLICIES.values():
        force_circuit(simulation.store, policy, command, simulation.time.micros)


def register_people(
    simulation: SimulatedLambda, add_jobs: Callable[[SimulatedLambda], list[UUID]], minutes: int
) -> list[UUID]:
    """Let minutes pass, with somebody new in each; return all their jobs."""
    jobs = []
    for _ in range(minutes):
        jobs += add_jobs(simulation)
        simulation.wake_relay()
        simulation.run_for(MINUTE)
    return jobs


def check_all_done(simulation: SimulatedLambda, records: RecordFixtures, jobs: list[UUID]) -> None:
    """Every job is done, each mail was sent once, and Lambda has stopped nothing."""
    assert simulation.stopped == []
    assert simulation.dead_letters == []
    assert Counter(records.list_states()[job] for job in jobs) == {"done": len(jobs)}
    sent = Counter(tags["job"] for tags in simulation.mailer.tags)
    mails = [job for job in jobs if records.read_job(job)["kind"] == "mail"]
    assert sent == {str(job): 1 for job in mails}


AddJobs = Callable[[SimulatedLambda], list[UUID]]


def measure_recovery_s(simulation: SimulatedLambda, mended: int) -> tuple[float, float]:
    """Seconds from the end of an outage until half of the mails had left, and all."""
    waits = sorted((at - mended) / SECOND for at in simulation.sent_at)
    return round(median(waits), 1), round(waits[-1], 1)


def run_outage(simulation: SimulatedLambda, add_jobs: AddJobs) -> list[UUID]:
    """SES and Cognito are away for 20 minutes; return the jobs that were written meanwhile."""
    simulation.set_services(reachable=False)
    jobs = register_people(simulation, add_jobs, OUTAGE_MIN)
    simulation.set_services(reachable=True)
    return jobs


def run_forced_circuits(simulation: SimulatedLambda, add_jobs: AddJobs) -> list[UUID]:
    """Operators hold both circuits open for 30 minutes; return the jobs that were written meanwhile."""
    force_circuits(simulation, "open")
    jobs = register_people(simulation, add_jobs, FORCED_MIN)
    force_circuits(simulation, "auto")
    return jobs


TROUBLES = {"outage": run_outage, "forced": run_forced_circuits}


@pytest.mark.parametrize("seed", [1, 2])
@pytest.mark.parametrize("trouble", TROUBLES)
def test_a_long_trouble_of_the_services_leaves_nothing_behind(
    fresh_database: FreshDatabase,
    database: Database,
    records: RecordFixtures,
    add_jobs: AddJobs,
    trouble: str,
    seed: int,
) -> None:
    """20 minutes without SES and Cognito, or 30 before circuits that are held open, while jobs go round."""
    with simulate_lambda(fresh_database, database, seed=seed) as simulation:
        jobs = TROUBLES[trouble](simulation, add_jobs)
        mended = simulation.time.micros
        simulation.run_for(RECOVERY_S)
        check_all_done(simulation, records, jobs)
    half_s, all_s = measure_recovery_s(simulation, mended)
    record(
        "loops.services",
        stopped=len(simulation.stopped),
        dead=len(simulation.dead_letters),
        longest=simulation.longest_chain,
        half_s=half_s,
        all_s=all_s,
        jobs=len(jobs),
    )
    assert simulation.longest_chain <= 1 + 2 * (MOST_HOPS + 1) < MOST_INVOCATIONS, "even if Lambda counted all together"


@pytest.mark.parametrize("trouble", TROUBLES)
def test_without_a_limit_of_hops_lambda_stops_the_same_jobs(
    fresh_database: FreshDatabase,
    database: Database,
    add_jobs: AddJobs,
    trouble: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The negative control of the test above: relay and worker wake each other until Lambda takes them for a loop."""
    monkeypatch.setattr(job_runner, "MOST_HOPS", UNLIMITED)
    with simulate_lambda(fresh_database, database) as simulation:
        TROUBLES[trouble](simulation, add_jobs)
    assert simulation.stopped


@pytest.mark.parametrize("seed", [1, 2])
def test_a_long_outage_of_the_database_leaves_no_dead_letters(
    fresh_database: FreshDatabase, database: Database, records: RecordFixtures, add_jobs: AddJobs, seed: int
) -> None:
    """Messages that were on their way are given up at their last delivery; the relay publishes their jobs again."""
    with simulate_lambda(fresh_database, database, seed=seed) as simulation:
        jobs = [job for _ in range(5) for job in add_jobs(simulation)]
        simulation.run_relay()
        simulation.database.is_reachable = False
        simulation.run_for(OUTAGE_MIN * MINUTE)
        simulation.database.is_reachable = True
        mended = simulation.time.micros
        simulation.run_for(QUEUE_PATIENCE.total_seconds() + read_sweep_s())
        check_all_done(simulation, records, jobs)
    _, all_s = measure_recovery_s(simulation, mended)
    record("loops.database", dead=len(simulation.dead_letters), stopped=len(simulation.stopped), all_s=all_s)
