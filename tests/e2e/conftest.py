"""One local cloud for all end-to-end tests; each test uses people and addresses of its own."""

from collections.abc import Iterator

import pytest

from tests.alarms.watched_cloud import FIRST_MINUTES, MINUTE_S, WatchedCloud
from tests.e2e.cloud import QUICK_MAIL, RELEASE, RunningCloud, run_cloud
from tests.e2e.cloud_users import CloudUsers


@pytest.fixture(scope="session")
def cloud(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningCloud]:
    """Yield the session's local cloud."""
    with run_cloud(tmp_path_factory.mktemp("cloud"), *QUICK_MAIL, "--variable", f"RELEASE={RELEASE}") as started:
        yield started


@pytest.fixture(scope="session")
def alarm_cloud(tmp_path_factory: pytest.TempPathFactory) -> Iterator[WatchedCloud]:
    """Yield the cloud in which the tests of alarms make trouble, with its health reported as by its schedule."""
    arguments = (*QUICK_MAIL, "--minute", str(MINUTE_S))
    with run_cloud(tmp_path_factory.mktemp("alarms"), *arguments) as started:
        watched = WatchedCloud(started)
        with watched.report_health():
            watched.watch(FIRST_MINUTES)
            yield watched


@pytest.fixture(scope="session")
def users(cloud: RunningCloud) -> CloudUsers:
    """Return the cloud's users."""
    return CloudUsers(cloud)


@pytest.hookimpl(tryfirst=True)  # before tests are selected by their marks
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark the tests of alarms, and move the tests that read the whole run's log to the end."""
    for item in items:
        if "alarm_cloud" in getattr(item, "fixturenames", ()):
            item.add_marker("alarms")
    items.sort(key=lambda item: "test_privacy" in item.nodeid)
