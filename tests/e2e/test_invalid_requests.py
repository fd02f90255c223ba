"""Invalid requests of people and programs: the problem names the field, and nothing is written."""

import gzip
import json
from collections.abc import Iterator
from itertools import count
from time import monotonic, sleep
from typing import Any

import httpx
import pytest

from tests.e2e.cloud import RunningCloud, read_problem, wait_until
from tests.e2e.cloud_users import CloudUsers, add_key
from tests.sample_people import make_applicant, make_claim_body, make_person

TABLES = ("accounts", "agents", "members", "subscriptions", "claims", "claim_history", "documents", "outbox", "audit")
BODIES: dict[str, dict[str, Any]] = {
    "/agents": make_applicant(),
    "/members": make_person(),
    "/claims": make_claim_body(),
}
OPTIONAL = {"plan", "referral_code", "currency"}
TEXTS = {
    "/agents": ["full_name", "city"],
    "/members": ["full_name"],
    "/claims": ["title", "company_name", "description"],
}
EVERY_FIELD = [(path, name) for path, body in BODIES.items() for name in body]
EVERY_TEXT = [(path, name) for path, names in TEXTS.items() for name in names]


# Below what an account may send wrongly in a minute: a test sends one or two such calls.
TESTS_OF_A_MEMBER = 9


@pytest.fixture(scope="module")
def members(users: CloudUsers) -> Iterator[httpx.Client]:
    """Return members' clients, each for `TESTS_OF_A_MEMBER` tests, which its limit for invalid requests allows."""
    return (client for _ in count() for client in [users.make_member()[1]] * TESTS_OF_A_MEMBER)


@pytest.fixture
def clients(cloud: RunningCloud, members: Iterator[httpx.Client]) -> dict[str, httpx.Client]:
    """Return who may call what, each test from addresses of its own: the claim's is a member's."""
    return {"/agents": cloud.make_client(), "/members": cloud.make_client(), "/claims": next(members)}


@pytest.fixture(autouse=True)
def nothing_is_written(cloud: RunningCloud, clients: dict[str, httpx.Client], request: pytest.FixtureRequest) -> Any:
    """Held around every test here that does not say that it writes."""
    before = cloud.count_rows(*TABLES)
    yield
    if "writes" not in request.keywords:
        assert cloud.count_rows(*TABLES) == before


def post_refused(
    client: httpx.Client, path: str, body: Any = None, *, raw: bytes | None = None, media_type: str = "application/json"
) -> httpx.Response:
    """Send a POST that must be a 4xx problem; return it."""
    content = raw if raw is not None else json.dumps(body).encode()
    reply = client.post(path, content=content, headers=add_key(**{"Content-Type": media_type}))
    assert 400 <= reply.status_code < 500, (reply.status_code, reply.text[:300])
    assert read_problem(reply)
    return reply


def list_named_fields(reply: httpx.Response) -> list[str]:
    """Return the fields a problem names."""
    return [error["pointer"] for error in reply.json()["errors"]]


@pytest.mark.parametrize(("path", "field"), [pair for pair in EVERY_FIELD if pair[1] not in OPTIONAL])
def test_a_missing_field_is_named(clients: dict[str, httpx.Client], path: str, field: str) -> None:
    """The problem lists exactly one error, for that field."""
    body = {k: v for k, v in BODIES[path].items() if k != field}
    assert list_named_fields(post_refused(clients[path], path, body)) == [f"/{field}"]


@pytest.mark.parametrize(("path", "field"), EVERY_FIELD)
@pytest.mark.parametrize(
    "value", [None, 7, True, [], {}, ["x"], "", "x" * 20_000, "a\u0000b", "a\u0007b"], ids=lambda v: repr(v)[:12]
)
def test_a_field_of_a_wrong_kind_is_named(clients: dict[str, httpx.Client], path: str, field: str, value: Any) -> None:
    """The values are null, of another type, empty, too long, or have control characters."""
    assert list_named_fields(post_refused(clients[path], path, {**BODIES[path], field: value})) == [f"/{field}"]


