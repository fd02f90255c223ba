"""The long form: relays and workers killed at every crash point, twenty times over, in an order of the seed's.

A round replays from its seed: CHAOS_SEED=… pytest tests/chaos/test_killed_jobs.py
"""

import os
import random

import pytest

from tests.crash_recovery.environment import CrashPoint, CrashTestEnvironment, ProcessRunner
from tests.crash_recovery.jobs import (
    JobProcesses,
    kill_identity_workers,
    kill_mail_workers,
    kill_relays,
    list_identity_differences,
    list_job_differences,
    make_published,
)
from tests.measurements import record

SEED = int(os.environ.get("CHAOS_SEED", "11"))
ROUNDS = 20


@pytest.fixture(scope="module")
def job_processes(crash_test: CrashTestEnvironment, processes: ProcessRunner) -> JobProcesses:
    """Return the jobs' functions in a test environment of the module's own."""
    return JobProcesses(crash_test, processes)


@pytest.fixture(scope="module")
def points(job_processes: JobProcesses) -> tuple[list[CrashPoint], list[CrashPoint], list[CrashPoint]]:
    """Return the crash points of a relay, of a worker with a mail, and of a worker with an identity."""
    job_processes.add_mail(priority="high")
    job_processes.add_identity(priority="low")
    relay = job_processes.run_relay().points
    mail = job_processes.run_worker(job_processes.add_mail(**make_published()).id).points
    return relay, mail, job_processes.run_worker(job_processes.add_identity(**make_published()).id).points


@pytest.mark.parametrize("seed", range(SEED, SEED + ROUNDS))
def test_relays_and_workers_killed_at_every_crash_point_lose_and_double_nothing(
    job_processes: JobProcesses, points: tuple[list[CrashPoint], list[CrashPoint], list[CrashPoint]], seed: int
) -> None:
    """All jobs of a round are left to recover together."""
    relay, mail, identity = (random.Random(seed).sample(its, len(its)) for its in points)
    handed_over = kill_relays(job_processes, relay)
    deaths = kill_mail_workers(job_processes, mail)
    people = kill_identity_workers(job_processes, identity)
    job_processes.recover(rounds=2)
    words = list_job_differences(job_processes, deaths) + list_identity_differences(
        job_processes, people + [one for _, one in handed_over]
    )
    mails = [one for one, _ in handed_over]
    record("kill_points_jobs_long", seed=seed, killed=len(relay) + len(mail) + len(identity), wrong=len(words))
    assert words == []
    assert {job_processes.records.read_job(one.id)["state"] for one in mails} == {"done"}
    assert job_processes.count_sent(*mails) == [1] * len(relay)
