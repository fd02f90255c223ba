"""Nothing lost, nothing done twice, whatever breaks while people work: the short form of the soak."""

from pathlib import Path

from tests.measurements import record
from tests.soak.soak_run import run_setup, run_soak
from tests.soak.verdict import list_differences

SEED = 20261124
SECONDS, FAULT_EVERY_S = 50.0, 5.0  # each kind of fault once


def test_the_system_holds_what_it_answered_to_clients_after_every_kind_of_fault(tmp_path: Path) -> None:
    """Ledger, database, outbox and inbox agree, and every call got its answer."""
    with run_setup(tmp_path) as (cloud, proxy):
        soaked = run_soak(cloud, proxy, seconds=SECONDS, fault_every_s=FAULT_EVERY_S, seed=SEED)
        words = list(list_differences(soaked.ledger, cloud, soaked.jobs))
    record(
        "soak",
        seed=SEED,
        faults=len(soaked.faults),
        kinds=len(set(soaked.faults)),
        writes=soaked.ledger.writes,
        tries=sum(soaked.ledger.tries.values()),
        uncertain=soaked.jobs.count("uncertain"),
        wrong=len(words),
    )
    assert words == []
    assert len(set(soaked.faults)) == 9
    assert soaked.ledger.writes > 100
    assert set(soaked.ledger.tries) > {"200", "201"}, "else nothing was in anybody's way"
