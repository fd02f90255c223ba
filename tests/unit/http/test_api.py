"""How a call runs: admitted, done, kept, told."""

from collections.abc import Callable
from typing import Any
from uuid import UUID

import pytest

from shared.errors import DeadlineExceeded
from shared.http.api import Api
from shared.http.caller import MEMBER, STAFF
from shared.http.operation import Answer, Call, Nothing, answered
from shared.outbox import NUDGE
from shared.settings import Settings
from shared.text import Input, View
from tests.fakes.clock import ManualClock
from tests.fakes.database import ScriptedDatabase
from tests.fakes.nudges import Nudges
from tests.fakes.state import InMemoryStateStore
from tests.harness import STAFF as STAFF_CLAIMS
from tests.harness import Client, Reply, claims_of, wired


class Order(Input):
    item: str


class Receipt(View):
    item: str
    version: int


api = Api()


@api.post(
    "/orders",
    summary="Order",
    input=Order,
    answer=Receipt,
    status=201,
    sign_in="none",
    limit="member-registration",
    key="required",
)
def order(call: Call[Order]) -> Answer:
    """Places an order."""
    facts = call.once(lambda tx: tx, call.input)
    return answered(Receipt(**facts), status=201, version=facts["version"])


@api.get("/orders/{order_id}", summary="Read", answer=Receipt, access=MEMBER | STAFF)
def read(call: Call[Nothing]) -> Answer:
    """Reads an order."""
    return answered(Receipt(**call.read(lambda tx: tx)))


@api.put("/orders/{order_id}", summary="Change", input=Order, answer=Receipt, access=STAFF, if_match=True)
def change(call: Call[Order]) -> Answer:
    """Changes an order."""
    return answered(Receipt(item=call.input.item, version=len(call.versions or [])))


ID = "01a20ba6-afb6-76d1-9556-a703ff01d17a"
FACTS = {"item": "tea", "version": 1}


def build(
    answer: Callable[[], Any] = lambda: FACTS, **settings: Any
) -> tuple[Client, ScriptedDatabase, Nudges, ManualClock]:
    database, nudges, clock = ScriptedDatabase(answer, signals=frozenset({NUDGE})), Nudges(), ManualClock()
    wiring = wired(Settings(**settings), database=database, state=InMemoryStateStore(clock), queues=nudges)
    return Client(api, wiring), database, nudges, clock


def raising(error: Exception) -> Callable[[], Any]:
    def answer() -> Any:
        raise error

    return answer


def test_a_write_is_done_kept_and_told() -> None:
    """The answer has its version, the quota that is left, and the request's id; the relay is nudged once."""
    client, database, nudges, _ = build()
    reply = client.call("POST", "/orders", {"item": "tea"}, key="k1")
    assert (reply.status, reply.json) == (201, FACTS)
    assert reply.headers["ETag"] == '"1"'
    assert reply.headers["RateLimit-Policy"] == '"member-registration";q=5;w=60'
    assert reply.headers["RateLimit"].startswith('"member-registration";r=4;t=')
    assert UUID(reply.headers["X-Request-Id"])
    assert (len(database.uses), nudges.count) == (1, 1)


def test_a_repeated_call_gets_the_first_answer_byte_for_byte_and_costs_nothing() -> None:
    """Even where the same request would be answered differently now."""
    answers = iter([FACTS, {"item": "tea", "version": 2}])
    client, database, nudges, _ = build(lambda: next(answers))
    first = client.call("POST", "/orders", {"item": "tea"}, key="k1")
    again = [client.call("POST", "/orders", {"item": "tea"}, key="k1") for _ in range(9)]
    assert {(r.status, r.body, r.headers["ETag"], r.headers["Idempotency-Replayed"]) for r in again} == {
        (201, first.body, '"1"', "true")
    }
    assert (len(database.uses), nudges.count) == (1, 1)


