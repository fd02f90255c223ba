"""Ten minutes of people at work, and a fault every twenty seconds; CHAOS_SEED replays the order of both."""

import os
from pathlib import Path

import pytest

from tests.measurements import record
from tests.soak.soak_run import run_setup, run_soak
from tests.soak.verdict import list_differences

SEED = int(os.environ.get("CHAOS_SEED", "20261124"))
SECONDS = int(os.environ.get("CHAOS_SECONDS", "600"))
FAULT_EVERY_S = 20.0
# Some thousand calls an environment, so a leak of a few kilobytes a call would be more than that.
FLAT_MB = 8.0


def test_ten_minutes_of_faults_lose_and_double_nothing_and_no_memory_grows(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Ledger = database = outbox = inbox, and every environment keeps the memory it had when it was warm."""
    with run_setup(tmp_path) as (cloud, proxy), capsys.disabled():
        soaked = run_soak(cloud, proxy, seconds=SECONDS, fault_every_s=FAULT_EVERY_S, seed=SEED)
        words = list(list_differences(soaked.ledger, cloud, soaked.jobs))
    grown = max(soaked.growths.values(), default=0.0)
    record(
        "soak_long", seed=SEED, seconds=SECONDS, faults=len(soaked.faults), writes=soaked.ledger.writes,
        tries=sum(soaked.ledger.tries.values()), uncertain=soaked.jobs.count("uncertain"), wrong=len(words),
        functions=len(soaked.growths), most_grown_mb=round(grown, 1),
    )  # fmt: skip
    assert words == []
    assert len(soaked.growths) >= 4, "the functions and the worker"
    assert grown < FLAT_MB, soaked.growths
