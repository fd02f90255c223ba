"""A call is admitted, done, kept and answered."""

import base64
import json
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

from shared.api.auth.caller import MEMBER, STAFF
from shared.api.call import Call
from shared.api.operation import IgnoredQuery, NoInput
from shared.api.responses import Answer, make_answer
from shared.api.router import Api
from shared.errors import DeadlineExceeded, Refusal
from shared.fields import PlaceName, RequestModel, ResponseModel
from shared.outbox.jobs import WAKE_RELAY
from shared.settings import Settings
from tests.api_client import STAFF as STAFF_CLAIMS
from tests.api_client import ApiClient, ApiReply, LambdaContext, make_claims, make_container
from tests.fakes.admission import InMemoryAdmissionStore
from tests.fakes.clock import ManualClock
from tests.fakes.database import ScriptedDatabase, run_nothing
from tests.fakes.relay_waker import FakeRelayWaker
from tests.settings.test_limits import APPS


class Order(RequestModel):
    item: str


class Note(RequestModel):
    item: PlaceName


class Receipt(ResponseModel):
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
def make_order(call: Call[Order]) -> Answer:
    """Places an order."""
    facts = call.run_once(run_nothing, call.input)
    return make_answer(Receipt(**facts), status=201, version=facts["version"], location="/orders/1")


@api.post("/notes", summary="Note", input=Note, answer=Receipt, status=201, sign_in="none", limit=None, key="required")
def note(call: Call[Note]) -> Answer:
    """Takes a note."""
    return make_answer(Receipt(**call.run_once(run_nothing, call.input)), status=201)


@api.post("/drafts", summary="Draft", input=Note, answer=Receipt, sign_in="optional", limit=None, key="required")
def save_draft(call: Call[Note]) -> Answer:
    """Keeps a draft."""
    return make_answer(Receipt(item=call.input.item, version=1))


@api.get("/status", summary="Read", input=IgnoredQuery, answer=Receipt, sign_in="none", limit=None)
def answer_status(_call: Call[NoInput]) -> Answer:
    """Reads nothing."""
    return make_answer(Receipt(**FACTS))


@api.get("/orders/{order_id}", summary="Read", answer=Receipt, access=MEMBER | STAFF)
def read(call: Call[NoInput]) -> Answer:
    """Reads an order."""
    return make_answer(Receipt(**call.read(run_nothing)))


@api.get("/charged", summary="Read", answer=Receipt, access=MEMBER)
def charged(call: Call[NoInput]) -> Answer:
    """Reads something else."""
    return make_answer(Receipt(**call.read(run_nothing)))


@api.put("/orders/{order_id}", summary="Change", input=Order, answer=Receipt, access=STAFF, if_match=True)
def change(call: Call[Order]) -> Answer:
    """Changes an order."""
    return make_answer(Receipt(item=call.input.item, version=len(call.versions or [])))


ROOT = Path(__file__).parents[3]
SECURITY = {"Strict-Transport-Security": "max-age=63072000; includeSubDomains", "X-Content-Type-Options": "nosniff"}
ID = "01a20ba6-afb6-76d1-9556-a703ff01d17a"
FACTS = {"item": "tea", "version": 1}


def build(
    answer: Callable[[], Any] = lambda: FACTS, **settings: Any
) -> tuple[ApiClient, ScriptedDatabase, FakeRelayWaker, ManualClock]:
    database, waker, clock = ScriptedDatabase(answer, signals=frozenset({WAKE_RELAY})), FakeRelayWaker(), ManualClock()
    container = make_container(
        Settings(**settings), database=database, admission_store=InMemoryAdmissionStore(clock), queues=waker
    )
    return ApiClient(api, container), database, waker, clock


def make_failing(error: Exception) -> Callable[[], Any]:
    def answer() -> Any:
        raise error

    return answer


