"""The predecessor in miniature answers as the service does, queues for ten connections, and fails with the mail."""

import json
import time
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from agents import app as agents
from claims import app as claims
from members import app as members
from tests.databases import FreshDatabase
from tests.integration.function_client import get_next_serial, make_client, sign_in
from tests.integration.stress.before_process import BeforeProcess, run_before

CONNECTIONS = 10  # a fact about the predecessor
SESSIONS = (
    "SELECT count(*) AS n FROM pg_stat_activity WHERE datname = current_database() AND usename = 'interdomestik_app'"
)
WAITING = f"{SESSIONS} AND wait_event_type = 'Lock'"
LOCKED = "LOCK TABLE accounts IN ACCESS EXCLUSIVE MODE"
SHAPED_HEADERS = ("content-type", "etag", "location")


@pytest.fixture(scope="module")
def before(fresh_database: FreshDatabase) -> Iterator[BeforeProcess]:
    with run_before(fresh_database) as running:
        yield running


def make_registration(**changes: Any) -> dict[str, Any]:
    """Return the body of a member's registration, each with another address."""
    person = {"full_name": "Besa Hoxha", "email": f"besa.{get_next_serial()}@example.test", "phone": "+38344123456"}
    return {**person, "country": "XK", "language": "sq", "plan": "family", "terms_version": "2026-01", **changes}


def make_application(**changes: Any) -> dict[str, Any]:
    """Return the body of an agent's application, each with another address."""
    person = {"full_name": "Arta Krasniqi", "email": f"arta.{get_next_serial()}@example.test", "phone": "+38344555111"}
    return {**person, "city": "Prishtinë", "language": "sq", "terms_version": "2026-01", **changes}


def make_claim_body(**changes: Any) -> dict[str, Any]:
    """Return the body of a claim."""
    what = {"category": "travel", "title": "Cancelled flight PRN-ZRH", "company_name": "Example Air"}
    when = {"description": "Cancelled two hours before departure.", "incident_date": "2026-11-02"}
    return {**what, **when, "incident_country": "CH", "amount": "250.00", "currency": "EUR", **changes}


def describe_shape(value: Any) -> Any:
    """Return a JSON value with its types in place of what it says."""
    if isinstance(value, dict):
        return {name: describe_shape(each) for name, each in sorted(value.items())}
    return [describe_shape(each) for each in value[:1]] if isinstance(value, list) else type(value).__name__


def describe_answer(status: int, headers: Mapping[str, str], body: Any) -> Any:
    """Return what both systems' answers must have in common: status, the name of a problem, headers, and the shape."""
    problem = body.get("type")
    named = {name.lower(): value.partition(";")[0] for name, value in headers.items()}
    media = named["content-type"]
    return status, problem, media, sorted(named.keys() & set(SHAPED_HEADERS)), describe_shape(body)


def call_both(
    before: BeforeProcess, api: Any, method: str, path: str, body: Any = None, *, sub: str | None = None
) -> tuple[Any, Any]:
    """Make one call to the predecessor and the same to the service; return the descriptions of both answers."""
    theirs = before.call(method, path, body, token=before.aws.sign_token(sub) if sub else None)
    client = make_client(api, before.database)
    if body is not None and "email" in body and theirs.status_code == 201:
        body = {**body, "email": f"other.{body['email']}"}  # they share the database
    claims_of_token = (
        {"sub": sub, "cognito:groups": "member", "token_use": "access", "client_id": "tests"} if sub else None
    )
    ours = client.sign_in_as(claims_of_token).call(
        method, path, body, key=f"before-{get_next_serial()}" if body else None
    )
    return (
        describe_answer(theirs.status_code, theirs.headers, theirs.json()),
        describe_answer(ours.status, ours.headers, json.loads(ours.body)),
    )


@pytest.fixture(scope="module")
def member_sub(before: BeforeProcess) -> str:
    """Return the sign-in of a member who has a claim."""
    member = before.call("POST", "/members", make_registration()).json()
    sub = sign_in(before.database, member["id"])["sub"]
    assert before.call("POST", "/claims", make_claim_body(), token=before.aws.sign_token(sub)).status_code == 201
    return sub


CALLS: dict[str, tuple[Any, str, str, Any, bool]] = {
    "a registration": (members.api, "POST", "/members", make_registration, False),
    "an application": (agents.api, "POST", "/agents", make_application, False),
    "a claim": (claims.api, "POST", "/claims", make_claim_body, True),
    "the own claims": (claims.api, "GET", "/claims", None, True),
    "the own record": (members.api, "GET", "/members/me", None, True),
    "a registration with an unknown plan": (
        members.api, "POST", "/members", lambda: make_registration(plan="gold"), False,
    ),
    "a registration with an unknown referral code": (
        members.api, "POST", "/members", lambda: make_registration(referral_code="ARTA-0000"), False,
    ),
    "an application that lacks a field": (
        agents.api, "POST", "/agents", lambda: {k: v for k, v in make_application().items() if k != "city"}, False,
    ),
    "a claim with an unknown field": (claims.api, "POST", "/claims", lambda: make_claim_body(colour="red"), True),
}  # fmt: skip