@pytest.mark.parametrize(("path", "field"), EVERY_FIELD)
def test_half_a_surrogate_pair_is_named(clients: dict[str, httpx.Client], path: str, field: str) -> None:
    """JSON can spell half a pair, but no text can hold it."""
    raw = json.dumps({**BODIES[path], field: "ab\ud83dcd efgh ijkl mnop"}).encode()
    assert list_named_fields(post_refused(clients[path], path, raw=raw)) == [f"/{field}"]


@pytest.mark.parametrize(("path", "field"), EVERY_FIELD)
def test_a_field_given_twice_is_named(clients: dict[str, httpx.Client], path: str, field: str) -> None:
    """The request is refused whichever of the two values would be valid."""
    once = json.dumps(BODIES[path])[1:-1]
    raw = ("{" + once + f', "{field}": ' + json.dumps(BODIES[path][field]) + "}").encode()
    assert list_named_fields(post_refused(clients[path], path, raw=raw)) == [f"/{field}"]


@pytest.mark.parametrize(("path", "field"), EVERY_TEXT)
def test_a_megabyte_of_text_is_too_large(clients: dict[str, httpx.Client], path: str, field: str) -> None:
    """The body is refused, not cut, and the answer names the limit."""
    assert post_refused(clients[path], path, {**BODIES[path], field: "x" * 1_000_000}).status_code == 413
    assert list_named_fields(post_refused(clients[path], path, {**BODIES[path], field: "x" * 200_000})) == [f"/{field}"]


def test_a_body_that_unpacks_to_two_hundred_thousand_fields_costs_nothing(cloud: RunningCloud) -> None:
    """It gets a 413 within a second, in a few hundred bytes; after twenty the address is limited."""
    bomb = gzip.compress(json.dumps({f"field{n}": n for n in range(200_000)}).encode())
    packed = {"Content-Type": "application/json", "Content-Encoding": "gzip"}
    client = cloud.make_client()
    began = monotonic()
    replies = [client.post("/members", content=bomb, headers=add_key(**packed)) for _ in range(30)]
    assert monotonic() - began < 30
    statuses = [reply.status_code for reply in replies]
    assert statuses[:20] == [413] * 20
    assert set(statuses[20:]) <= {413, 429}
    assert 429 in statuses  # one more is let through every three seconds
    assert max(len(reply.content) for reply in replies) < 1000


def test_sixty_invalid_registrations_of_one_address_are_refused_after_twenty(cloud: RunningCloud) -> None:
    """They come slowly enough for the gateway's limit for all clients; another address is not affected."""
    client, replies = cloud.make_client(), list[httpx.Response]()
    for _ in range(60):
        replies.append(client.post("/members", json={"nam": "x"}, headers=add_key()))
        sleep(0.05)
    refusals = [reply for reply in replies if reply.status_code == 429]
    assert [reply.status_code for reply in replies[:20]] == [422] * 20
    assert len(refusals) >= 30  # one more is let through every three seconds
    assert {reply.headers["RateLimit-Policy"] for reply in refusals} == {'"invalid-request";q=20;w=60'}
    assert all("Retry-After" in reply.headers for reply in refusals)
    assert cloud.make_client().post("/members", json={"nam": "x"}, headers=add_key()).status_code == 422


def test_a_request_id_of_the_clients_choice_names_nothing(cloud: RunningCloud) -> None:
    """API Gateway lets clients choose its request id; ours, and that of its own answers, is another."""
    client = cloud.make_client()
    chosen = {"X-Amzn-RequestId": "chosen-by-me"}
    for reply in (client.get("/health", headers=chosen), client.get("/nowhere", headers=chosen)):
        assert reply.headers["X-Request-Id"] != "chosen-by-me"
    assert client.get("/nowhere", headers=chosen).json()["instance"] != "chosen-by-me"
    assert '"request_id":"chosen-by-me"' not in cloud.read_logs()


