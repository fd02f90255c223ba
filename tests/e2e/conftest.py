"""One local cloud for all end-to-end tests; they keep apart by people and addresses of their own."""

from collections.abc import Iterator

import pytest

from tests.e2e.cloud import QUICK_MAIL, RELEASE, RunningCloud, run_cloud
from tests.e2e.cloud_users import CloudUsers


@pytest.fixture(scope="session")
def cloud(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningCloud]:
    """The session's local cloud."""
    with run_cloud(tmp_path_factory.mktemp("cloud"), *QUICK_MAIL, "--variable", f"RELEASE={RELEASE}") as started:
        yield started


@pytest.fixture(scope="session")
def users(cloud: RunningCloud) -> CloudUsers:
    """Who uses it."""
    return CloudUsers(cloud)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """What is said of the whole run's log is looked at last."""
    items.sort(key=lambda item: "test_privacy" in item.nodeid)
