"""One cloud for the session: PostgreSQL and the emulator, as `make bench` has them."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from bench.child import ProgramProcess
from bench.cloud import BenchCloud, prepare_layer, run_cloud
from bench.programs import Operation
from bench.warm import run_stacks
from tests.services import ROOT

PEERS = ROOT / ".venvs/bench/bin/python"  # what `make bench-tests` installs


@pytest.fixture(scope="session")
def cloud(tmp_path_factory: pytest.TempPathFactory) -> Iterator[BenchCloud]:
    """Yield the servers."""
    assert PEERS.exists(), "the peers have an environment of their own: make bench-tests"
    prepare_layer()
    folder: Path = tmp_path_factory.mktemp("bench")
    with run_cloud(folder / "cloud", fsync=False) as running:
        yield running


@pytest.fixture(scope="session")
def stacks(cloud: BenchCloud) -> Iterator[dict[tuple[str, Operation], ProgramProcess]]:
    """Yield a process for each stack and operation."""
    with run_stacks(cloud.environment) as processes:
        yield processes
