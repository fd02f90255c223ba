"""Submitting a claim, on a real database: all of it or nothing, once, and only with a membership."""

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any

import psycopg
import pytest

from tests.api_client import ApiClient, ApiReply, make_claims
from tests.databases import FreshDatabase
from tests.integration.claims.protocol_trace import trace_round_trips
from tests.integration.claims.sample_claims import ClaimFixtures, find_account, make_claim_body
from tests.integration.function_client import TODAY, get_next_serial

TABLES = ("claims", "claim_history", "documents", "outbox", "audit", "idempotency_keys")


def count_rows(fresh_database: FreshDatabase) -> dict[str, int]:
    return {table: fresh_database.count(table) for table in TABLES}


def test_a_submission_writes_all_that_a_claim_is(claim_fixtures: ClaimFixtures) -> None:
    """It writes one claim, history row, audit entry and key, and two jobs: to the member and to the desk."""
    member, before = claim_fixtures.add_member(), count_rows(claim_fixtures.fresh_database)
    reply = claim_fixtures.submit(member)
    after = count_rows(claim_fixtures.fresh_database)
    assert {table: after[table] - before[table] for table in TABLES} == {
        "claims": 1, "claim_history": 1, "documents": 0, "outbox": 2, "audit": 1, "idempotency_keys": 1,
    }  # fmt: skip
    assert (reply.status, reply.headers["ETag"]) == (201, '"1"')
    assert reply.headers["Location"] == f"/api/claims/{reply.json['id']}"
    jobs = claim_fixtures.fresh_database.query_rows(
        "SELECT priority, payload FROM outbox WHERE subject_id = %s ORDER BY payload->>'to'", reply.json["id"]
    )
    assert [(j["priority"], j["payload"]["template"], j["payload"]["to"]) for j in jobs] == [
        ("normal", "claim-received", f"account:{find_account(member)}"),
        ("normal", "staff-new-claim", "desk"),
    ]


def test_a_claim_comes_back_as_the_contract_says(claim_fixtures: ClaimFixtures) -> None:
    """Every field of the contract and no other, the amount with two places."""
    reply = claim_fixtures.submit(claim_fixtures.add_member(), amount="250.5")
    made = reply.json
    assert made == {
        **make_claim_body(amount="250.50"),
        "id": made["id"],
        "number": made["number"],
        "state": "submitted",
        "assignee": None,
        "member": None,
        "created_at": made["created_at"],
        "updated_at": made["updated_at"],
        "version": 1,
    }
    assert made["created_at"].endswith("Z")
    assert made["number"].startswith("CLM-20")


def test_a_submission_is_one_round_trip(claim_fixtures: ClaimFixtures) -> None:
    """Claim, history, jobs, audit and key leave together, whatever their number."""
    member = claim_fixtures.add_member()
    with trace_round_trips(claim_fixtures.client) as round_trips:
        assert claim_fixtures.submit(member).status == 201
    assert round_trips == ["Sync"]


@pytest.mark.parametrize(
    ("state", "days_left", "status"),
    [
        ("active", 0, 201),
        ("active", -1, 201),  # whether or not housekeeping has called it past due
        ("active", -14, 201),
        ("active", -15, 403),
        ("past_due", -14, 201),
        ("past_due", -15, 403),
        ("paused", 300, 403),
        ("canceled", 300, 403),
        ("expired", -20, 403),
    ],
)
def test_only_a_membership_with_access_files_claims(
    claim_fixtures: ClaimFixtures, state: str, days_left: int, status: int
) -> None:
    """Access lasts to the last day and 14 days more, by dates and not by when a sweep ran; otherwise nothing is
    written.
    """
    member, before = (
        claim_fixtures.add_member(state=state, days_left=days_left),
        count_rows(claim_fixtures.fresh_database),
    )
    reply = claim_fixtures.submit(member)
    assert reply.status == status
    if status == 403:
        assert (reply.problem, count_rows(claim_fixtures.fresh_database)) == ("membership-required", before)


