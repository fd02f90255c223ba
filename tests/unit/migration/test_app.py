"""The custom resource that migrates: it answers CloudFormation whatever happens, and stands in no rollback's way."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import psycopg
import pytest

from local.events.embedded_metrics import read_metrics
from migration import app
from shared.database.migration_errors import MigrationError, StatementFailed
from shared.logging import SCHEDULED_RUNS
from tests.custom_resources import AnswerBox, receive_answers
from tests.services import ROOT

ARN = "arn:aws:lambda:eu-central-1:111122223333:function:migration"
LEFT_S = 900
CONTEXT = SimpleNamespace(
    aws_request_id="r-2", log_group_name="migration-logs", get_remaining_time_in_millis=lambda: LEFT_S * 1000
)
FAILED = StatementFailed("migration 0031_more failed, and nothing of it stays: UndefinedColumn")
QUOTES_A_ROW = psycopg.errors.UniqueViolation("Key (email)=(besa@example.test) already exists.")


@dataclass
class FakeContainer:
    """A container whose database is migrated, or fails so."""

    fails: Exception | None = None
    audit_fails: Exception | None = None
    runs: list[dict[str, float]] = field(default_factory=list)
    entries: int = 0

    def migrate(self, _folder: object, **seconds: float) -> list[str]:
        """Note the run."""
        self.runs.append(seconds)
        if self.fails:
            raise self.fails
        return ["0031_more"]

    @property
    def database(self) -> "FakeContainer":
        """It takes the audit entry as well."""
        return self

    def run(self, _use_case: object, _deadline: object) -> None:
        """Note the entry."""
        if self.audit_fails:
            raise self.audit_fails
        self.entries += 1


@pytest.fixture
def box() -> Iterator[AnswerBox]:
    """Yield the address where CloudFormation waits for an answer."""
    with receive_answers() as waiting:
        yield waiting


@pytest.fixture
def container(monkeypatch: pytest.MonkeyPatch) -> FakeContainer:
    """Return the parts that the function works with."""
    monkeypatch.setenv("MIGRATIONS_DIR", str(ROOT / "migrations"))
    made = FakeContainer()
    monkeypatch.setattr(app, "get_container", lambda: made)
    return made


def run(box: AnswerBox, kind: str, version: int = 12, before: int | None = None) -> Any:
    """Hand the function a request; return the answer."""
    more = {"OldResourceProperties": {"Version": f"{ARN}:{before}"}} if before else {}
    app.handler(box.build_request(kind, {"Version": f"{ARN}:{version}"}, **more), CONTEXT)
    [(_, answer)] = box.answers
    return answer


@pytest.mark.parametrize(("kind", "before"), [("Create", None), ("Update", 11)])
def test_the_schema_is_migrated_and_the_deployment_goes_on(
    box: AnswerBox, container: FakeContainer, kind: str, before: int | None
) -> None:
    """The run leaves time for the answer, waits for a new database, and is in the audit."""
    answer = run(box, kind, before=before)
    assert container.runs == [{"within_s": LEFT_S - 30, "connect_within_s": 300}]
    assert container.entries == 1
    assert answer == {
        "Status": "SUCCESS",
        "Reason": "",
        "PhysicalResourceId": "migration",
        "StackId": "arn:stack",
        "RequestId": "r-1",
        "LogicalResourceId": "It",
    }


def test_a_migration_counts_as_a_run_of_every_schedule(
    box: AnswerBox, container: FakeContainer, capsys: pytest.CaptureFixture[str]
) -> None:
    """A new stack's hourly schedule first runs after an hour. A migration that fails counts as none."""
    run(box, "Create")
    counted = {datum.name for datum in read_metrics(capsys.readouterr().out.encode())}
    assert counted == set(SCHEDULED_RUNS.values())
    container.fails = FAILED
    app.handler(box.build_request("Update", {"Version": f"{ARN}:13"}), CONTEXT)
    assert list(read_metrics(capsys.readouterr().out.encode())) == []


def test_nothing_is_done_when_the_resource_goes(box: AnswerBox, container: FakeContainer) -> None:
    """The schema stays with its database."""
    assert run(box, "Delete")["Status"] == "SUCCESS"
    assert container.runs == []


def test_a_failed_migration_stops_the_deployment_and_says_why(box: AnswerBox, container: FakeContainer) -> None:
    """The reason names the migration, and the log and the invocation where more is told."""
    container.fails = FAILED
    answer = run(box, "Update", before=11)
    assert answer["Status"] == "FAILED"
    assert answer["Reason"] == f"{FAILED} (log migration-logs, r-2)"


def test_an_unforeseen_error_quotes_nothing(box: AnswerBox, container: FakeContainer) -> None:
    """Its message may name a person, so only its class is told."""
    container.fails = QUOTES_A_ROW
    answer = run(box, "Update", before=11)
    assert (answer["Status"], answer["Reason"]) == ("FAILED", "UniqueViolation (log migration-logs, r-2)")


@pytest.mark.parametrize("error", [FAILED, QUOTES_A_ROW, None])
def test_a_rollback_goes_on_whatever_the_database_says(
    box: AnswerBox, container: FakeContainer, error: Exception | None
) -> None:
    """From version 12 back to 11: nothing has to be undone, and the function does not wait for a database."""
    container.fails = error
    assert run(box, "Update", version=11, before=12)["Status"] == "SUCCESS"
    assert container.runs == [{"within_s": 60, "connect_within_s": 0}]


@pytest.mark.parametrize(("version", "before"), [(13, 12), (100, 99), (10, 9), (12, 12)])
def test_an_earlier_release_that_is_deployed_again_is_no_rollback(
    box: AnswerBox, container: FakeContainer, version: int, before: int
) -> None:
    """It gets a later version, and numbers are no texts: a failure stops it."""
    container.fails = FAILED
    assert run(box, "Update", version=version, before=before)["Status"] == "FAILED"


def test_an_audit_entry_that_cannot_be_written_stops_nothing(box: AnswerBox, container: FakeContainer) -> None:
    """The schema is migrated; the next run writes the entry."""
    container.audit_fails = TimeoutError()
    assert run(box, "Create")["Status"] == "SUCCESS"


def test_a_request_without_a_version_is_answered_too(box: AnswerBox, container: FakeContainer) -> None:
    """Without an answer the deployment would wait."""
    app.handler(box.build_request("Create", {}), CONTEXT)
    assert box.statuses == ["FAILED"]
    assert container.runs == []


def test_a_reason_is_as_long_as_cloudformation_takes(box: AnswerBox, container: FakeContainer) -> None:
    """4 KB are the whole answer."""
    container.fails = MigrationError("x" * 10_000)
    assert len(run(box, "Create")["Reason"]) == 1000
