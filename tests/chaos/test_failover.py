"""Failovers, one after the other, each on the database that the one before has left."""

import os
from pathlib import Path
from statistics import median

import pytest

from tests.failover.failover_runs import GRACE_S, run_failover_setup
from tests.measurements import record

ROUNDS = 20
SEED = int(os.environ.get("CHAOS_SEED", "20261124"))


def test_twenty_failovers_lose_and_double_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The ledger of all answers equals the last writer's rows, and no gap outlasts a promotion by more than 0.2 s."""
    with run_failover_setup(tmp_path, SEED) as running:
        measured = []
        for n in range(ROUNDS):
            measured.append(running.fail_over())
            with capsys.disabled():
                print(f"\n  failover {n + 1}/{ROUNDS} of seed {SEED}: {measured[-1]}", end="", flush=True)  # noqa: T201
            assert running.fleet.list_surprises() == []
            assert running.list_differences() == ({}, {})
        record("failover_20_rounds", seed=SEED, **running.list_figures(measured))
        assert median(one.over_s for one in measured) <= GRACE_S, measured
        assert all(one.in_time for one in measured), measured