def test_only_members_submit(claim_fixtures: ClaimFixtures) -> None:
    """Staff, agents, anonymous callers and tokens of the members' group without a member are refused."""
    someone = claim_fixtures.add_account("agent")
    tokens: list[Any] = [
        claim_fixtures.add_staff(),
        make_claims("agent", "agent"),
        make_claims(f"sub-{someone}", "member"),
        None,
    ]
    replies = [
        claim_fixtures.client.sign_in_as(token).call(
            "POST", "/claims", make_claim_body(), key=f"key-{get_next_serial()}"
        )
        for token in tokens
    ]
    assert [reply.problem for reply in replies] == ["forbidden", "forbidden", "forbidden", "unauthenticated"]


def test_fifteen_at_once_are_fifteen_claims(claim_fixtures: ClaimFixtures) -> None:
    """There are 15 claims, 15 numbers, 15 first history rows and 30 jobs."""
    members = [claim_fixtures.add_member() for _ in range(15)]
    clients = [claim_fixtures.make_another_client().sign_in_as(member) for member in members]
    before = count_rows(claim_fixtures.fresh_database)

    def submit(client: ApiClient) -> ApiReply:
        return client.call("POST", "/claims", make_claim_body(), key="one")

    with ThreadPoolExecutor(15) as pool:
        replies = list(pool.map(submit, clients))
    after = count_rows(claim_fixtures.fresh_database)
    assert [reply.status for reply in replies] == [201] * 15
    assert len({reply.json["number"] for reply in replies}) == 15
    assert {table: after[table] - before[table] for table in TABLES} == {
        "claims": 15, "claim_history": 15, "documents": 0, "outbox": 30, "audit": 15, "idempotency_keys": 15,
    }  # fmt: skip


def test_a_retry_that_finds_no_quick_record_gets_the_first_answer(claim_fixtures: ClaimFixtures) -> None:
    """The row in the database is the truth: the same bytes, and one claim."""
    member = claim_fixtures.add_member()
    first, again = (
        claim_fixtures.make_another_client().sign_in_as(member).call("POST", "/claims", make_claim_body(), key="lost")
        for _ in range(2)
    )
    assert (again.status, again.body, again.headers["Idempotency-Replayed"]) == (201, first.body, "true")
    assert claim_fixtures.fresh_database.query_rows(
        "SELECT count(*) AS n FROM claims WHERE member_id = %s", find_account(member)
    ) == [{"n": 1}]


@pytest.mark.parametrize("field", sorted(make_claim_body()))
@pytest.mark.parametrize("value", [None, 7, True, [], {}, "", " ", "\x00", "x" * 10_001])
def test_what_is_wrong_with_a_field_names_the_field(claim_fixtures: ClaimFixtures, field: str, value: Any) -> None:
    """Nothing is written."""
    member, before = claim_fixtures.add_member(), count_rows(claim_fixtures.fresh_database)
    reply = claim_fixtures.submit(member, **{field: value})
    assert (reply.status, reply.pointers, count_rows(claim_fixtures.fresh_database)) == (422, [f"/{field}"], before)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("category", "pets"),
        ("title", "Four"),
        ("title", "x" * 201),
        ("company_name", "X"),
        ("company_name", "x" * 201),
        ("description", "x" * 19),
        ("incident_country", "XX"),
        ("incident_country", "ch"),
        ("amount", "1.234"),
        ("amount", "-1"),
        ("amount", "1e3"),
        ("amount", "NaN"),
        ("amount", "12345678901"),
        ("currency", "EURO"),
        ("incident_date", "2026-02-30"),
        ("incident_date", "2026-11-02T00:00:00"),
        ("incident_date", "1577836800"),
        ("incident_date", "20261102"),
    ],
)
def test_a_field_keeps_to_its_form(claim_fixtures: ClaimFixtures, field: str, value: str) -> None:
    """Lengths, codes, and amounts and dates written one way."""
    reply = claim_fixtures.submit(claim_fixtures.add_member(), **{field: value})
    assert (reply.status, reply.pointers) == (422, [f"/{field}"])


@pytest.mark.parametrize(("days", "status"), [(0, 201), (1, 422), (365, 422)])
def test_an_incident_is_not_in_the_future(claim_fixtures: ClaimFixtures, days: int, status: int) -> None:
    """The service's own clock decides; the problem lists all other errors as well."""
    reply = claim_fixtures.submit(
        claim_fixtures.add_member(), incident_date=(TODAY + timedelta(days=days)).date().isoformat()
    )
    assert reply.status == status
    if status == 422:
        assert reply.pointers == ["/incident_date"]
        both = claim_fixtures.submit(claim_fixtures.add_member(), incident_date="2199-01-01", title="")
        assert sorted(both.pointers) == ["/incident_date", "/title"]


