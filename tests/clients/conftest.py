"""A local cloud, and the way to it on which every fifth answer is lost."""

import json
from collections.abc import Iterator

import pytest

from shared.settings import DEFAULT_LIMITS
from tests.clients.effects import LOST_EVERY, EffectCheck
from tests.crash_recovery.lossy_proxy import LossyProxy, run_lossy_proxy
from tests.e2e.cloud import QUICK_MAIL, RunningCloud, run_cloud

# One caller makes all calls here: the limits have tests of their own.
UNLIMITED = json.dumps(dict.fromkeys(DEFAULT_LIMITS, (1_000_000, 1)))


@pytest.fixture(scope="session")
def cloud(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningCloud]:
    """Yield a local cloud."""
    arguments = (*QUICK_MAIL, "--parameter", f"Limits={UNLIMITED}")
    with run_cloud(tmp_path_factory.mktemp("cloud"), *arguments) as started:
        yield started


@pytest.fixture
def proxy(cloud: RunningCloud) -> Iterator[LossyProxy]:
    """Yield the way to it."""
    with run_lossy_proxy(cloud.origin, every=LOST_EVERY) as started:
        yield started


@pytest.fixture
def effects(cloud: RunningCloud, proxy: LossyProxy) -> EffectCheck:
    """Return the comparison."""
    return EffectCheck(cloud, proxy)
