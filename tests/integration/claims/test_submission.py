"""Submitting a claim, on a real database: all of it or nothing, once, and only with a membership."""

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any

import psycopg
import pytest

from tests.databases import Blank
from tests.harness import Client, Reply, claims_of
from tests.integration.claims.cases import Cases, id_of, trouble
from tests.integration.claims.wire import flights
from tests.integration.room import TODAY, serial

TABLES = ("claims", "claim_history", "documents", "outbox", "audit", "idempotency_keys")


def counts(blank: Blank) -> dict[str, int]:
    return {table: blank.count(table) for table in TABLES}


def test_a_submission_writes_all_that_a_claim_is(cases: Cases) -> None:
    """One claim, first history row, audit entry and key, and two jobs: to the member and to the desk."""
    member, before = cases.member(), counts(cases.blank)
    reply = cases.submit(member)
    after = counts(cases.blank)
    assert {table: after[table] - before[table] for table in TABLES} == {
        "claims": 1, "claim_history": 1, "documents": 0, "outbox": 2, "audit": 1, "idempotency_keys": 1,
    }  # fmt: skip
    assert (reply.status, reply.headers["ETag"]) == (201, '"1"')
    assert reply.headers["Location"] == f"/api/claims/{reply.json['id']}"
    jobs = cases.blank.rows(
        "SELECT priority, payload FROM outbox WHERE subject_id = %s ORDER BY payload->>'to'", reply.json["id"]
    )
    assert [(j["priority"], j["payload"]["template"], j["payload"]["to"]) for j in jobs] == [
        ("normal", "claim-received", f"account:{id_of(member)}"),
        ("normal", "staff-new-claim", "desk"),
    ]


def test_a_claim_comes_back_as_the_contract_says(cases: Cases) -> None:
    """Every field of the contract and no other, the amount with two places."""
    reply = cases.submit(cases.member(), amount="250.5")
    made = reply.json
    assert made == {
        **trouble(amount="250.50"),
        "id": made["id"],
        "number": made["number"],
        "state": "submitted",
        "assignee": None,
        "created_at": made["created_at"],
        "updated_at": made["updated_at"],
        "version": 1,
    }
    assert made["created_at"].endswith("Z")
    assert made["number"].startswith("CLM-20")


def test_a_submission_is_one_flight(cases: Cases) -> None:
    """Claim, history, jobs, audit and key leave together, whatever their number."""
    member = cases.member()
    with flights(cases.client) as flown:
        assert cases.submit(member).status == 201
    assert flown == ["Sync"]


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
def test_only_a_membership_with_access_files_claims(cases: Cases, state: str, days_left: int, status: int) -> None:
    """To its last day and for 14 days more, by dates and not by when a sweep ran; otherwise nothing is written."""
    member, before = cases.member(state=state, days_left=days_left), counts(cases.blank)
    reply = cases.submit(member)
    assert reply.status == status
    if status == 403:
        assert (reply.problem, counts(cases.blank)) == ("membership-required", before)


def test_only_members_submit(cases: Cases) -> None:
    """Not staff, not agents, not a token in the members' group that no member has, not nobody."""
    someone = cases.account("agent")
    tokens: list[Any] = [cases.staff(), claims_of("agent", "agent"), claims_of(f"sub-{someone}", "member"), None]
    replies = [cases.client.as_(token).call("POST", "/claims", trouble(), key=f"key-{serial()}") for token in tokens]
    assert [reply.problem for reply in replies] == ["forbidden", "forbidden", "forbidden", "unauthenticated"]


def test_fifteen_at_once_are_fifteen_claims(cases: Cases) -> None:
    """15 claims, 15 numbers, 15 first history rows, 30 jobs."""
    members = [cases.member() for _ in range(15)]
    clients = [cases.another().as_(member) for member in members]
    before = counts(cases.blank)

    def submit(client: Client) -> Reply:
        return client.call("POST", "/claims", trouble(), key="one")

    with ThreadPoolExecutor(15) as pool:
        replies = list(pool.map(submit, clients))
    after = counts(cases.blank)
    assert [reply.status for reply in replies] == [201] * 15
    assert len({reply.json["number"] for reply in replies}) == 15
    assert {table: after[table] - before[table] for table in TABLES} == {
        "claims": 15, "claim_history": 15, "documents": 0, "outbox": 30, "audit": 15, "idempotency_keys": 15,
    }  # fmt: skip


def test_a_retry_that_finds_no_quick_record_gets_the_first_answer(cases: Cases) -> None:
    """The row in the database is the truth: the same bytes, and one claim."""
    member = cases.member()
    first, again = (cases.another().as_(member).call("POST", "/claims", trouble(), key="lost") for _ in range(2))
    assert (again.status, again.body, again.headers["Idempotency-Replayed"]) == (201, first.body, "true")
    assert cases.blank.rows("SELECT count(*) AS n FROM claims WHERE member_id = %s", id_of(member)) == [{"n": 1}]


