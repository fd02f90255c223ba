"""An answer of which a part expires: that part is made at each answering, the rest is kept."""

import json
from collections.abc import Mapping
from typing import Any

import pytest

from shared.admission.ports import Replay
from shared.api.call import Call
from shared.api.responses import Answer, make_answer
from shared.api.router import Api
from shared.errors import Unavailable
from shared.fields import RequestModel, ResponseModel
from shared.settings import Settings
from tests.api_client import ApiClient, make_container
from tests.fakes.admission import InMemoryAdmissionStore
from tests.fakes.clock import ManualClock
from tests.fakes.database import ScriptedDatabase, run_nothing

MINUTE = 60


class TicketOrder(RequestModel):
    item: str


class Ticket(ResponseModel):
    """The part that expires."""

    valid_until: str


class TicketReceipt(ResponseModel):
    item: str
    note: str


api = Api()


def issue(call: Call[Any], facts: Mapping[str, Any]) -> Ticket:
    """Make a ticket that is valid for a while from now."""
    signed_at = call.services.clock()
    if facts["object"] == "out of reach":
        raise Unavailable("signer")
    return Ticket(valid_until=f"{facts['object']} {signed_at.isoformat()}")


@api.post(
    "/orders",
    summary="Order",
    input=TicketOrder,
    answer=TicketReceipt,
    status=201,
    sign_in="none",
    make_expiring_part=issue,
)
def order(call: Call[TicketOrder]) -> Answer:
    """Orders."""
    row = call.run_once(run_nothing)
    return make_answer(TicketReceipt(**row), status=201, version=1, facts={"object": row["object"]})


def build(
    clock: ManualClock, state: InMemoryAdmissionStore, thing: str = "key-1"
) -> tuple[ApiClient, ScriptedDatabase]:
    row = {"item": "tea", "note": "“{}” }", "object": thing}
    database = ScriptedDatabase(lambda: row)
    return ApiClient(api, make_container(Settings(), database=database, admission_store=state, clock=clock)), database


def test_a_replay_has_its_expiring_part_made_anew_and_the_rest_byte_for_byte() -> None:
    """Fifteen minutes later and a day later alike; the work was done once."""
    clock = ManualClock()
    client, database = build(clock, InMemoryAdmissionStore(clock))
    first = client.call("POST", "/orders", {"item": "tea"}, key="k")
    before = clock().isoformat()
    clock.advance(23 * 60 * MINUTE)
    again = client.call("POST", "/orders", {"item": "tea"}, key="k")
    assert first.json == {"item": "tea", "note": "“{}” }", "valid_until": f"key-1 {before}"}
    assert again.body == first.body.replace(before, clock().isoformat())
    assert (again.status, again.headers["ETag"], again.headers["Idempotency-Replayed"]) == (201, '"1"', "true")
    assert len(database.uses) == 1


def test_an_expiring_part_is_not_stored() -> None:
    """A signed form is a right: it does not lie about for a day."""
    clock = ManualClock()
    state = InMemoryAdmissionStore(clock)
    client, database = build(clock, state)
    first = client.call("POST", "/orders", {"item": "tea"}, key="k")
    client.call("POST", "/orders", {"item": "tea"}, key="k")
    kept = state.admit(charge=None, use=database.uses[0], lease_s=1)
    assert isinstance(kept, Replay)
    assert "valid_until" not in kept.answer.body
    assert kept.answer.facts == {"object": "key-1"}
    assert "valid_until" in first.body


def test_an_answer_without_a_key_has_it_too() -> None:
    """Nothing is kept, and the answer is whole."""
    clock = ManualClock()
    client, _ = build(clock, InMemoryAdmissionStore(clock))
    assert set(json.loads(client.call("POST", "/orders", {"item": "tea"}).body)) == {"item", "note", "valid_until"}


def test_where_it_can_not_be_made_the_key_keeps_the_answer() -> None:
    """503 with the same key to come back with: what was done is not done again."""
    clock = ManualClock()
    client, database = build(clock, InMemoryAdmissionStore(clock), "out of reach")
    replies = [client.call("POST", "/orders", {"item": "tea"}, key="k") for _ in range(2)]
    assert [(reply.status, reply.problem) for reply in replies] == [(503, "unavailable")] * 2
    assert len(database.uses) == 1


@pytest.mark.parametrize("lost", [False, True], ids=["kept", "its quick record lost"])
def test_each_way_to_the_first_answer_makes_it_anew(lost: bool) -> None:
    """The two ways are the state store and the database's row."""
    clock = ManualClock()
    state = InMemoryAdmissionStore(clock)
    client, _ = build(clock, state)
    first = client.call("POST", "/orders", {"item": "tea"}, key="k")
    clock.advance(15 * MINUTE)
    if lost:
        client, _ = build(clock, InMemoryAdmissionStore(clock))
    again = client.call("POST", "/orders", {"item": "tea"}, key="k").json
    assert again["valid_until"] == f"key-1 {clock().isoformat()}"
    assert again["valid_until"] != first.json["valid_until"]
