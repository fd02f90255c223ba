"""The long form: every use case killed at every step, twenty times over, half of them once more on the way.

A round replays from its seed: CHAOS_SEED=… pytest tests/chaos/test_killed_requests.py
"""

import os
from collections.abc import Mapping

import pytest

from tests.figures import record
from tests.killing.campaign import Campaign, Twin, wrong
from tests.killing.requests import USE_CASES
from tests.killing.world import Processes, World

SEED = int(os.environ.get("CHAOS_SEED", "11"))
ROUNDS = 20
TWICE = 0.5


@pytest.fixture(scope="module")
def lanes(killing: World, processes: Processes) -> list[Processes]:
    """Two processes at a time."""
    return [processes, killing.processes()]


@pytest.mark.parametrize("seed", range(SEED, SEED + ROUNDS))
def test_requests_killed_at_every_step_are_done_once(
    killing: World, lanes: list[Processes], twins: Mapping[str, Twin], seed: int
) -> None:
    """One row, one audit entry, its jobs once, the same answer: for all of them."""
    campaign = Campaign(killing, lanes, seed=seed, twice=TWICE)
    fought = campaign.run([(use_case, step) for use_case in USE_CASES for step in twins[use_case.name].points])
    words = [word for one in fought.killed for word in wrong(killing, one, twins[one.use_case.name])]
    deaths = sum(one.deaths for one in fought.killed)
    record("kill_points_requests_long", seed=seed, requests=len(fought.killed), deaths=deaths, wrong=len(words))
    assert words == []
    assert fought.added == fought.wanted
    assert deaths > len(fought.killed), "some died twice"
