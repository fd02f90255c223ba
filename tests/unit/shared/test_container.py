"""The container hands the settings on to what it builds."""

import logging
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Never

import psycopg
import pytest

from shared.aws.errors import CallNotBegun, OutcomeUnknown
from shared.container import Container
from shared.database.connection import REASON_CHARACTERS, report_connect_failure
from shared.errors import Unavailable
from shared.logging import logger
from shared.settings import Settings
from tests.databases import make_deadline
from tests.fakes.circuits import DirectClient, InMemoryCircuitStore
from tests.services import find_free_port


@pytest.mark.parametrize("retries", [0, 2])
def test_a_transaction_is_tried_again_as_often_as_the_settings_say(retries: int) -> None:
    """Against a database where every transaction meets another one at its row."""
    tries = []

    def borrow(_within_s: float) -> None:
        tries.append(1)
        raise psycopg.errors.SerializationFailure

    container = Container(Settings.from_environ({"RETRY": f'{{"retries": {retries}, "base_s": 0.001}}'}))
    container.__dict__["connector"] = SimpleNamespace(borrow=borrow)
    container.__dict__["_retry_counter"] = SimpleNamespace(count=lambda: None)
    with pytest.raises(Unavailable):
        container.database.run(lambda _tx: pytest.fail("it has no connection"), make_deadline())
    assert len(tries) == 1 + retries


@pytest.mark.parametrize(("auth", "iam"), [("iam", True), ("password", False), ("trust", False)])
def test_the_migrate_command_gives_rds_iam_where_functions_sign_in_by_it(
    monkeypatch: pytest.MonkeyPatch, auth: Any, iam: bool
) -> None:
    """A member of rds_iam can sign in by no password."""
    given: dict[str, Any] = {}

    def migrate(_conninfo: str, _directory: Path, **arguments: Any) -> list[str]:
        given.update(arguments)
        return []

    monkeypatch.setattr("shared.database.migrate.migrate", migrate)
    container = Container(Settings(db_auth=auth, db_password="p4ss-w0rd"))
    monkeypatch.setattr(container, "_read_password", lambda: "p4ss-w0rd")
    container.migrate(Path(), within_s=60)
    assert (given["iam"], given["password"], given["sslmode"]) == (iam, "p4ss-w0rd", "verify-full")
    assert (given["within_s"], given["connect_within_s"]) == (60, 0)


class Refused(Exception):
    """No connection is wanted here."""


@pytest.mark.parametrize(("setting", "kind"), [("on", "pipeline"), ("off", "transaction")])
def test_transactions_are_pipelined_where_the_settings_say_so(setting: str, kind: str) -> None:
    """The setting chooses a pipeline, or one statement after another in a transaction."""
    begun: list[str] = []

    def begin(what: str) -> Never:
        begun.append(what)
        raise Refused

    connection = SimpleNamespace(pipeline=lambda: begin("pipeline"), transaction=lambda: begin("transaction"))
    container = Container(Settings.from_environ({"DB_PIPELINE": setting}))
    container.__dict__["connector"] = SimpleNamespace(borrow=lambda _within_s: connection)
    with pytest.raises(Refused):
        container.database.run(lambda _tx: pytest.fail("it has not begun"), make_deadline())
    assert begun == [kind]


def test_an_operator_reads_in_the_log_why_no_connection_was_made(caplog: pytest.LogCaptureFixture) -> None:
    """The log has libpq's own words without the password; a function's answer has none of them."""
    variables = {"DB_PORT": str(find_free_port()), "DB_AUTH": "password", "DB_PASSWORD": "p4ss-w0rd"}
    container = Container(Settings.from_environ(variables))
    with caplog.at_level(logging.WARNING, logger=logger.name), pytest.raises(psycopg.OperationalError):
        container.connector.borrow(5.0)
    [record] = [each for each in caplog.records if each.message == "database_connect_failed"]
    assert "onnection refused" in record.reason  # type: ignore[attr-defined]
    assert "p4ss-w0rd" not in str(vars(record))


def test_a_password_that_libpq_quoted_would_not_get_into_the_log() -> None:
    """It quotes none today."""
    seen: list[Any] = []
    with (
        pytest.raises(psycopg.OperationalError),
        report_connect_failure(lambda *event: seen.append(event), redact="p4ss-w0rd"),
    ):
        raise psycopg.OperationalError("the password p4ss-w0rd is wrong" + 2000 * ".")
    [(_, facts)] = seen
    assert facts["reason"].startswith("the password *** is wrong")
    assert len(facts["reason"]) == REASON_CHARACTERS


def test_a_call_that_was_not_begun_says_nothing_of_its_service() -> None:
    """Counted as a success it would make up for failures, and as a failure it would open the circuit."""
    container, store = Container(Settings()), InMemoryCircuitStore()
    container.__dict__["_circuit_client"] = DirectClient(store)
    circuit, policy = container.get_breaker("email"), container.settings.find_circuit_policy("email")

    def end(error: Exception) -> None:
        def call() -> None:
            raise error

        with pytest.raises(type(error)):
            circuit.call(call)

    for n in range(policy.failures):
        assert store.read("email").state == "closed"
        if n:
            for _ in range(2 * policy.successes_per_failure):
                end(CallNotBegun("OutOfTime"))
        end(OutcomeUnknown("ReadTimeoutError"))
    assert store.read("email").state == "open"
