"""Stale and zombie writers of circuits, in ten thousand schedules; CHAOS_SEED replays a campaign."""

import os

from hypothesis import HealthCheck, Phase, seed, settings
from hypothesis.stateful import run_state_machine_as_test

from tests.breaker_state_machine import MET, BreakerMachine
from tests.measurements import record

SCHEDULES = int(os.environ.get("CHAOS_SCHEDULES", "10000"))
SEED = int(os.environ.get("CHAOS_SEED", "20261124"))
STEPS = 30


def test_ten_thousand_schedules_find_no_illegal_transition() -> None:
    """Never two live probes, generations only grow, and late results change nothing; all that can happen was met."""
    BreakerMachine.happened.clear()
    campaign = settings(
        max_examples=SCHEDULES,
        stateful_step_count=STEPS,
        deadline=None,
        database=None,
        phases=(Phase.generate, Phase.shrink),
        suppress_health_check=list(HealthCheck),
    )
    run_state_machine_as_test(seed(SEED)(BreakerMachine), settings=campaign)
    happened = BreakerMachine.happened
    record("breaker.schedules", seed=SEED, **happened)
    assert happened["schedules"] >= SCHEDULES
    assert [what for what in MET if happened[what] < SCHEDULES / 100] == []
