"""Jobs from the outbox to the inbox: real PostgreSQL, real queues, mail and identities of the emulator, no fakes."""

import json
import urllib.request
from collections.abc import Iterator
from typing import Any
from uuid import UUID, uuid4

import pytest

from relay import app as relay
from shared.aws import clients
from shared.container import get_container
from tests.api_client import LambdaContext
from tests.contract.dynamodb_clients import make_table
from tests.contract.emulated import use_aws_at
from tests.databases import FreshDatabase
from tests.integration.jobs.records import RecordFixtures
from tests.roles import RoleConnector
from tests.services import EmulatorHandle
from worker import app as worker

SENDER = "no-reply@interdomestik.test"
PRIORITIES = ("high", "normal", "low")
SECONDS = 60.0
# Not the template's rate, one a second: how many mails leave in which time is tests/e2e/test_mail_rate.py's subject.
FAST = {"MAIL_RATE": "1000", "MAIL_BURST": "1000"}


@pytest.fixture
def functions(
    emulator: EmulatorHandle, fresh_database: FreshDatabase, monkeypatch: pytest.MonkeyPatch
) -> Iterator[dict[str, str]]:
    """Yield the environment of the deployed functions, as the template sets it; their handlers read it."""
    with use_aws_at(emulator.url):
        table = make_table(clients.get_dynamodb())
        environment = {
            **fresh_database.environment,
            **_create_queues(),
            **_create_pool(),
            "MAIL_SENDER": SENDER,
            "STATE_TABLE": table,
            **FAST,
        }
        clients.get_sesv2().create_email_identity(EmailIdentity=SENDER)
        for name, value in environment.items():
            monkeypatch.setenv(name, value)
        for cached in (get_container, worker.get_job_runner):
            cached.cache_clear()
        get_container().__dict__["connector"] = RoleConnector(get_container().settings)
        yield environment
        for cached in (get_container, worker.get_job_runner):
            cached.cache_clear()


def _create_queues() -> dict[str, str]:
    names = [f"QUEUE_{priority.upper()}_URL" for priority in PRIORITIES] + ["NUDGE_QUEUE_URL"]
    return {name: clients.get_sqs().create_queue(QueueName=uuid4().hex)["QueueUrl"] for name in names}


def _create_pool() -> dict[str, str]:
    pool = clients.get_cognito().create_user_pool(PoolName=uuid4().hex, UsernameAttributes=["email"])["UserPool"]["Id"]
    clients.get_cognito().create_group(UserPoolId=pool, GroupName="member")
    return {"USER_POOL_ID": pool}


def deliver(functions: dict[str, str]) -> dict[str, Any]:
    """Hand the workers the waiting messages and delete those they did not return, as event source mappings do."""
    failures: dict[str, Any] = {"batchItemFailures": []}
    for priority in PRIORITIES:
        url = functions[f"QUEUE_{priority.upper()}_URL"]
        while found := clients.get_sqs().receive_message(QueueUrl=url, MaxNumberOfMessages=10).get("Messages"):
            event = [{"messageId": m["MessageId"], "body": m["Body"], "eventSource": "aws:sqs"} for m in found]
            answer = worker.handler({"Records": event}, LambdaContext(SECONDS))
            failures["batchItemFailures"] += answer["batchItemFailures"]
            for each in found:
                clients.get_sqs().delete_message(QueueUrl=url, ReceiptHandle=each["ReceiptHandle"])
    return failures


def list_mails(emulator: EmulatorHandle, to: str) -> list[dict[str, Any]]:
    """Return the mails an address has got."""
    with urllib.request.urlopen(f"{emulator.url}/_ministack/ses/messages") as answer:
        accounts = json.load(answer)["messages"].values()
    return [mail for account in accounts for mail in account if to in mail["To"]]


def register(records: RecordFixtures, email: str) -> UUID:
    """Register a member, with the two jobs that a registration leaves behind."""
    member = records.add_member(language="mk", email=email)
    records.add_identity(member, priority="high")
    records.add_mail("member-welcome", member, to=member, priority="high")
    return member


def test_a_registration_ends_in_a_mail_and_an_identity(
    functions: dict[str, str], emulator: EmulatorHandle, records: RecordFixtures, fresh_database: FreshDatabase
) -> None:
    """The deployed handlers do it: one relay, one worker, one mail in Macedonian, one account with its sub."""
    email = f"{uuid4().hex}@example.test"
    member = register(records, email)
    assert relay.handler({}, LambdaContext(SECONDS)) == {"published": 2}
    assert deliver(functions) == {"batchItemFailures": []}
    assert set(records.list_states().values()) == {"done"}
    [mail] = list_mails(emulator, email)
    assert mail["Source"] == SENDER
    assert mail["Subject"].startswith("Добре дојдовте во Interdomestik")
    assert "Person <" in mail["BodyText"]
    assert "Person &lt;" in mail["BodyHtml"]
    user = clients.get_cognito().admin_get_user(UserPoolId=functions["USER_POOL_ID"], Username=email)
    sub = next(a["Value"] for a in user["UserAttributes"] if a["Name"] == "sub")
    assert fresh_database.query_rows("SELECT identity_sub FROM accounts WHERE id = %s", member) == [
        {"identity_sub": sub}
    ]


def test_everything_delivered_twice_has_its_effect_once(
    functions: dict[str, str], emulator: EmulatorHandle, records: RecordFixtures
) -> None:
    """A relay publishes twice and queues deliver again."""
    email = f"{uuid4().hex}@example.test"
    register(records, email)
    relay.handler({}, LambdaContext(SECONDS))
    for job in records.list_states():
        records.age_job(job, "61 minutes")
    assert relay.handler({}, LambdaContext(SECONDS)) == {"published": 2}
    deliver(functions)
    assert len(list_mails(emulator, email)) == 1


def test_twenty_claims_are_twenty_mails(
    functions: dict[str, str], emulator: EmulatorHandle, records: RecordFixtures
) -> None:
    """None is lost or doubled, and the claims desk gets one for each as well."""
    email = f"{uuid4().hex}@example.test"
    member = records.add_member(email=email)
    for _ in range(20):
        claim = records.add_claim(member)
        records.add_mail("claim-received", claim, to=member)
        records.add_mail("staff-new-claim", claim, to=None, priority="low")
    before = len(list_mails(emulator, "desk@interdomestik.test"))
    relay.handler({}, LambdaContext(SECONDS))
    deliver(functions)
    assert len({mail["Subject"] for mail in list_mails(emulator, email)}) == 20
    assert len(list_mails(emulator, "desk@interdomestik.test")) - before == 20