def test_a_write_is_done_kept_and_answered() -> None:
    """The answer has its version, the quota that is left, and the request's id; the relay is woken once."""
    client, database, waker, _ = build()
    reply = client.call("POST", "/orders", {"item": "tea"}, key="k1")
    assert (reply.status, reply.json) == (201, FACTS)
    assert reply.headers["ETag"] == '"1"'
    assert reply.headers["RateLimit-Policy"] == '"member-registration";q=5;w=60'
    assert reply.headers["RateLimit"].startswith('"member-registration";r=4;t=')
    assert UUID(reply.headers["X-Request-Id"])
    assert (len(database.uses), waker.count) == (1, 1)


def test_a_repeated_call_gets_the_first_answer_byte_for_byte_and_costs_nothing() -> None:
    """This holds even if the same request would be answered differently now."""
    answers = iter([FACTS, {"item": "tea", "version": 2}])
    client, database, waker, _ = build(lambda: next(answers))
    first = client.call("POST", "/orders", {"item": "tea"}, key="k1")
    again = [client.call("POST", "/orders", {"item": "tea"}, key="k1") for _ in range(9)]
    assert {(r.status, r.body, r.headers["ETag"], r.headers["Idempotency-Replayed"]) for r in again} == {
        (201, first.body, '"1"', "true")
    }
    assert (len(database.uses), waker.count) == (1, 1)


def test_the_same_key_for_something_else_is_refused() -> None:
    """A key stands for one request."""
    client, database, _, _ = build()
    client.call("POST", "/orders", {"item": "tea"}, key="k1")
    reply = client.call("POST", "/orders", {"item": "coffee"}, key="k1")
    assert (reply.status, reply.problem, len(database.uses)) == (422, "idempotency-key-reused", 1)


def test_an_outage_is_no_answer_and_gives_the_key_back() -> None:
    """The repeat is a new try, and the answer says when to make it."""
    client, database, _, _ = build(make_failing(DeadlineExceeded("database")))
    reply = client.call("POST", "/orders", {"item": "tea"}, key="k1")
    assert (reply.status, reply.problem, reply.headers["Retry-After"]) == (503, "unavailable", "1")
    client.call("POST", "/orders", {"item": "tea"}, key="k1")
    assert len(database.uses) == 2


def test_an_error_of_ours_says_nothing_of_itself(caplog: pytest.LogCaptureFixture) -> None:
    """The client and the log do not get its message, which might quote a person."""
    client, _, _, _ = build(make_failing(RuntimeError("besa@example.test")))
    reply = client.call("POST", "/orders", {"item": "tea"}, key="k1")
    assert (reply.status, reply.problem) == (500, "internal")
    logged = " ".join(str(vars(line)) for line in caplog.records)
    assert "request_failed" in logged
    assert "besa" not in reply.body + logged


def test_the_sixth_request_of_a_client_is_admitted_after_its_retry_after() -> None:
    """The limit is 5 / 60, so one comes back every 12 seconds; another client is not affected."""
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
    """A key has 1 to 255 visible ASCII characters."""
    client, database, _, _ = build()
    assert client.call("POST", "/orders", {"item": "x"}, headers={"Idempotency-Key": key}).status == 400
    assert database.uses == []


def test_a_required_key_is_asked_for() -> None:
    """The problem says what to do."""
    client, _, _, _ = build()
    assert client.call("POST", "/orders", {"item": "x"}).problem == "idempotency-key-required"


@pytest.mark.parametrize(
    "media_type",
    [
        "text/plain",
        "",
        "application/x-www-form-urlencoded",
        "application/json; charset=latin-1",
        "application/json; version=1; charset=utf-16",
        "application/json; charset=utf-8; charset=latin-1",
        "application/json; charset=",
        "application/merge-patch+json",
        "application/vnd.api+json",
        "text/json",
        "application/json, application/json",
        "application/jsonx",
        ";charset=utf-8",
    ],
)
def test_another_media_type_is_not_guessed_at(media_type: str) -> None:
    """The answer is a 415, and nothing is done."""
    client, database, _, _ = build()
    reply = client.call("POST", "/orders", {"item": "x"}, key="k", headers={"Content-Type": media_type})
    assert (reply.status, database.uses) == (415, [])


