"""The writer is killed while a fleet writes, and its synchronous standby takes over."""

from pathlib import Path

from tests.failover.rounds import GRACE_S, bench
from tests.figures import record

ROUNDS = 2
SEED = 20261124


def test_a_failover_loses_and_doubles_nothing_and_is_over_when_the_new_writer_is_there(tmp_path: Path) -> None:
    """Every call ends in its answer, once; in between it is told to be repeated, and nothing else."""
    with bench(tmp_path, SEED) as running:
        measured = [running.fail_over() for _ in range(ROUNDS)]
        assert running.fleet.surprises() == []
        lost, doubled = running.differences()
        assert (lost, doubled) == ({}, {})
        record("failover", **running.figures(measured))
        # A busy machine holds up one or the other; what we add, we add to each.
        assert min(one.over_s for one in measured) <= GRACE_S, measured
