"""The handlers of the release before this one do their work on the schema of this one.

They serve it while a deployment goes on, and again after a rollback.
"""

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.api_client import ADMIN
from tests.compatibility.releases import NoSuchCommit, ReleaseProcesses, extract_release, read_previous_release
from tests.crash_recovery.environment import CrashTestEnvironment
from tests.crash_recovery.jobs import JobProcesses
from tests.crash_recovery.kill_runs import list_added
from tests.crash_recovery.operators import OWNER
from tests.crash_recovery.requests import USE_CASES, PlannedRequest, RequestRecords, UseCase
from tests.databases import MIGRATIONS
from tests.sample_people import make_person
from tools.openapi.__main__ import PUBLISHED, list_refused_changes

LISTS = (
    ("agents", "/agents"),
    ("members", "/members"),
    ("claims", "/claims"),
    ("agents", "/commissions"),
    ("agents", "/payouts"),
    ("jobs_api", "/jobs"),
)

# Use cases that the previous release does not have. A test below fails once it has them.
SINCE_THEN = frozenset({"claims.unassign"})
DONE_BEFORE = [use_case for use_case in USE_CASES if use_case.name not in SINCE_THEN]


@pytest.fixture(scope="module")
def release(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The previous release's code."""
    try:
        return extract_release(read_previous_release(), tmp_path_factory.mktemp("release"))
    except NoSuchCommit as error:
        if os.environ.get("WITH_HISTORY"):  # as .github/workflows/ci.yml sets it, which fetches all of it
            raise
        pytest.skip(f"the previous release is not in this repository, fetch its history: {error}")


@pytest.fixture(scope="module")
def processes(release: Path, crash_test: CrashTestEnvironment) -> Iterator[ReleaseProcesses]:
    """The previous release's handlers, on a database that this tree has migrated."""
    started = ReleaseProcesses(release, crash_test.environment)
    yield started
    started.stop()


@pytest.fixture(scope="module")
def job_processes(processes: ReleaseProcesses, crash_test: CrashTestEnvironment) -> JobProcesses:
    """Its relay and worker."""
    return JobProcesses(crash_test, processes)


def test_its_clients_can_take_the_contract_or_are_told_to_change(release: Path) -> None:
    """The file of the published contract may have been replaced by hand since: what was released was not."""
    contract = json.loads(PUBLISHED.read_text(encoding="utf-8"))
    assert list_refused_changes(release / "functions/pages/pages/openapi.json", contract) == []


def send(processes: ReleaseProcesses, request: PlannedRequest, environment: dict[str, str] | None = None) -> Any:
    """Return a handler's answer."""
    result = processes.run(request.handler, request.build_event(), environment=environment)
    assert result.error is None, result.error
    return result.answer


@pytest.mark.parametrize("use_case", DONE_BEFORE, ids=lambda use_case: use_case.name)
def test_every_write_does_its_work(
    processes: ReleaseProcesses, crash_test: CrashTestEnvironment, use_case: UseCase
) -> None:
    """It is answered as before, and adds the rows that it should."""
    request = use_case.make_request(RequestRecords.make_in(crash_test))
    before = crash_test.count_rows()
    answer = send(processes, request)
    assert answer["statusCode"] == use_case.status, answer["body"]
    assert list_added(before, crash_test.count_rows()) == use_case.adds


@pytest.mark.parametrize("name", sorted(SINCE_THEN))
def test_what_is_left_out_is_new(processes: ReleaseProcesses, crash_test: CrashTestEnvironment, name: str) -> None:
    """The previous release refuses it. Once a release does it, the list above must not shield it any more."""
    [use_case] = [use_case for use_case in USE_CASES if use_case.name == name]
    answer = send(processes, use_case.make_request(RequestRecords.make_in(crash_test)))
    assert 400 <= answer["statusCode"] < 500, answer["body"]


@pytest.mark.parametrize(("function", "path"), LISTS)
def test_every_list_is_read(
    processes: ReleaseProcesses, crash_test: CrashTestEnvironment, function: str, path: str
) -> None:
    """An admin reads it, with at least one record in it."""
    records = RequestRecords.make_in(crash_test)
    for use_case in USE_CASES:
        use_case.make_request(records)
    answer = send(processes, PlannedRequest(function, "GET", path, claims=ADMIN))
    assert answer["statusCode"] == 200, answer["body"]
    assert json.loads(answer["body"])["items"] != [] or path in ("/payouts", "/jobs")


def test_a_registration_ends_with_a_mail_and_a_sign_in(
    processes: ReleaseProcesses, job_processes: JobProcesses, crash_test: CrashTestEnvironment
) -> None:
    """Its jobs go through the relay to a worker, all of that release."""
    address = f"{os.urandom(8).hex()}@example.test"
    answer = send(processes, PlannedRequest("members", "POST", "/members", make_person(email=address)))
    assert answer["statusCode"] == 201, answer["body"]
    assert job_processes.run_relay().error is None
    assert job_processes.deliver() >= 2
    assert crash_test.count_mails()[address] == 1
    query = "SELECT identity_sub IS NOT NULL AS linked FROM accounts WHERE email = %s"
    assert crash_test.fresh_database.query_rows(query, address) == [{"linked": True}]


@pytest.mark.parametrize("handler", ["relay.app.handler", "housekeeping.app.handler"])
def test_the_schedules_run(processes: ReleaseProcesses, handler: str) -> None:
    """The earlier release's schedules run without an error."""
    assert processes.run(handler, {}).error is None


def test_its_health_is_not_bad(processes: ReleaseProcesses) -> None:
    """A schema newer than a release is no trouble."""
    found = processes.run("health.app.handler", {"source": "interdomestik.schedule"})
    assert found.error is None
    assert found.answer["checks"]["database"]["status"] != "unhealthy"


def test_its_migrations_have_nothing_to_do(processes: ReleaseProcesses, crash_test: CrashTestEnvironment) -> None:
    """So it can be rolled back to, or deployed again."""
    direct = crash_test.fresh_database.direct
    own = {"DB_USER": OWNER, "DB_PORT": str(direct.db_port), "DB_SSLMODE": "disable"}
    result = processes.run("operations.app.handler", {"command": "migrate"}, environment=own)
    crash_test.fresh_database.postgres.drop_limits()
    assert (result.answer, result.error) == ({"applied": []}, None)


def test_the_previous_release_has_no_migration_that_this_tree_lacks(release: Path) -> None:
    """One that is taken away would be missing in a new database, and is still applied in the old one."""
    before = {path.name for path in (release / "migrations").glob("*.sql")}
    assert before - {path.name for path in MIGRATIONS.glob("*.sql")} == set()


@pytest.mark.parametrize(
    "change",
    [
        "ALTER TABLE subscriptions RENAME COLUMN price TO amount",
        "ALTER TABLE members ADD COLUMN tax_number text NOT NULL",
        "REVOKE INSERT ON accounts FROM interdomestik_members",
    ],
)
def test_a_migration_that_breaks_it_is_found(
    processes: ReleaseProcesses, crash_test: CrashTestEnvironment, change: str
) -> None:
    """A column renamed, a new one that it does not fill, a right taken away: its registration fails."""
    broken = crash_test.fresh_database.postgres.make_fresh_database()
    broken.query_rows(change)
    request = PlannedRequest("members", "POST", "/members", make_person())
    answer = send(processes, request, {"DB_NAME": broken.name})
    assert answer["statusCode"] == 500, answer["body"]