@pytest.mark.parametrize(
    "media_type",
    [
        'Application/JSON; charset="UTF-8"',
        "application/json; charset=utf-8;",
        "application/json;charset=UTF8",
        "application/json;",
        "application/json; version=1",
        "application/json; odata.metadata=minimal; charset=utf-8",
        'application/json; note="a; charset=latin-1"',
        "application/json; flag",
        "application/json ;\tcharset=utf-8",
    ],
)
def test_json_is_taken_whatever_its_parameters(media_type: str) -> None:
    """Parameters mean nothing (RFC 8259), except a charset that JSON does not have."""
    client, _, _, _ = build()
    reply = client.call("POST", "/orders", {"item": "x"}, key="k", headers={"Content-Type": media_type})
    assert reply.status == 201


@pytest.mark.parametrize(
    ("claims", "status"),
    [
        (None, 401),
        ({name: value for name, value in make_claims("x", "staff").items() if name != "sub"}, 401),
        (make_claims("", "staff"), 401),
        ({**make_claims("x", "staff"), "token_use": "id"}, 401),
        ({name: value for name, value in make_claims("x", "staff").items() if name != "token_use"}, 401),
        ({**make_claims("x", "staff"), "client_id": "another client of the pool"}, 401),
        ({name: value for name, value in make_claims("x", "staff").items() if name != "client_id"}, 401),
        (make_claims("x"), 404),
        (make_claims("x", "agent"), 404),
        (make_claims("x", "member"), 200),
        (make_claims("x", "agent", "staff"), 200),
        ({**make_claims("x"), "cognito:groups": "[agent member]"}, 200),
        ({**make_claims("x"), "cognito:groups": None}, 404),
        ({**make_claims("x"), "cognito:groups": 7}, 404),
        ({**make_claims("x"), "cognito:groups": {"member": True}}, 404),
        ({**make_claims("x"), "cognito:groups": [["member"], 7]}, 404),
        ({**make_claims("x"), "cognito:groups": ["member", None]}, 200),
        (["sub", "x"], 401),
        ("staff", 401),
    ],
)
def test_claims_are_checked_again_and_missing_ones_fail_closed(claims: Any, status: int) -> None:
    """The function does not rely on the gateway's check."""
    client, _, _, _ = build()
    assert client.sign_in_as(claims).call("GET", "/orders/{order_id}", order_id=ID).status == status


@pytest.mark.parametrize("order_id", ["1", "me", "01a20ba6afb676d19556a703ff01d17a", "{" + ID + "}", "%00", ID + "0"])
def test_what_is_no_id_is_not_found(order_id: str) -> None:
    """No record can have such an id."""
    client, database, _, _ = build()
    assert client.sign_in_as(STAFF_CLAIMS).call("GET", "/orders/{order_id}", order_id=order_id).status == 404
    assert database.reads == 0


def test_who_tries_out_ids_of_others_is_charged_a_read_for_each() -> None:
    """The database is asked whether each record exists, which costs what a read costs."""
    client, database, _, _ = build(limits={"read": (2, 60)})
    curious = client.sign_in_as(make_claims("x", "agent"))
    replies = [curious.call("GET", "/orders/{order_id}", order_id=ID) for _ in range(4)]
    assert [reply.status for reply in replies] == [404, 404, 429, 429]
    assert database.reads == 2


def test_an_id_is_one_however_it_is_written() -> None:
    """An id in capitals names the same record and the same key's resource, so the repeat is a replay."""
    client, _, _, _ = build()
    client = client.sign_in_as(STAFF_CLAIMS)
    replies = [
        client.call("PUT", "/orders/{order_id}", {"item": "x"}, order_id=order_id, key="k", if_match=3)
        for order_id in (ID, ID.upper())
    ]
    assert [reply.status for reply in replies] == [200, 200]
    assert "Idempotency-Replayed" in replies[1].headers
    assert client.call("GET", "/orders/{order_id}", order_id=ID.upper()).status == 200


