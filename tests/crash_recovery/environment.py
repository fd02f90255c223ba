"""The environment that killed processes work in: a real database, table, queues, bucket, user pool and inbox."""

import json
import os
import subprocess
import sys
import urllib.request
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from threading import Lock
from typing import Any, Protocol
from uuid import uuid4

import boto3

from shared.settings import DEFAULT_LIMITS
from tests.api_client import CLIENT_ID
from tests.contract.dynamodb_clients import make_table
from tests.databases import FreshDatabase
from tests.packages import FOLDERS
from tests.services import ROOT, EmulatorHandle

REGION = "eu-central-1"
SENDER = "no-reply@interdomestik.test"
DESK = "desk@interdomestik.test"
MAX_RECEIVES, VISIBILITY_S = 5, "360"  # as the template has them
# Not the template's: one caller makes all calls here, and what is killed is the subject, not the pace of the mail.
OTHER_NUMBERS = {
    "MAIL_RATE": "1000",
    "MAIL_BURST": "1000",
    "LIMITS": json.dumps(dict.fromkeys(DEFAULT_LIMITS, (100_000, 1.0))),
}
PRIORITIES = ("high", "normal", "low")


@dataclass(frozen=True, slots=True)
class CrashPoint:
    """One occurrence of a crash point in a run."""

    name: str
    occurrence: int


@dataclass(frozen=True)
class ProcessResult:
    """The outcome of a process."""

    crash_points: list[str]
    killed: bool
    answer: Any
    error: str | None
    trace: list[Any]

    @property
    def points(self) -> list[CrashPoint]:
        """Return the crash points at which such a process can be killed."""
        return [CrashPoint(name, self.crash_points[: n + 1].count(name)) for n, name in enumerate(self.crash_points)]


class HandlerRunner(Protocol):
    """Runs handlers in fresh processes, one at a time."""

    def run(
        self,
        handler: str,
        event: Mapping[str, Any],
        *,
        seconds: float = 60.0,
        kill: CrashPoint | None = None,
        traced: bool = False,
    ) -> ProcessResult:
        """Call a handler in a process of its own, killed at a crash point if one is given and reached."""
        ...


class ProcessRunner:
    """Runs calls in fresh processes, one at a time."""

    def __init__(self, environment: Mapping[str, str]) -> None:
        paths = os.pathsep.join(str(ROOT / folder) for folder in FOLDERS)
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.crash_recovery.process_server"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            cwd=ROOT,
            env={**environment, "PATH": os.environ["PATH"], "PYTHONPATH": paths},
            text=True,
        )
        self._lock = Lock()
        assert self._read() == "ready\n"

    def run(
        self,
        handler: str,
        event: Mapping[str, Any],
        *,
        seconds: float = 60.0,
        kill: CrashPoint | None = None,
        traced: bool = False,
    ) -> ProcessResult:
        """Call a handler in a process of its own, killed at a crash point if one is given and reached."""
        point = [kill.name, kill.occurrence] if kill else None
        call = {"handler": handler, "event": event, "seconds": seconds, "kill": point, "traced": traced}
        with self._lock:
            assert self._process.stdin is not None
            self._process.stdin.write(json.dumps(call) + "\n")
            self._process.stdin.flush()
            result = ProcessResult(**json.loads(self._read()))
        assert not result.killed or kill is not None, result
        return result

    def stop(self) -> None:
        """End it."""
        self._process.kill()
        self._process.wait()

    def _read(self) -> str:
        assert self._process.stdout is not None
        return self._process.stdout.readline()


