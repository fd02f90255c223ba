"""Fixtures of the crash tests: a test environment, and processes that can be killed in it."""

from collections.abc import Iterator, Mapping

import pytest

from tests.crash_recovery.environment import CrashTestEnvironment, ProcessRunner, make_environment
from tests.crash_recovery.kill_runs import ReferenceRun, run_reference
from tests.crash_recovery.requests import USE_CASES
from tests.databases import FreshDatabase
from tests.services import EmulatorHandle


@pytest.fixture(scope="module")
def crash_test(fresh_database: FreshDatabase, emulator: EmulatorHandle) -> Iterator[CrashTestEnvironment]:
    """Yield a test environment of the module's own."""
    with make_environment(fresh_database, emulator) as made:
        yield made


@pytest.fixture(scope="module")
def processes(crash_test: CrashTestEnvironment) -> ProcessRunner:
    """Fresh processes in it."""
    return crash_test.start_processes()


@pytest.fixture(scope="module")
def reference_runs(crash_test: CrashTestEnvironment, processes: ProcessRunner) -> Mapping[str, ReferenceRun]:
    """Return each use case run once, without a kill."""
    return {use_case.name: run_reference(crash_test, processes, use_case) for use_case in USE_CASES}