@pytest.mark.parametrize("text", ["Robert'); DROP TABLE claims;--", "<script>alert(1)</script>", "Ç%s%(id)s\\ 👩‍👩‍👧"])
def test_text_goes_out_as_it_came_in(claim_fixtures: ClaimFixtures, text: str) -> None:
    """It is never read as SQL or HTML."""
    made = claim_fixtures.submit(claim_fixtures.add_member(), title=text, description=text + "\r\n\t" + text).json
    assert (made["title"], made["description"]) == (text, text + "\r\n\t" + text)


def test_free_text_loses_its_control_characters(claim_fixtures: ClaimFixtures) -> None:
    """Text pasted from a PDF is accepted; a company's name with a control character is not."""
    made = claim_fixtures.submit(
        claim_fixtures.add_member(),
        title="Cancelled\x07\nflight ",
        description="The first page,\n\x0cand the second\x00.\n\n",
    )
    assert (made.json["title"], made.json["description"]) == ("Cancelled flight", "The first page,\nand the second.")
    assert claim_fixtures.submit(claim_fixtures.add_member(), company_name="Example\x07 Air").pointers == [
        "/company_name"
    ]


def test_a_history_shows_a_reason_without_control_characters(claim_fixtures: ClaimFixtures) -> None:
    """Reasons of staff may be pasted from documents too."""
    member, staff = claim_fixtures.add_member(), claim_fixtures.add_staff()
    claim_id = claim_fixtures.claim(member)
    assert claim_fixtures.change_state(staff, claim_id, "verification", reason="Checked\x0c.\n").status == 200
    assert claim_fixtures.read(staff, claim_id, "/history").json["items"][0]["reason"] == "Checked."


@pytest.mark.parametrize(
    ("currency", "sent", "kept"), [("JPY", "250", "250"), ("KWD", "1.5", "1.500"), ("EUR", "250", "250.00")]
)
def test_an_amount_comes_back_with_its_currencys_decimals(
    claim_fixtures: ClaimFixtures, currency: str, sent: str, kept: str
) -> None:
    """The member who submits it and all later readers see the same."""
    member = claim_fixtures.add_member()
    made = claim_fixtures.submit(member, amount=sent, currency=currency)
    assert (made.status, made.json["amount"]) == (201, kept)
    assert claim_fixtures.read(member, made.json["id"]).json["amount"] == kept


@pytest.mark.parametrize("amount", ["'NaN'", "'Infinity'", "-0.01", "10000000000", "1.2345"])
def test_the_database_keeps_no_amount_that_the_api_would_not_take(claim_fixtures: ClaimFixtures, amount: str) -> None:
    """Its own checks stand behind the API's."""
    claim_id = claim_fixtures.claim(claim_fixtures.add_member())
    with pytest.raises(psycopg.errors.CheckViolation):
        claim_fixtures.fresh_database.query_rows(f"UPDATE claims SET amount = {amount} WHERE id = %s", claim_id)


def test_a_claims_location_is_below_what_was_posted_to(claim_fixtures: ClaimFixtures) -> None:
    """Behind a custom domain there is no stage in the path."""
    claim_fixtures.client.base_path = "/v1"
    reply = claim_fixtures.submit(claim_fixtures.add_member())
    assert reply.headers["Location"] == f"/v1/claims/{reply.json['id']}"


def test_text_is_kept_in_its_composed_form(claim_fixtures: ClaimFixtures) -> None:
    """NFC, so that the same word is the same bytes."""
    made = claim_fixtures.submit(claim_fixtures.add_member(), title="C\u0327a\u0308ndrim")
    assert made.json["title"] == "\u00c7\u00e4ndrim"


def test_without_a_currency_it_is_euro(claim_fixtures: ClaimFixtures) -> None:
    """This is the only default."""
    body = make_claim_body()
    del body["currency"]
    reply = claim_fixtures.client.sign_in_as(claim_fixtures.add_member()).call("POST", "/claims", body, key="euro")
    assert (reply.status, reply.json["currency"]) == (201, "EUR")
