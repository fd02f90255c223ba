"""Keyed writes whose answers relays have to keep, and checks of their keys after kills."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from uuid import uuid4

from shared.admission.ports import KeyUse
from shared.aws.dynamodb_admission import DynamoDbAdmissionStore
from shared.aws.dynamodb_admission_items import make_record_key, read_facts
from tests.contract.dynamodb_clients import LEASE_S, ignore_event, read_token
from tests.crash_recovery.environment import CrashPoint, CrashTestEnvironment
from tests.crash_recovery.jobs import JobProcesses

WRITE = "INSERT INTO idempotency_keys (scope, key, fingerprint, answer, holder) VALUES (%s, %s, %s, %s, %s)"


@dataclass(frozen=True)
class AnsweredWrite:
    """A write that was answered, and the facts of its answer."""

    use: KeyUse
    facts: Any


def add_write(environment: CrashTestEnvironment) -> AnsweredWrite:
    """Leave what a call leaves: its key's record, which waits for the answer, and its row."""
    write = AnsweredWrite(KeyUse("scope", uuid4().hex, "asked"), {"id": str(uuid4())})
    table = environment.environment["STATE_TABLE"]
    store = DynamoDbAdmissionStore(environment.make_client("dynamodb"), table, observer=ignore_event)
    token = read_token(store.admit(charge=None, use=write.use, lease_s=LEASE_S))
    names = (write.use.scope, write.use.key, write.use.fingerprint)
    environment.fresh_database.query_rows(WRITE, *names, json.dumps(write.facts), token)
    return write


@dataclass(frozen=True)
class RelayDeath:
    """A relay killed at a crash point, the writes whose answers it had to keep, and how many it had not kept then."""

    crash_point: CrashPoint
    writes: Sequence[AnsweredWrite]
    unkept: int


def kill_keepers(job_processes: JobProcesses, points: Sequence[CrashPoint]) -> list[RelayDeath]:
    """Kill a relay that has two answers to keep at each point; another one follows."""
    deaths = []
    for point in points:
        writes = [add_write(job_processes.environment) for _ in range(2)]
        assert job_processes.run_relay(kill=point).killed, point
        unkept = [write for write in writes if read_kept(job_processes.environment, write) is None]
        deaths.append(RelayDeath(point, writes, len(unkept)))
        job_processes.run_relay()
    return deaths


def read_kept(environment: CrashTestEnvironment, write: AnsweredWrite) -> Any:
    """Return the facts that are kept of a write, None if none are."""
    key = {"pk": {"S": make_record_key(write.use)}}
    table = environment.environment["STATE_TABLE"]
    return read_facts(environment.make_client("dynamodb").get_item(TableName=table, Key=key)["Item"])


def list_answer_differences(environment: CrashTestEnvironment, writes: Sequence[AnsweredWrite]) -> list[str]:
    """Describe in words each write whose answer is not kept as its row has it, or is still to be kept."""
    query = "SELECT key FROM idempotency_keys WHERE holder IS NOT NULL"
    waiting = {row["key"] for row in environment.fresh_database.query_rows(query)}
    found = []
    for write in writes:
        kept = read_kept(environment, write)
        if kept != write.facts or write.use.key in waiting:
            found.append(f"{write}: kept is {kept}")
    return found
