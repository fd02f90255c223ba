"""A service in this process, whose clients keep a ledger of what was acknowledged.

It has the handlers that are deployed, a real database, and an emulator's state table, bucket, queues, pool and mails.
"""

import json
import urllib.request
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any
from uuid import uuid4

import httpx
import pytest

from agents.app import api as agents_api
from claims.app import api as claims_api
from members.app import api as members_api
from operations import app as operations
from relay import app as relay
from shared.api.router import Api
from shared.aws import clients
from shared.container import get_container
from tests.api_client import CLIENT_ID, ApiClient, ApiReply, LambdaContext, make_claims
from tests.contract.dynamodb_clients import make_table
from tests.contract.emulated import use_aws_at
from tests.databases import FreshDatabase
from tests.integration.function_client import GENEROUS
from tests.roles import RoleConnector
from tests.sample_people import make_claim_body, make_person
from tests.services import EmulatorHandle
from worker import app as worker

APIS: Mapping[str, Api[Any]] = {"agents": agents_api, "claims": claims_api, "members": members_api}
SENDER = "no-reply@interdomestik.test"
PRIORITIES = ("high", "normal", "low")
SECONDS = 60.0
PNG = b"\x89PNG\r\n\x1a\n" + b"\x00" * 600
DOCUMENTS = "/claims/{claim_id}/documents"
COMPLETION = "/claims/{claim_id}/documents/{document_id}/completion"

# Messages that were received five times are a dead letter where it is deployed.
DELIVERIES = 5


@dataclass(frozen=True, slots=True)
class LedgerCall:
    """A client's call, as it is sent each time; `key` is None where the client sent none."""

    method: str
    resource: str
    body: Any = None
    who: Mapping[str, str] | None = None
    key: str | None = None
    if_match: int | None = None
    ids: Mapping[str, str] = field(default_factory=dict)

    @property
    def operation(self) -> str:
        """The operation's name, as operators see it."""
        return f"{self.method} {self.resource}"


@dataclass(frozen=True, slots=True)
class LedgerEntry:
    """A call, and the answer that its client got first."""

    call: LedgerCall
    reply: ApiReply

    @property
    def request_id(self) -> str:
        """The request's id, as in the audit."""
        return str(self.reply.headers["X-Request-Id"])


@dataclass(slots=True)
class RehearsedService:
    """The service, its clients and their ledger."""

    emulator: EmulatorHandle
    database: FreshDatabase
    environment: Mapping[str, str]
    ledger: list[LedgerEntry] = field(default_factory=list)

    # ---- clients ----------------------------------------------------------------------------------------------------
    def send(self, call: LedgerCall) -> ApiReply:
        """Send a call once."""
        api = next(api for api in APIS.values() if any(call.operation == " ".join(found) for found in api.operations))
        client = ApiClient(api, get_container(), call.who)
        more: dict[str, Any] = {"key": call.key, "if_match": call.if_match, **call.ids}
        return client.call(call.method, call.resource, call.body, **more)

    def write(self, method: str, resource: str, body: Any = None, **more: Any) -> ApiReply:
        """Send a call under a key of its own and note its answer; it must be acknowledged."""
        more = {"key": uuid4().hex, **more}
        entry = self.note(LedgerCall(method, resource, body, **more))
        assert entry.reply.status < 300, (entry.call.operation, entry.reply.body)
        return entry.reply

    def note(self, call: LedgerCall) -> LedgerEntry:
        """Send a call and note its answer, whatever it is."""
        entry = LedgerEntry(call, self.send(call))
        self.ledger.append(entry)
        return entry

    def register(self, **changes: Any) -> dict[str, Any]:
        """Register a member; their record."""
        member: dict[str, Any] = self.write("POST", "/members", make_person(**changes)).json
        return member

    def sign_in(self, member: Mapping[str, Any]) -> dict[str, str]:
        """The token of a member whose identity was made."""
        [row] = self.database.query_rows("SELECT identity_sub AS sub FROM accounts WHERE id = %s", member["id"])
        return make_claims(row["sub"], "member")

    def submit(self, who: Mapping[str, str], title: str) -> dict[str, Any]:
        """Submit a claim; its record."""
        claim: dict[str, Any] = self.write("POST", "/claims", make_claim_body(title=title), who=who).json
        return claim

    def announce(self, who: Mapping[str, str], claim_id: str) -> dict[str, str]:
        """Announce a document and upload it; the ids of the path that completes it."""
        body = {"file_name": "boarding.png", "content_type": "image/png", "size": len(PNG)}
        document = self.write("POST", DOCUMENTS, body, who=who, ids={"claim_id": claim_id}).json
        upload(document)
        return {"claim_id": claim_id, "document_id": document["id"]}

    def complete(self, who: Mapping[str, str], ids: Mapping[str, str]) -> dict[str, Any]:
        """Complete a document; its record."""
        document: dict[str, Any] = self.write("POST", COMPLETION, who=who, ids=ids).json
        return document

    # ---- jobs -------------------------------------------------------------------------------------------------------
    def relay_jobs(self) -> int:
        """Publish what is due; how many jobs."""
        return int(relay.handler({}, LambdaContext(SECONDS))["published"])

    def deliver(self) -> None:
        """Hand the workers what waits, as event source mappings do, and delete it: none may be returned."""
        for priority in PRIORITIES:
            url = self.environment[f"QUEUE_{priority.upper()}_URL"]
            while found := clients.get_sqs().receive_message(QueueUrl=url, MaxNumberOfMessages=10).get("Messages"):
                event = [{"messageId": m["MessageId"], "body": m["Body"], "eventSource": "aws:sqs"} for m in found]
                assert worker.handler({"Records": event}, LambdaContext(SECONDS)) == {"batchItemFailures": []}
                for each in found:
                    clients.get_sqs().delete_message(QueueUrl=url, ReceiptHandle=each["ReceiptHandle"])

    def do_jobs(self) -> None:
        """Do every job that is due."""
        while self.relay_jobs():
            self.deliver()

    def count_mails(self) -> Counter[tuple[str, str]]:
        """Return how many mails each address got, by subject."""
        with urllib.request.urlopen(f"{self.emulator.url}/_ministack/ses/messages") as answer:
            accounts = json.load(answer)["messages"].values()
        return Counter((to, mail["Subject"]) for account in accounts for mail in account for to in mail["To"])

    # ---- operators --------------------------------------------------------------------------------------------------
    def reconcile(self, **command: Any) -> dict[str, Any]:
        """Run the operators' command to its end."""
        answer: dict[str, Any] = operations.handler(
            {"command": "reconcile-restore", **command}, LambdaContext(SECONDS * 10)
        )
        assert answer["next"] is None
        return answer

    # ---- the database -----------------------------------------------------------------------------------------------
    def redirect_to(self, database: FreshDatabase, monkeypatch: pytest.MonkeyPatch) -> None:
        """Redirect the functions to a database, as a deployment does: each environment is a new one."""
        self.database = database
        for name, value in database.environment.items():
            monkeypatch.setenv(name, value)
        _forget_containers()
        get_container().__dict__["connector"] = RoleConnector(get_container().settings)

    def list_missing(self) -> list[LedgerEntry]:
        """The acknowledged writes whose audit entry is not in the database: what was lost, by the database alone."""
        rows = self.database.query_rows("SELECT DISTINCT request_id FROM audit")
        there = {row["request_id"] for row in rows}
        return [e for e in self.ledger if e.reply.status < 300 and e.request_id not in there]