@dataclass
class CrashTestEnvironment:
    """All of it; `environment` has the variables that direct the functions to it."""

    fresh_database: FreshDatabase
    emulator: EmulatorHandle
    environment: Mapping[str, str]
    _started: list[ProcessRunner] = field(default_factory=list)

    def start_processes(self, **changes: str) -> ProcessRunner:
        """Return a fork server in this environment; it ends with it."""
        started = ProcessRunner({**self.environment, **changes})
        self._started.append(started)
        return started

    def make_client(self, service: str) -> Any:
        """Return an AWS client of the test's own."""
        build: Any = boto3.client
        return build(service, endpoint_url=self.emulator.url, **_LOGIN)

    def count_mails(self) -> Counter[str]:
        """Return how many mails each address has got."""
        with urllib.request.urlopen(f"{self.emulator.url}/_ministack/ses/messages") as answer:
            accounts = json.load(answer)["messages"].values()
        return Counter(to for account in accounts for mail in account for to in mail["To"])

    def count_rows(self) -> dict[str, int]:
        """Return how many rows each table holds."""
        tables = self.fresh_database.query_rows(
            "SELECT tablename AS t FROM pg_tables WHERE schemaname = 'public' ORDER BY t"
        )
        counts = " UNION ALL ".join(f"SELECT '{row['t']}' AS t, count(*) AS n FROM {row['t']}" for row in tables)
        return {row["t"]: row["n"] for row in self.fresh_database.query_rows(counts)}

    def end(self) -> None:
        """End what was started in it."""
        for started in self._started:
            started.stop()


_LOGIN = {"region_name": REGION, "aws_access_key_id": "test", "aws_secret_access_key": "test"}


@contextmanager
def make_environment(fresh_database: FreshDatabase, emulator: EmulatorHandle) -> Iterator[CrashTestEnvironment]:
    """Yield a test environment on a database, with everything else made for it."""
    made = CrashTestEnvironment(fresh_database, emulator, {})
    made.environment = _build_variables(made)
    try:
        yield made
    finally:
        made.end()


def _build_variables(environment: CrashTestEnvironment) -> dict[str, str]:
    environment.make_client("sesv2").create_email_identity(EmailIdentity=SENDER)
    return {
        "AWS_ENDPOINT_URL": environment.emulator.url,
        "AWS_DEFAULT_REGION": REGION,
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
        **environment.fresh_database.environment,
        "STATE_TABLE": make_table(environment.make_client("dynamodb")),
        "EVIDENCE_BUCKET": _make_bucket(environment),
        "USER_POOL_ID": _make_pool(environment),
        "USER_POOL_CLIENT_ID": CLIENT_ID,
        "MAIL_SENDER": SENDER,
        "DESK_MAILBOX": DESK,
        "CURSOR_SECRET": "tests",
        **OTHER_NUMBERS,
        **_make_queues(environment),
    }


def _make_queues(environment: CrashTestEnvironment) -> dict[str, str]:
    names = [f"QUEUE_{priority.upper()}_URL" for priority in PRIORITIES] + ["NUDGE_QUEUE_URL"]
    return {name: _make_queue(environment) for name in names}


def _make_queue(environment: CrashTestEnvironment) -> str:
    """Return a queue with a dead-letter queue behind it, whose name says so."""
    sqs, name = environment.make_client("sqs"), uuid4().hex
    dead = sqs.create_queue(QueueName=f"{name}-dead")["QueueUrl"]
    arn = sqs.get_queue_attributes(QueueUrl=dead, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
    redrive = {"deadLetterTargetArn": arn, "maxReceiveCount": MAX_RECEIVES}
    attributes = {"RedrivePolicy": json.dumps(redrive), "VisibilityTimeout": VISIBILITY_S}
    return str(sqs.create_queue(QueueName=name, Attributes=attributes)["QueueUrl"])


def _make_bucket(environment: CrashTestEnvironment) -> str:
    name = f"killing-{uuid4().hex}"
    environment.make_client("s3").create_bucket(Bucket=name, CreateBucketConfiguration={"LocationConstraint": REGION})
    return name


def _make_pool(environment: CrashTestEnvironment) -> str:
    pool = environment.make_client("cognito-idp").create_user_pool(PoolName=uuid4().hex, UsernameAttributes=["email"])
    pool_id = str(pool["UserPool"]["Id"])
    for group in ("member", "agent"):
        environment.make_client("cognito-idp").create_group(UserPoolId=pool_id, GroupName=group)
    return pool_id