@pytest.mark.parametrize("field", sorted(trouble()))
@pytest.mark.parametrize("value", [None, 7, True, [], {}, "", " ", "\x00", "x" * 10_001])
def test_what_is_wrong_with_a_field_names_the_field(cases: Cases, field: str, value: Any) -> None:
    """And nothing is written."""
    member, before = cases.member(), counts(cases.blank)
    reply = cases.submit(member, **{field: value})
    assert (reply.status, reply.pointers, counts(cases.blank)) == (422, [f"/{field}"], before)


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
def test_a_field_keeps_to_its_form(cases: Cases, field: str, value: str) -> None:
    """Lengths, codes, and amounts and dates written one way."""
    reply = cases.submit(cases.member(), **{field: value})
    assert (reply.status, reply.pointers) == (422, [f"/{field}"])


@pytest.mark.parametrize(("days", "status"), [(0, 201), (1, 422), (365, 422)])
def test_an_incident_is_not_in_the_future(cases: Cases, days: int, status: int) -> None:
    """By the service's own clock; together with all else that is wrong."""
    reply = cases.submit(cases.member(), incident_date=(TODAY + timedelta(days=days)).date().isoformat())
    assert reply.status == status
    if status == 422:
        assert reply.pointers == ["/incident_date"]
        both = cases.submit(cases.member(), incident_date="2199-01-01", title="")
        assert sorted(both.pointers) == ["/incident_date", "/title"]


@pytest.mark.parametrize("text", ["Robert'); DROP TABLE claims;--", "<script>alert(1)</script>", "Ç%s%(id)s\\ 👩‍👩‍👧"])
def test_text_goes_out_as_it_came_in(cases: Cases, text: str) -> None:
    """It is never read as SQL or HTML."""
    made = cases.submit(cases.member(), title=text, description=text + "\r\n\t" + text).json
    assert (made["title"], made["description"]) == (text, text + "\r\n\t" + text)


def test_free_text_loses_its_control_characters(cases: Cases) -> None:
    """What is pasted from a PDF is taken; a company's name with one is not."""
    made = cases.submit(
        cases.member(), title="Cancelled\x07\nflight ", description="The first page,\n\x0cand the second\x00.\n\n"
    )
    assert (made.json["title"], made.json["description"]) == ("Cancelled flight", "The first page,\nand the second.")
    assert cases.submit(cases.member(), company_name="Example\x07 Air").pointers == ["/company_name"]


def test_a_history_tells_a_reason_without_control_characters(cases: Cases) -> None:
    """Staff paste as well."""
    member, staff = cases.member(), cases.staff()
    claim_id = cases.claim(member)
    assert cases.move(staff, claim_id, "verification", reason="Checked\x0c.\n").status == 200
    assert cases.read(staff, claim_id, "/history").json["items"][0]["reason"] == "Checked."


@pytest.mark.parametrize(
    ("currency", "sent", "kept"), [("JPY", "250", "250"), ("KWD", "1.5", "1.500"), ("EUR", "250", "250.00")]
)
def test_an_amount_comes_back_with_its_currencys_decimals(cases: Cases, currency: str, sent: str, kept: str) -> None:
    """To the member who submits it, and to everybody after."""
    member = cases.member()
    made = cases.submit(member, amount=sent, currency=currency)
    assert (made.status, made.json["amount"]) == (201, kept)
    assert cases.read(member, made.json["id"]).json["amount"] == kept


@pytest.mark.parametrize("amount", ["'NaN'", "'Infinity'", "-0.01", "10000000000", "1.2345"])
def test_the_database_keeps_no_amount_that_the_api_would_not_take(cases: Cases, amount: str) -> None:
    """Its own checks stand behind the API's."""
    claim_id = cases.claim(cases.member())
    with pytest.raises(psycopg.errors.CheckViolation):
        cases.blank.rows(f"UPDATE claims SET amount = {amount} WHERE id = %s", claim_id)


def test_a_claims_location_is_below_what_was_posted_to(cases: Cases) -> None:
    """Behind a custom domain there is no stage in the path."""
    cases.client.base_path = "/v1"
    reply = cases.submit(cases.member())
    assert reply.headers["Location"] == f"/v1/claims/{reply.json['id']}"


def test_text_is_kept_in_its_composed_form(cases: Cases) -> None:
    """NFC, so that the same word is the same bytes."""
    made = cases.submit(cases.member(), title="C\u0327a\u0308ndrim")
    assert made.json["title"] == "\u00c7\u00e4ndrim"


def test_without_a_currency_it_is_euro(cases: Cases) -> None:
    """The one default."""
    body = trouble()
    del body["currency"]
    reply = cases.client.as_(cases.member()).call("POST", "/claims", body, key="euro")
    assert (reply.status, reply.json["currency"]) == (201, "EUR")