def upload(document: Mapping[str, Any]) -> None:
    """Post a file with a document's form."""
    form = document["upload"]
    assert httpx.post(form["url"], data=dict(form["fields"]), files={"file": ("any.png", PNG)}).is_success


@contextmanager
def run_service(
    emulator: EmulatorHandle, database: FreshDatabase, monkeypatch: pytest.MonkeyPatch, *, aws_url: str | None = None
) -> Iterator[RehearsedService]:
    """Return the service on a database; `aws_url` is another way to the emulator than its own."""
    with use_aws_at(aws_url or emulator.url):
        clients.get_sesv2().create_email_identity(EmailIdentity=SENDER)
        environment = {
            **_make_queues(),
            "STATE_TABLE": make_table(clients.get_dynamodb()),
            "EVIDENCE_BUCKET": _make_bucket(),
            "USER_POOL_ID": _make_pool(),
            "USER_POOL_CLIENT_ID": CLIENT_ID,
            "MAIL_SENDER": SENDER,
            "MAIL_RATE": "1000",
            "MAIL_BURST": "1000",
            "LIMITS": json.dumps(GENEROUS),
            "CURSOR_SECRET": "tests",
        }
        for name, value in environment.items():
            monkeypatch.setenv(name, value)
        service = RehearsedService(emulator, database, environment)
        service.redirect_to(database, monkeypatch)
        yield service
        _forget_containers()


def _forget_containers() -> None:
    get_container.cache_clear()
    worker.get_job_runner.cache_clear()


def _make_queues() -> dict[str, str]:
    names = [f"QUEUE_{priority.upper()}_URL" for priority in PRIORITIES] + ["NUDGE_QUEUE_URL"]
    return {name: clients.get_sqs().create_queue(QueueName=uuid4().hex)["QueueUrl"] for name in names}


def _make_bucket() -> str:
    name = f"evidence-{uuid4().hex}"
    clients.get_s3().create_bucket(Bucket=name, CreateBucketConfiguration={"LocationConstraint": "eu-central-1"})
    return name


def _make_pool() -> str:
    pool = clients.get_cognito().create_user_pool(PoolName=uuid4().hex, UsernameAttributes=["email"])["UserPool"]["Id"]
    for group in ("member", "agent"):
        clients.get_cognito().create_group(UserPoolId=pool, GroupName=group)
    return str(pool)
