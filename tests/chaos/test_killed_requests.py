"""The long form: every use case killed at every crash point, twenty times over, half of them once more on the way.

A round replays from its seed: CHAOS_SEED=… pytest tests/chaos/test_killed_requests.py
"""

import os
from collections.abc import Mapping

import pytest

from tests.crash_recovery.environment import CrashTestEnvironment, ProcessRunner
from tests.crash_recovery.kill_runs import KillRun, ReferenceRun, list_differences
from tests.crash_recovery.requests import USE_CASES
from tests.measurements import record

SEED = int(os.environ.get("CHAOS_SEED", "11"))
ROUNDS = 20
TWICE = 0.5


@pytest.fixture(scope="module")
def process_runners(crash_test: CrashTestEnvironment, processes: ProcessRunner) -> list[ProcessRunner]:
    """Return two processes at a time."""
    return [processes, crash_test.start_processes()]


@pytest.mark.parametrize("seed", range(SEED, SEED + ROUNDS))
def test_requests_killed_at_every_crash_point_are_done_once(
    crash_test: CrashTestEnvironment,
    process_runners: list[ProcessRunner],
    reference_runs: Mapping[str, ReferenceRun],
    seed: int,
) -> None:
    """Each leaves one row, one audit entry, its jobs once, and the same answer."""
    campaign = KillRun(crash_test, process_runners, seed=seed, twice=TWICE)
    fought = campaign.run(
        [(use_case, crash_point) for use_case in USE_CASES for crash_point in reference_runs[use_case.name].points]
    )
    words = [
        word for one in fought.killed for word in list_differences(crash_test, one, reference_runs[one.use_case.name])
    ]
    deaths = sum(one.deaths for one in fought.killed)
    record("kill_points_requests_long", seed=seed, requests=len(fought.killed), deaths=deaths, wrong=len(words))
    assert words == []
    assert fought.added == fought.wanted
    assert deaths > len(fought.killed), "some died twice"
