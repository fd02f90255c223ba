"""A local cloud with the records of the events, and the builds of both architectures."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.cloud import QUICK_MAIL, RunningCloud, run_cloud
from tests.sam.builds import ARCHITECTURES, take_build


@pytest.fixture(scope="session")
def cloud(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningCloud]:
    """The session's local cloud."""
    with run_cloud(tmp_path_factory.mktemp("cloud"), *QUICK_MAIL) as started:
        yield started


@pytest.fixture(scope="session", params=ARCHITECTURES)
def build(request: pytest.FixtureRequest) -> tuple[str, Path]:
    """Each architecture and what `sam build` has made for it."""
    return request.param, take_build(request.param)