def test_a_location_never_names_another_host() -> None:
    """This holds for any number of slashes at the path's beginning."""
    client, _, _, _ = build()
    client.base_path = "//evil.example.test"
    assert client.call("POST", "/orders", {"item": "x"}, key="k").headers["Location"] == "/evil.example.test/orders/1"


@pytest.mark.parametrize("token", ["ü", "\ud800", "a.b.c\u2028"])
def test_a_token_that_is_no_ascii_is_none(token: str) -> None:
    """The answer is a 401, although the library fails to encode it."""
    client, _, _, _ = build()
    reply = client.call("POST", "/drafts", {"item": "x"}, key="k", headers={"Authorization": f"Bearer {token}"})
    assert (reply.status, reply.problem) == (401, "unauthenticated")


@pytest.mark.parametrize("base", ["/api", "/v2", "", "/members/api"])
def test_a_new_record_is_where_it_was_posted_to(base: str) -> None:
    """A custom domain has a base path of its own, or none; a replay keeps what the first answer said."""
    client, _, _, _ = build()
    client.base_path = base
    first, again = (client.call("POST", "/orders", {"item": "x"}, key="k") for _ in range(2))
    assert first.headers["Location"] == f"{base}/orders/1"
    client.base_path = "/elsewhere"
    assert again.headers["Location"] == first.headers["Location"]


def test_no_function_names_the_stage() -> None:
    """A function knows only from the request where the API is mounted."""
    sources = [path for path in (ROOT / "functions").rglob("*.py") if "/api/" in path.read_text(encoding="utf-8")]
    assert sources == []


def test_a_key_stands_for_what_was_meant_not_for_how_it_was_written() -> None:
    """The text in another normal form, with blanks or escapes, is the same request."""
    client, database, _, _ = build()
    for raw in ('{"item":"\u00e9"}', '{ "item": "e\u0301" }', '{"item":"e\\u0301"}'):
        assert client.call("POST", "/notes", raw=raw, key="k").status == 201
    assert len(database.uses) == 1
    assert client.call("POST", "/notes", {"item": "e"}, key="k").problem == "idempotency-key-reused"


EVENTS_THAT_ARE_NO_REQUEST: list[Any] = [
    {},
    None,
    [],
    "ping",
    7,
    {"source": "serverless-plugin-warmup"},
    {"source": "aws.events", "detail-type": "Scheduled Event", "detail": {}},
    {"version": "2.0", "routeKey": "GET /orders", "rawPath": "/orders", "requestContext": {"http": {"method": "GET"}}},
    {"httpMethod": "GET", "path": "/", "requestContext": {"elb": {"targetGroupArn": "arn"}}},
    {"httpMethod": None, "resource": None},
    {"Records": [{"body": "besa@example.test"}]},
]


@pytest.mark.parametrize("event", EVENTS_THAT_ARE_NO_REQUEST, ids=str)
def test_an_event_that_is_no_request_gets_an_empty_answer(event: Any, caplog: pytest.LogCaptureFixture) -> None:
    """A warmer's ping, a schedule, another front's event: one line in the log, which quotes nothing of it."""
    client, _, _, _ = build()
    assert api.handle(event, LambdaContext(), client.container) == {}
    assert [record.message for record in caplog.records] == ["event_not_recognised"]
    assert "besa" not in str(vars(caplog.records[0]))


NULLS = ("headers", "pathParameters", "multiValueQueryStringParameters", "body", "isBase64Encoded", "requestContext")


@pytest.mark.parametrize(
    "missing", [{}, dict.fromkeys(NULLS), {"requestContext": {"identity": None, "authorizer": None}}]
)
def test_a_request_may_lack_all_but_its_method_and_resource(missing: dict[str, Any]) -> None:
    """The console's test events leave fields out, or send them as null."""
    client, _, _, _ = build()
    event = {"httpMethod": "POST", "resource": "/orders", "headers": {"Content-Type": None}, **missing}
    answer = api.handle(event, LambdaContext(), client.container)
    assert answer["statusCode"] == 400
    assert json.loads(answer["body"])["type"].endswith("idempotency-key-required")