def test_the_same_key_for_something_else_is_refused() -> None:
    """A key stands for one request."""
    client, database, _, _ = build()
    client.call("POST", "/orders", {"item": "tea"}, key="k1")
    reply = client.call("POST", "/orders", {"item": "coffee"}, key="k1")
    assert (reply.status, reply.problem, len(database.uses)) == (422, "idempotency-key-reused", 1)


def test_an_outage_is_no_answer_and_gives_the_key_back() -> None:
    """The repeat is a new try, told when to come."""
    client, database, _, _ = build(raising(DeadlineExceeded("database")))
    reply = client.call("POST", "/orders", {"item": "tea"}, key="k1")
    assert (reply.status, reply.problem, reply.headers["Retry-After"]) == (503, "unavailable", "1")
    client.call("POST", "/orders", {"item": "tea"}, key="k1")
    assert len(database.uses) == 2


def test_an_error_of_ours_says_nothing_of_itself(caplog: pytest.LogCaptureFixture) -> None:
    """Neither to the client nor to the log, where it might quote a person."""
    client, _, _, _ = build(raising(RuntimeError("besa@example.test")))
    reply = client.call("POST", "/orders", {"item": "tea"}, key="k1")
    assert (reply.status, reply.problem) == (500, "internal")
    logged = " ".join(str(vars(line)) for line in caplog.records)
    assert "request_failed" in logged
    assert "besa" not in reply.body + logged


def test_the_sixth_request_of_a_client_waits_for_the_time_it_is_told() -> None:
    """5 / 60: one comes back every 12 seconds; another client is not concerned."""
    client, _, _, clock = build()
    statuses = [client.call("POST", "/orders", {"item": "tea"}, key=f"k{n}").status for n in range(6)]
    assert statuses == [201] * 5 + [429]
    refused = client.call("POST", "/orders", {"item": "tea"}, key="k9")
    assert (refused.problem, refused.headers["Retry-After"]) == ("too-many-requests", "12")
    client.source_ip = "127.0.0.10"
    assert client.call("POST", "/orders", {"item": "tea"}, key="k10").status == 201
    client.source_ip = "127.0.0.9"
    clock.advance(12)
    assert client.call("POST", "/orders", {"item": "tea"}, key="k9").status == 201


def test_a_limit_is_a_setting() -> None:
    """Numbers are settings, not code."""
    client, _, _, _ = build(limits={"member-registration": (1, 60)})
    assert [client.call("POST", "/orders", {"item": "x"}, key=k).status for k in "ab"] == [201, 429]


@pytest.mark.parametrize("key", ["", "a b", "é", "x" * 256, "a\tb"])
def test_a_key_that_is_none_is_refused(key: str) -> None:
    """1 to 255 visible ASCII characters."""
    client, database, _, _ = build()
    assert client.call("POST", "/orders", {"item": "x"}, headers={"Idempotency-Key": key}).status == 400
    assert database.uses == []


def test_a_required_key_is_asked_for() -> None:
    """The problem says what to do."""
    client, _, _, _ = build()
    assert client.call("POST", "/orders", {"item": "x"}).problem == "idempotency-key-required"


@pytest.mark.parametrize(
    "media_type", ["text/plain", "", "application/x-www-form-urlencoded", "application/json; charset=latin-1"]
)
def test_another_media_type_is_not_guessed_at(media_type: str) -> None:
    """415, and nothing done."""
    client, database, _, _ = build()
    reply = client.call("POST", "/orders", {"item": "x"}, key="k", headers={"Content-Type": media_type})
    assert (reply.status, database.uses) == (415, [])


def test_json_is_taken_with_its_charset() -> None:
    """What browsers and proxies add is no other type."""
    client, _, _, _ = build()
    reply = client.call(
        "POST", "/orders", {"item": "x"}, key="k", headers={"Content-Type": 'Application/JSON; charset="UTF-8"'}
    )
    assert reply.status == 201


