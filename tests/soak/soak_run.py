"""A soak run: a local cloud behind a database proxy that fails, with load and faults on it."""

import json
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from local.database_proxy.proxy import Proxy
from local.state_folder import StateFolder
from shared.settings import DEFAULT_LIMITS
from tests.databases import make_certificates, run_tls_proxy
from tests.e2e.cloud import QUICK_MAIL, ROOT, RunningCloud, run_cloud
from tests.soak.faults import RandomFaults, list_environments
from tests.soak.ledger import SoakLedger
from tests.soak.load import SoakLoad
from tests.soak.memory import MemoryWatch
from tests.soak.verdict import OutboxEnd, wait_until_drained

UNLIMITED = json.dumps(dict.fromkeys(DEFAULT_LIMITS, (1_000_000, 1)))
CONNECTIONS = 20  # what the fleet shares; environments are many more
LOOK_S = 5.0


@dataclass(frozen=True)
class SoakResult:
    """The measurements of a run that its checks judge."""

    ledger: SoakLedger
    jobs: OutboxEnd
    faults: list[str]
    growths: dict[str, float]


@contextmanager
def run_setup(folder: Path) -> Iterator[tuple[RunningCloud, Proxy]]:
    """Run the cloud and what stands before its database."""
    with run_tls_proxy(1, max_connections=CONNECTIONS) as proxy:
        parameters = {
            "Limits": UNLIMITED,
            "DatabasePort": str(proxy.port),
            "DatabaseSslMode": "verify-full",
            "DatabaseSslRootCert": str(make_certificates().authority),
        }
        options = [part for name, value in parameters.items() for part in ("--parameter", f"{name}={value}")]
        with run_cloud(folder, "--no-database-proxy", *options, *QUICK_MAIL) as cloud:
            proxy.target = StateFolder(ROOT, folder).read_state().ports["postgres"]
            yield cloud, proxy


def run_soak(cloud: RunningCloud, proxy: Proxy, *, seconds: float, fault_every_s: float, seed: int) -> SoakResult:
    """Load the cloud for `seconds`, with a fault every `fault_every_s`; wait until all has ended; print progress."""
    load, faults, memory = SoakLoad(cloud, seed=seed), RandomFaults(cloud, proxy, seed=seed), MemoryWatch()
    load.start()
    began = time.monotonic()
    next_fault, next_look = fault_every_s, 0.0
    while (now := time.monotonic() - began) < seconds:
        if now >= next_look:
            memory.take_samples({name: [e["pid"] for e in each] for name, each in list_environments(cloud).items()})
            next_look += LOOK_S
        if now >= next_fault:
            name = faults.inject_next()
            next_fault += fault_every_s
            sys.stderr.write(f"{now:6.0f} s  {name:22} {load.ledger.writes} writes so far\n")
        time.sleep(0.2)
    load.stop()
    return SoakResult(load.ledger, wait_until_drained(cloud), faults.done, memory.measure_growth())
