"""The servers of a run: PostgreSQL, which syncs each commit to the disk, the AWS emulator, and what is in them."""

import json
import os
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import boto3
import psycopg

from bench.calls import CLIENT_ID, SUB, SeededCalls
from bench.child import run_program
from bench.programs import LAYER, OUR_PYTHON, ROOT, STACKS
from local import postgres as launcher
from local.layer_build import build_layer
from local.unprivileged import choose_user_switch
from tests.delaying_proxy import DelayingProxy, run_delaying_proxy
from tests.services import find_free_port, run_emulator

REGION = "eu-central-1"
CONNECTIONS = 90  # of all programs together; the server takes 100
LIMITS = dict.fromkeys(("member-registration", "claim-submission", "read"), (100_000, 1.0))  # none that matters
CREDENTIALS = {"AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test", "AWS_DEFAULT_REGION": REGION}
ROLES = {"members": "interdomestik_members", "claims": "interdomestik_claims", "agents": "interdomestik_agents"}
OTHER_ROLES = {"health": "interdomestik_health", "worker": "interdomestik_worker"}
DATABASE_ROLES = {**ROLES, **OTHER_ROLES}


@dataclass(frozen=True)
class BenchCloud:
    """Running servers. `environment` leads a program straight to them, `delayed_environment` by the proxies."""

    environment: Mapping[str, str]
    aws: DelayingProxy
    database: DelayingProxy

    @property
    def delayed_environment(self) -> dict[str, str]:
        """Return the variables of a program whose calls go by the proxies."""
        direct = self.environment["AWS_ENDPOINT_URL"]
        changed = {name: value.replace(direct, self.aws.url) for name, value in self.environment.items()}
        return {**changed, "DB_PORT": str(self.database.port)}

    def set_delay(self, milliseconds: float) -> None:
        """Let each round trip by the proxies take so much longer."""
        self.aws.delay_s = self.database.delay_s = milliseconds / 1000


def build_environment(program: str, environment: Mapping[str, str]) -> dict[str, str]:
    """Return the variables of one program: a function has its own role of the database, a peer owns the schema."""
    return {**environment, "DB_USER": DATABASE_ROLES.get(program, launcher.OWNER)}


def prepare_layer() -> None:
    """Build the layer that the functions import, if it is missing or old."""
    build_layer(ROOT, str(OUR_PYTHON), report=print)


@contextmanager
def run_cloud(folder: Path, *, fsync: bool = True) -> Iterator[BenchCloud]:
    """Run the servers for as long as the block lasts, with a member who can sign in."""
    with ExitStack() as stack:
        emulator = stack.enter_context(run_emulator(_make_folder(folder / "emulator")))
        port = stack.enter_context(_run_postgres(_make_folder(folder / "postgres"), fsync=fsync))
        environment = {**_build_database_variables(port), **_build_aws_variables(emulator.url)}
        _add_member(environment, port)
        aws, database = (stack.enter_context(run_delaying_proxy(target)) for target in (emulator.url, port))
        yield BenchCloud(environment, aws, database)


def _make_folder(folder: Path) -> Path:
    folder.mkdir(parents=True)
    return folder


@contextmanager
def _run_postgres(folder: Path, *, fsync: bool) -> Iterator[int]:
    switch = choose_user_switch(launcher.find_binaries(), folder)
    server = launcher.PostgresServer(switch.folder, find_free_port(), folder / "postgres.log", switch)
    child = launcher.start(server, **({} if fsync else {"fsync": "off", "synchronous_commit": "off"}))
    try:
        child.wait_until(launcher.make_ready_check(server, child), launcher.READY_SECONDS)
        migrate = [str(OUR_PYTHON), "-m", "shared.database.migrate", str(ROOT / "migrations"), server.build_dsn()]
        variables = {"PATH": os.environ["PATH"], "PYTHONPATH": str(LAYER / "python")}
        subprocess.run([*migrate, str(CONNECTIONS)], env=variables, check=True, stdout=subprocess.DEVNULL)
        yield server.port
    finally:
        child.stop()


def _build_database_variables(port: int) -> dict[str, str]:
    return {
        "DB_HOST": "127.0.0.1",
        "DB_PORT": str(port),
        "DB_NAME": launcher.DATABASE,
        "DB_AUTH": "trust",
        "DB_SSLMODE": "disable",
        "DB_MAX_CONNECTIONS": str(CONNECTIONS),
        "OWNER": launcher.OWNER,
    }


def _build_aws_variables(url: str) -> dict[str, str]:
    access: Any = {"endpoint_url": url, "region_name": REGION, "aws_access_key_id": "t", "aws_secret_access_key": "t"}
    sqs, dynamodb = boto3.client("sqs", **access), boto3.client("dynamodb", **access)
    queues = {
        f"{name}_QUEUE_URL" if name == "NUDGE" else f"QUEUE_{name}_URL": sqs.create_queue(QueueName=name)["QueueUrl"]
        for name in ("HIGH", "NORMAL", "LOW", "NUDGE")
    }
    tables = {"STATE_TABLE": ("state", "pk"), "IDEMPOTENCY_TABLE": ("idempotency", "id")}
    for name, key in tables.values():
        dynamodb.create_table(
            TableName=name,
            AttributeDefinitions=[{"AttributeName": key, "AttributeType": "S"}],
            KeySchema=[{"AttributeName": key, "KeyType": "HASH"}],
            BillingMode="PAY_PER_REQUEST",
        )
    return {
        **CREDENTIALS,
        **queues,
        **{variable: name for variable, (name, _) in tables.items()},
        "AWS_ENDPOINT_URL": url,
        "AWS_REGION": REGION,
        "AWS_LAMBDA_FUNCTION_NAME": "bench",
        "USER_POOL_ID": f"{REGION}_bench",
        "USER_POOL_CLIENT_ID": CLIENT_ID,
        "EVIDENCE_BUCKET": "evidence",
        "MAIL_SENDER": "no-reply@example.test",
        "CURSOR_SECRET": "bench",
        "LIMITS": json.dumps(LIMITS),
        "SERVICE_VERSION": "bench",
        "STACK_NAME": "bench",
        "POWERTOOLS_METRICS_NAMESPACE": "Bench",
    }


def _add_member(environment: Mapping[str, str], port: int) -> None:
    """Register a member and create the sign-in, as the identity job does."""
    program = STACKS["ours"]["registration"]
    with run_program(program, build_environment(program.name, environment)) as process:
        member = json.loads(process.call(SeededCalls(0).make_event("registration")).answer["body"])
    dsn = f"host=127.0.0.1 port={port} user={launcher.OWNER} dbname={launcher.DATABASE}"
    with psycopg.connect(dsn) as connection:
        connection.execute("UPDATE accounts SET identity_sub = %s WHERE id = %s", (SUB, member["id"]))
