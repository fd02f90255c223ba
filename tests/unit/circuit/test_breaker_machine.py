"""Stale and zombie writers, in schedules that Hypothesis makes up: the short form of tests/chaos."""

from hypothesis import HealthCheck, settings
from hypothesis.stateful import run_state_machine_as_test

from tests.breaker_state_machine import BreakerMachine

SCHEDULES = 200


def test_no_schedule_of_stale_and_zombie_writers_leads_to_an_illegal_transition() -> None:
    """Never two live probes, generations only grow, and late results change nothing."""
    BreakerMachine.happened.clear()
    short = settings(
        max_examples=SCHEDULES, stateful_step_count=40, deadline=None, suppress_health_check=list(HealthCheck)
    )
    run_state_machine_as_test(BreakerMachine, settings=short)
    happened = BreakerMachine.happened
    assert happened["schedules"] >= SCHEDULES
    assert min(happened["closed to open"], happened["open to half_open"], happened["late result"]) > 0