@pytest.mark.parametrize("path", BODIES)
def test_eleven_megabytes_are_too_large(clients: dict[str, httpx.Client], path: str) -> None:
    """The gateway accepts ten."""
    reply = post_refused(clients[path], path, raw=b'{"full_name": "' + b"x" * 11_000_000 + b'"}')
    assert reply.status_code == 413


@pytest.mark.parametrize("path", BODIES)
@pytest.mark.parametrize(
    "raw",
    [b"", b"{", b"[]", b"null", b"not json", b'{"amount": NaN}', b'{"a":1}{"b":2}', b"\xff\xfe", b"[" * 50_000],
    ids=repr,
)
def test_what_is_no_json_object_is_malformed(clients: dict[str, httpx.Client], path: str, raw: bytes) -> None:
    """The answer is a 400 without the parser's own words."""
    assert read_problem(post_refused(clients[path], path, raw=raw)) == "malformed-request"


@pytest.mark.parametrize("path", BODIES)
@pytest.mark.parametrize("media_type", ["text/plain", "application/xml", "multipart/form-data; boundary=x"])
def test_another_media_type_is_refused(clients: dict[str, httpx.Client], path: str, media_type: str) -> None:
    """The answer is a 415."""
    assert post_refused(clients[path], path, BODIES[path], media_type=media_type).status_code == 415


@pytest.mark.parametrize("path", BODIES)
def test_an_unknown_field_is_named(clients: dict[str, httpx.Client], path: str) -> None:
    """A role in a body therefore gives nobody more rights."""
    assert list_named_fields(post_refused(clients[path], path, {**BODIES[path], "role": "admin"})) == ["/role"]


def test_an_incident_in_the_future_is_refused(clients: dict[str, httpx.Client]) -> None:
    """The field is named, since the incident can't have happened."""
    assert list_named_fields(
        post_refused(clients["/claims"], "/claims", make_claim_body(incident_date="2199-01-01"))
    ) == ["/incident_date"]


HOSTILE_TEXT = [
    "Robert'); DROP TABLE claims;--",
    "<script>alert(1)</script><img src=x onerror=alert(2)>",
    "{{ 7 * 7 }} ${7*7} %(x)s %s {0}",
    "O'Neil \\ \" & <b>bold</b>",
    "שלום مرحبا \u202edetrever 👩‍👩‍👧 Čačak Ѓорѓи",
    "../../etc/passwd \\\\host\\share",
]


@pytest.mark.writes
def test_text_comes_back_exactly_as_it_went_in(cloud: RunningCloud, users: CloudUsers) -> None:
    """SQL, HTML, templates and any script stay text in JSON and in the mail's text, and are escaped in its HTML."""
    member, client = users.make_member(language="en", full_name="Zoë <i>O'Neil</i> & Sons")
    assert member["full_name"] == "Zoë <i>O'Neil</i> & Sons"
    welcome = wait_until(lambda: cloud.list_mails(member["email"]), "the welcome mail")[0]
    assert "Zoë <i>O'Neil</i> & Sons" in welcome["text"]
    assert "<i>O" not in welcome["html"]
    for n, text in enumerate(HOSTILE_TEXT[:5]):  # five claims are what a member may submit in ten minutes
        made = client.post(
            "/claims", json=make_claim_body(title=f"T{n} {text}", description=text * 3 + "\r\n\tend"), headers=add_key()
        )
        assert made.status_code == 201, made.text
        read = client.get(f"/claims/{made.json()['id']}").json()
        assert (read["title"], read["description"]) == (f"T{n} {text}", text * 3 + "\r\n\tend")
    mails = wait_until(lambda: m if len(m := cloud.list_mails(member["email"])) == 6 else None, "six mails")
    for n, text in enumerate(HOSTILE_TEXT[:5]):
        mail = next(m for m in mails if f"T{n} " in m["text"])
        assert f"T{n} {text}" in mail["text"]
        assert "<script" not in mail["html"]
        assert "<b>bold" not in mail["html"]