@pytest.mark.parametrize("body", ["%%%", "e30", "e30=\n ", "é", "=="])
@pytest.mark.parametrize("method", ["GET", "PUT"])
def test_a_body_that_is_not_the_base64_it_is_said_to_be_is_malformed(body: str, method: str) -> None:
    """The answer is a 400 that says so, no unhandled error."""
    client, _, _, _ = build()
    reply = client.sign_in_as(STAFF_CLAIMS).call(
        method, "/orders/{order_id}", order_id=ID, raw=body, if_match=3, base64=True
    )
    assert (reply.status, reply.problem) == (400, "malformed-request")
    assert "base64" in reply.json["detail"]


def test_a_body_in_base64_is_read() -> None:
    """API Gateway sends what it takes for binary in base64."""
    client, _, _, _ = build()
    encoded = base64.b64encode(b'{"item": "tea"}').decode()
    assert client.call("POST", "/orders", raw=encoded, key="k", base64=True).status == 201


def test_any_parameter_is_ignored_where_there_is_nothing_to_filter() -> None:
    """Monitors and proxies add one to keep caches away, sometimes twice."""
    client, _, _, _ = build()
    for query in ({"ts": "1"}, {"ts": ["1", "2"]}, {"\ud800": "1"}, {"limit": "x"}):
        assert client.call("GET", "/status", query=query).status == 200


def test_a_parameter_that_is_no_text_is_refused_in_text() -> None:
    """Half a surrogate pair could not be sent back."""
    client, _, _, _ = build()
    reply = client.sign_in_as(STAFF_CLAIMS).call("GET", "/orders/{order_id}", order_id=ID, query={"a\ud800": "x"})
    assert reply.status == 422
    assert reply.body.encode()


def test_an_unknown_or_repeated_parameter_is_named() -> None:
    """A misspelt filter would otherwise show everything."""
    client, _, _, _ = build()
    reply = client.sign_in_as(STAFF_CLAIMS).call("GET", "/orders/{order_id}", order_id=ID, query={"stat": "x"})
    assert (reply.status, reply.pointers) == (422, ["stat"])


def test_another_method_is_answered_with_the_allowed_ones() -> None:
    """The answer is a 405 with Allow; an unknown path is 404."""
    client, _, _, _ = build()
    reply = client.call("DELETE", "/orders/{order_id}", order_id=ID)
    assert (reply.status, reply.headers["Allow"]) == (405, "GET, HEAD, PUT, OPTIONS")
    assert client.call("GET", "/{proxy+}", proxy="x").status == 404


@pytest.mark.parametrize("app", APPS)
def test_every_path_names_head_where_it_has_get(app: str) -> None:
    """Allow lists what is served: HEAD with each GET, and OPTIONS, which is answered everywhere."""
    own: Api = import_module(app).api
    client = ApiClient(
        own, make_container(Settings(cursor_secret="x"), admission_store=InMemoryAdmissionStore(ManualClock()))
    )
    for path in {path for _, path in own.operations}:
        reply = client.call("TRACE", path)
        allowed = reply.headers["Allow"].split(", ")
        assert (reply.status, allowed[-1], len(set(allowed))) == (405, "OPTIONS", len(allowed))
        assert ("HEAD" in allowed) == ("GET" in allowed)
        assert {method for method, resource in own.operations if resource == path} <= set(allowed)


def test_a_change_without_if_match_is_asked_for_it() -> None:
    """The answer is a 428, since the caller may not have read the record."""
    client, _, _, _ = build()
    assert client.sign_in_as(STAFF_CLAIMS).call("PUT", "/orders/{order_id}", {"item": "x"}, order_id=ID).status == 428


