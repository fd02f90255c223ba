"""The stacks that the service is compared with answer the same requests as it does, and leave the same rows."""

import json
from collections.abc import Mapping
from typing import Any

import psycopg
import pytest

from bench.calls import SeededCalls
from bench.child import ProgramProcess
from bench.cloud import BenchCloud
from bench.programs import OPERATIONS, STACKS, Operation
from bench.trips import count_trips
from local.postgres import OWNER

Stacks = dict[tuple[str, Operation], ProgramProcess]
PEERS = [stack for stack in STACKS if stack != "ours"]
VALIDATING = ["powertools", "fastapi"]  # the floor validates nothing, and answers no repeat
# Fields that differ from call to call: ids, numbers, times; and what health says of itself.
VARYING = {"id", "number", "created_at", "updated_at", "time", "version"}
COUNTED_TABLES = ("accounts", "members", "subscriptions", "claims", "claim_history", "outbox", "audit")
# Fields that a request lacks or should not have, by operation.
WRONG: list[tuple[Operation, dict[str, Any]]] = [
    ("registration", {"email": "besa"}),
    ("registration", {"phone": "044 123 456"}),
    ("registration", {"plan": "platinum"}),
    ("registration", {"nickname": "Besa"}),
    ("claim", {"category": "weather"}),
    ("claim", {"amount": "-5"}),
    ("claim", {"incident_date": "2026-13-01"}),
]


def send(stacks: Stacks, stack: str, operation: Operation, event: Mapping[str, Any]) -> tuple[int, Any]:
    """Send an event to a stack; return status and body."""
    answer = stacks[stack, operation].call_whatever(event)
    return answer["statusCode"], json.loads(answer["body"])


def describe_fields(body: Mapping[str, Any]) -> dict[str, Any]:
    """Return the answer's fields with their values, of those that vary the type."""
    return {
        name: type(value).__name__ if name in VARYING else describe_fields(value) if isinstance(value, dict) else value
        for name, value in body.items()
    }


def count_rows(cloud: BenchCloud) -> dict[str, int]:
    """Return how many rows each table has."""
    with psycopg.connect(
        f"host=127.0.0.1 port={cloud.environment['DB_PORT']} user={OWNER} dbname={cloud.environment['DB_NAME']}"
    ) as connection:
        tables = {name: connection.execute(f"SELECT count(*) FROM {name}".encode()) for name in COUNTED_TABLES}
        return {name: (found.fetchone() or (0,))[0] for name, found in tables.items()}


@pytest.mark.parametrize("operation", OPERATIONS)
@pytest.mark.parametrize("peer", PEERS)
def test_a_peer_gives_the_answer_that_we_give(stacks: Stacks, peer: str, operation: Operation) -> None:
    """Calls of the same seed, so that both are asked for the same."""
    seed = 100 + 10 * PEERS.index(peer)
    events = [SeededCalls(seed).make_event(operation), SeededCalls(seed).make_event(operation)]
    if operation == "registration":  # each address is registered once
        events[1] = replace_in_body(events[1], email=f"{peer}@example.test")
    events[1]["headers"]["Idempotency-Key"] = f"{peer}-{operation}"
    (status, ours), (peer_status, theirs) = (
        send(stacks, stack, operation, event) for stack, event in zip(("ours", peer), events, strict=True)
    )
    assert peer_status == status, (ours, theirs)
    found, expected = describe_fields(theirs), describe_fields(ours)
    assert {**found, "email": None} == {**expected, "email": None}


def replace_in_body(event: Mapping[str, Any], **fields: Any) -> dict[str, Any]:
    """Return the event with other fields in its body."""
    return {**event, "body": json.dumps({**json.loads(event["body"]), **fields})}


@pytest.mark.parametrize("operation", ["registration", "claim"])
@pytest.mark.parametrize("peer", PEERS)
def test_a_peer_writes_the_rows_that_we_write(
    stacks: Stacks, cloud: BenchCloud, peer: str, operation: Operation
) -> None:
    """Each table has as many, so it does the work that it is measured for."""
    written = []
    for number, stack in enumerate(("ours", peer)):
        event = SeededCalls(200 + number + 10 * PEERS.index(peer)).make_event(operation)
        before = count_rows(cloud)
        assert send(stacks, stack, operation, event)[0] == 201
        after = count_rows(cloud)
        written.append({name: after[name] - before[name] for name in COUNTED_TABLES})
    assert written[1] == written[0]
    assert sum(written[0].values()) >= 5


@pytest.mark.parametrize("operation", ["registration", "claim"])
@pytest.mark.parametrize("peer", ["ours", *VALIDATING])
def test_a_repeat_with_its_key_gets_the_first_answer(stacks: Stacks, peer: str, operation: Operation) -> None:
    event = SeededCalls(300 + VALIDATING.index(peer) if peer in VALIDATING else 299).make_event(operation)
    first, second = (send(stacks, peer, operation, event) for _ in range(2))
    assert first[0] == 201
    assert second == first


@pytest.mark.parametrize(("operation", "fields"), WRONG)
@pytest.mark.parametrize("peer", VALIDATING)
def test_a_peer_refuses_what_we_refuse(stacks: Stacks, peer: str, operation: Operation, fields: dict[str, Any]) -> None:
    event = replace_in_body(SeededCalls(400).make_event(operation), **fields)
    assert [send(stacks, stack, operation, event)[0] for stack in ("ours", peer)] == [422, 422]


@pytest.fixture(scope="module")
def trips(cloud: BenchCloud) -> dict[str, Any]:
    """Return the round trips of each stack and operation, counted on the wire."""
    return count_trips(cloud, seed=5)


@pytest.mark.parametrize("operation", OPERATIONS)
def test_the_floor_makes_the_calls_that_we_make(trips: dict[str, Any], operation: Operation) -> None:
    """Hold the floor to the same calls, one after the other."""
    ours, floor = trips["ours"][operation], trips["floor"][operation]
    assert floor["aws"] == ours["aws"]
    assert floor["database"] == ours["database"]
    assert floor["in_sequence"] == sum(floor["aws"].values()) + floor["database"]


@pytest.mark.parametrize("peer", VALIDATING)
def test_a_peer_is_measured_with_its_idempotency(trips: dict[str, Any], peer: str) -> None:
    """It takes the key before the work, and stores the answer after it; a read has neither."""
    assert set(trips[peer]["registration"]["aws"]) == {"PutItem", "UpdateItem"}
    assert trips[peer]["read"]["aws"] == {}