@pytest.mark.parametrize("call", CALLS)
def test_both_systems_answer_with_the_same_status_and_shape(before: BeforeProcess, member_sub: str, call: str) -> None:
    """The comparison sends the same requests to both: what they are answered must be the same too."""
    api, method, path, make_body, signed_in = CALLS[call]
    theirs, ours = call_both(
        before, api, method, path, make_body() if make_body else None, sub=member_sub if signed_in else None
    )
    assert theirs == ours


@pytest.mark.parametrize(("api", "path"), [(members.api, "/members/me"), (claims.api, "/claims")])
def test_neither_system_reads_without_a_token(before: BeforeProcess, api: Any, path: str) -> None:
    theirs, ours = call_both(before, api, "GET", path)
    assert theirs == ours
    assert theirs[0] == 401


def test_a_taken_address_is_refused_by_both(before: BeforeProcess) -> None:
    body = make_registration()
    assert before.call("POST", "/members", body).status_code == 201
    theirs, ours = call_both(before, members.api, "POST", "/members", body)
    assert theirs == ours
    assert theirs[:2] == (409, "urn:interdomestik:problem:email-taken")


@pytest.mark.parametrize(
    "change", [{"exp": 1}, {"iss": "https://elsewhere.example.test"}, {"client_id": "another"}, {"token_use": "id"}]
)
def test_a_token_that_is_not_a_valid_access_token_of_the_client_is_refused(
    before: BeforeProcess, member_sub: str, change: dict[str, Any]
) -> None:
    assert before.call("GET", "/members/me", token=before.aws.sign_token(member_sub, **change)).status_code == 401


def test_a_token_with_a_changed_signature_is_refused(before: BeforeProcess, member_sub: str) -> None:
    token = before.aws.sign_token(member_sub)
    head, body, signature = token.split(".")
    assert before.call("GET", "/members/me", token=f"{head}.{body}.{signature[::-1]}").status_code == 401


def test_a_page_of_claims_continues_at_its_cursor(before: BeforeProcess) -> None:
    member = before.call("POST", "/members", make_registration()).json()
    token = before.aws.sign_token(sign_in(before.database, member["id"])["sub"])
    filed = [before.call("POST", "/claims", make_claim_body(), token=token).json()["id"] for _ in range(3)]
    first = before.call("GET", "/claims?limit=2", token=token).json()
    rest = before.call("GET", f"/claims?limit=2&cursor={first['next_cursor']}", token=token).json()
    assert [claim["id"] for claim in first["items"] + rest["items"]] == filed[::-1]
    assert rest["next_cursor"] is None


def test_its_pool_has_ten_connections_and_further_requests_wait_for_one(before: BeforeProcess) -> None:
    """Five more than ten at once are all served, and never have more than ten sessions."""
    count = CONNECTIONS + 5
    bodies = [make_registration() for _ in range(count)]
    with ThreadPoolExecutor(count) as clients:
        with before.database.hold_lock(LOCKED):
            answers = [clients.submit(before.call, "POST", "/members", body) for body in bodies]
            until = time.monotonic() + 5
            while before.database.query_rows(WAITING)[0]["n"] < CONNECTIONS and time.monotonic() < until:
                time.sleep(0.02)
            time.sleep(0.2)  # so that one more could have come
            sessions = before.database.query_rows(SESSIONS)[0]["n"]
            done = sum(answer.done() for answer in answers)
        statuses = [answer.result().status_code for answer in answers]
    assert (sessions, done) == (CONNECTIONS, 0)
    assert statuses == [201] * count


def test_a_dead_mail_service_makes_each_write_fail(before: BeforeProcess, member_sub: str) -> None:
    """Nobody sends the mail later, so the request has to say that something failed; reads are served."""
    token, sent = before.aws.sign_token(member_sub), len(before.aws.mails)
    before.aws.is_down = True
    try:
        answers = [
            before.call("POST", "/members", make_registration()),
            before.call("POST", "/agents", make_application()),
            before.call("POST", "/claims", make_claim_body(), token=token),
        ]
        assert [answer.status_code for answer in answers] == [503, 503, 503]
        assert before.call("GET", "/members/me", token=token).status_code == 200
    finally:
        before.aws.is_down = False
    assert len(before.aws.mails) == sent


def test_each_write_sends_its_mails_before_it_is_answered(before: BeforeProcess, member_sub: str) -> None:
    """A registration and an application one, a claim one to the member and one to the desk."""
    counts = []
    for path, body in (
        ("/members", make_registration()),
        ("/agents", make_application()),
        ("/claims", make_claim_body()),
    ):
        sent = len(before.aws.mails)
        assert before.call("POST", path, body, token=before.aws.sign_token(member_sub)).status_code == 201
        counts.append(len(before.aws.mails) - sent)
    assert counts == [1, 1, 2]