def test_head_is_a_get_without_a_body() -> None:
    """HTTP wants the same status and headers; a gateway that verifies tokens changes nothing."""
    client, _, _, _ = build()
    get = client.sign_in_as(STAFF_CLAIMS).call("GET", "/orders/{order_id}", order_id=ID)
    reply = client.sign_in_as(STAFF_CLAIMS).call("HEAD", "/orders/{order_id}", order_id=ID)
    assert (reply.status, reply.body) == (200, "")
    own = {"X-Request-Id": "", "RateLimit": ""}
    assert {**reply.headers, **own} == {**get.headers, **own}


@pytest.mark.parametrize(
    ("authorization", "status"),
    [
        ("Bearer good", 200),
        ("bearer good", 200),
        ("Bearer  good", 200),
        ("Bearer bad", 401),
        ("good", 401),
        ("Basic good", 401),
        (None, 401),
    ],
)
def test_the_token_of_a_head_is_verified_here(authorization: str | None, status: int) -> None:
    """The gateway lets other methods through without looking at it."""
    client, database, _, _ = build()

    def verify(token: str) -> dict[str, str]:
        if token != "good":
            raise Refusal("unauthenticated")
        return STAFF_CLAIMS

    client.container.__dict__["_verifier"] = verify
    headers = {"Authorization": authorization} if authorization else {}
    reply = client.call("HEAD", "/orders/{order_id}", order_id=ID, headers=headers)
    assert (reply.status, reply.body, database.reads) == (status, "", int(status == 200))


def test_a_head_is_charged_as_its_get() -> None:
    """It uses the same bucket, since it costs the same."""
    client, _, _, _ = build()
    me = client.sign_in_as(make_claims("x", "member"))
    left = [me.call(method, "/charged").headers["RateLimit"] for method in ("GET", "HEAD", "GET")]
    assert [header.split(";")[1] for header in left] == ["r=59", "r=58", "r=57"]


def test_only_allowed_origins_are_answered_to_browsers() -> None:
    """The headers that they may read are listed."""
    client, _, _, _ = build(allowed_origins="https://app.example.test, https://b.example.test")

    def call_from(origin: str) -> ApiReply:
        headers = {"Origin": origin}
        return client.sign_in_as(STAFF_CLAIMS).call("GET", "/orders/{order_id}", headers=headers, order_id=ID)

    allowed, other = call_from("https://b.example.test"), call_from("https://evil.test")
    assert allowed.headers["Access-Control-Allow-Origin"] == "https://b.example.test"
    assert "ETag" in allowed.headers["Access-Control-Expose-Headers"]
    assert "Access-Control-Allow-Origin" not in other.headers


@pytest.mark.parametrize("headers", [{}, {"Origin": "https://evil.test"}, {"Origin": "https://app.example.test"}])
def test_a_cache_knows_that_the_origin_decides(headers: dict[str, str]) -> None:
    """An answer without Origin says so too: kept, it would lack the header that another page needs."""
    client, _, _, _ = build(allowed_origins="https://app.example.test")
    assert client.call("GET", "/status", headers=headers).headers["Vary"] == "Origin"


@pytest.mark.parametrize("path", ["/status", "/nowhere", "/orders/{order_id}"])
def test_every_answer_says_how_browsers_and_caches_treat_it(path: str) -> None:
    """Nothing is kept, no type is guessed, and two years of HTTPS alone; an error is no exception."""
    client, _, _, _ = build()
    headers = client.call("GET", path, order_id=ID).headers
    assert {name: headers[name] for name in ("Cache-Control", *SECURITY)} == {"Cache-Control": "no-store", **SECURITY}


def test_without_its_state_store_the_service_goes_on() -> None:
    """The limiter fails open: it must not become the outage; the key's row in the database still makes it once."""
    client, database, _, _ = build()
    client.container.__dict__["admission_store"].reachable = False
    statuses = [client.call("POST", "/orders", {"item": "tea"}, key="k").status for _ in range(7)]
    assert (statuses, len(database.uses)) == ([201] * 7, 7)
    assert len({use.key for use in database.uses}) == 1