@pytest.mark.parametrize(
    ("claims", "status"),
    [
        (None, 401),
        ({"cognito:groups": "staff"}, 401),
        ({"sub": "", "cognito:groups": "staff"}, 401),
        ({"sub": "x", "cognito:groups": "staff", "token_use": "id"}, 401),
        (claims_of("x"), 404),
        (claims_of("x", "agent"), 404),
        (claims_of("x", "member"), 200),
        (claims_of("x", "agent", "staff"), 200),
        ({"sub": "x", "cognito:groups": "[agent member]", "token_use": "access"}, 200),
    ],
)
def test_claims_are_checked_again_and_missing_ones_fail_closed(claims: dict[str, str] | None, status: int) -> None:
    """Whatever the gateway was told to let through."""
    client, _, _, _ = build()
    assert client.as_(claims).call("GET", "/orders/{order_id}", order_id=ID).status == status


@pytest.mark.parametrize("order_id", ["1", "me", "01a20ba6afb676d19556a703ff01d17a", "{" + ID + "}", "%00", ID + "0"])
def test_what_is_no_id_is_not_found(order_id: str) -> None:
    """There can be no such record."""
    client, database, _, _ = build()
    assert client.as_(STAFF_CLAIMS).call("GET", "/orders/{order_id}", order_id=order_id).status == 404
    assert database.reads == 0


def test_an_unknown_or_repeated_parameter_is_named() -> None:
    """A misspelt filter would otherwise show everything."""
    client, _, _, _ = build()
    reply = client.as_(STAFF_CLAIMS).call("GET", "/orders/{order_id}", order_id=ID, query={"stat": "x"})
    assert (reply.status, reply.pointers) == (422, ["stat"])


def test_another_method_is_told_which_there_are() -> None:
    """405 with Allow; a path there is not is 404."""
    client, _, _, _ = build()
    reply = client.call("DELETE", "/orders/{order_id}", order_id=ID)
    assert (reply.status, reply.headers["Allow"]) == (405, "GET, PUT, OPTIONS")
    assert client.call("GET", "/{proxy+}", proxy="x").status == 404


def test_a_change_without_if_match_is_asked_for_it() -> None:
    """428: deciding on what was never read is no decision."""
    client, _, _, _ = build()
    assert client.as_(STAFF_CLAIMS).call("PUT", "/orders/{order_id}", {"item": "x"}, order_id=ID).status == 428


def test_head_is_a_get_without_a_body() -> None:
    """As HTTP says."""
    client, _, _, _ = build()
    reply = client.as_(STAFF_CLAIMS).call("HEAD", "/orders/{order_id}", order_id=ID)
    assert (reply.status, reply.body) == (200, "")


def test_only_allowed_origins_are_answered_to_browsers() -> None:
    """And what they may read besides the body is listed."""
    client, _, _, _ = build(allowed_origins="https://app.example.test, https://b.example.test")

    def from_origin(origin: str) -> Reply:
        headers = {"Origin": origin}
        return client.as_(STAFF_CLAIMS).call("GET", "/orders/{order_id}", headers=headers, order_id=ID)

    allowed, other = from_origin("https://b.example.test"), from_origin("https://evil.test")
    assert allowed.headers["Access-Control-Allow-Origin"] == "https://b.example.test"
    assert "ETag" in allowed.headers["Access-Control-Expose-Headers"]
    assert "Access-Control-Allow-Origin" not in other.headers


def test_without_its_state_store_the_service_goes_on() -> None:
    """The limiter fails open: it must not become the outage; the key's row in the database still makes it once."""
    client, database, _, _ = build()
    client.wiring.__dict__["state"].reachable = False
    statuses = [client.call("POST", "/orders", {"item": "tea"}, key="k").status for _ in range(7)]
    assert (statuses, len(database.uses)) == ([201] * 7, 7)
    assert len({use.key for use in database.uses}) == 1
