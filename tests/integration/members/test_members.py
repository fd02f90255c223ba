"""Members, on a real database: all of a registration or nothing of it, once."""

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import psycopg
import pytest

from members.app import api
from tests.api_client import ADMIN, STAFF, ApiClient, ApiReply, make_claims
from tests.databases import FreshDatabase
from tests.integration.function_client import add_agent, get_next_serial, make_client, sign_in
from tests.sample_people import make_person

TABLES = ("accounts", "members", "subscriptions", "agent_clients", "commissions", "outbox", "audit", "idempotency_keys")


@pytest.fixture
def client(fresh_database: FreshDatabase) -> ApiClient:
    return make_client(api, fresh_database)


def register(client: ApiClient, key: str | None = None, **changes: Any) -> ApiReply:
    return client.call("POST", "/members", make_person(**changes), key=key or f"key-{get_next_serial()}")


def count_rows(fresh_database: FreshDatabase) -> dict[str, int]:
    return {table: fresh_database.count(table) for table in TABLES}


def subtract_counts(before: dict[str, int], after: dict[str, int]) -> dict[str, int]:
    return {table: after[table] - before[table] for table in TABLES if after[table] != before[table]}


def test_a_registration_writes_all_that_a_member_is(fresh_database: FreshDatabase, client: ApiClient) -> None:
    """It writes one account, member, subscription, audit entry and key, two jobs, and the agreed year and price."""
    before = count_rows(fresh_database)
    reply = register(client, plan="family")
    assert reply.status == 201
    assert subtract_counts(before, count_rows(fresh_database)) == {
        "accounts": 1, "members": 1, "subscriptions": 1, "outbox": 2, "audit": 1, "idempotency_keys": 1,
    }  # fmt: skip
    assert reply.json["membership"] == {
        "plan": "family", "state": "active", "starts_on": "2026-11-24", "ends_on": "2027-11-23",
        "price": "35.00", "currency": "EUR", "cancel_at_period_end": False,
    }  # fmt: skip
    assert reply.headers["Location"] == f"/api/members/{reply.json['id']}"
    jobs = fresh_database.query_rows(
        "SELECT kind, priority, payload FROM outbox WHERE subject_id = %s ORDER BY kind", reply.json["id"]
    )
    assert [(job["kind"], job["priority"]) for job in jobs] == [("identity", "high"), ("mail", "high")]
    assert jobs[1]["payload"]["template"] == "member-welcome"


def test_a_referral_makes_the_member_a_client_and_earns_a_commission(
    fresh_database: FreshDatabase, client: ApiClient
) -> None:
    """The commission is 20 % of the price, or the agent's own rate."""
    (usual, usual_code), (own, own_code) = add_agent(fresh_database), add_agent(fresh_database, rate="0.3333")
    first, second = register(client, referral_code=usual_code), register(client, referral_code=own_code)
    assert first.json["agent"] == {"id": usual, "full_name": "Arta Krasniqi"}
    earned = fresh_database.query_rows("SELECT amount::text, state, kind FROM commissions WHERE agent_id = %s", usual)
    assert earned == [{"amount": "7.00", "state": "pending", "kind": "new"}]
    assert fresh_database.query_rows("SELECT amount::text FROM commissions WHERE agent_id = %s", own) == [
        {"amount": "11.67"}
    ]
    assert fresh_database.query_rows(
        "SELECT agent_id::text FROM agent_clients WHERE member_id = %s", second.json["id"]
    ) == [{"agent_id": own}]


@pytest.mark.parametrize("state", ["pending", "suspended", "rejected"])
def test_only_an_active_agents_code_counts(fresh_database: FreshDatabase, client: ApiClient, state: str) -> None:
    """Any other code is unknown, and nothing is written."""
    _, code = add_agent(fresh_database, state=state)
    before = count_rows(fresh_database)
    reply = register(client, referral_code=code)
    assert (reply.status, reply.problem, subtract_counts(before, count_rows(fresh_database))) == (
        422,
        "referral-code-unknown",
        {},
    )


def test_an_agents_own_token_makes_the_member_their_client(fresh_database: FreshDatabase, client: ApiClient) -> None:
    """No code is needed; a suspended agent's registration is refused."""
    (active, _), (suspended, _) = add_agent(fresh_database), add_agent(fresh_database, state="suspended")
    tokens = {
        "a": sign_in(fresh_database, active),
        "s": sign_in(fresh_database, suspended),
        "m": make_claims("x", "member"),
    }
    client.container.__dict__["_verifier"] = tokens.__getitem__
    replies = [
        client.call("POST", "/members", make_person(), key=name, headers={"Authorization": f"Bearer {name}"})
        for name in "asm"
    ]
    assert [reply.status for reply in replies] == [201, 403, 403]
    assert replies[0].json["agent"]["id"] == active
    assert [replies[1].problem, replies[2].problem] == ["agent-not-active", "forbidden"]


@pytest.mark.parametrize("claims", [STAFF, ADMIN], ids=["staff", "admin"])
def test_staff_register_a_member_who_calls(
    fresh_database: FreshDatabase, client: ApiClient, claims: dict[str, str]
) -> None:
    """The member may name an agent's code or none; the audit says who registered them."""
    _, code = add_agent(fresh_database)
    client.container.__dict__["_verifier"] = lambda _token: claims
    for agent in ({"referral_code": code}, {}):
        key = f"key-{get_next_serial()}"
        headers = {"Authorization": "Bearer staff"}
        reply = client.call("POST", "/members", make_person(**agent), key=key, headers=headers)
        assert reply.status == 201, reply.body
        assert (reply.json["agent"] is None) == (not agent)
        entries = fresh_database.query_rows("SELECT action, actor FROM audit WHERE subject_id = %s", reply.json["id"])
        assert entries == [{"action": "member.registered", "actor": claims["sub"]}]


def test_a_taken_address_is_refused_however_it_is_written(fresh_database: FreshDatabase, client: ApiClient) -> None:
    """The constraint refuses it; the problem reveals nothing of who has the address."""
    first = register(client, email="taken@example.test")
    before = count_rows(fresh_database)
    reply = register(client, email="Taken@EXAMPLE.test")
    assert (reply.status, reply.problem, subtract_counts(before, count_rows(fresh_database))) == (
        409,
        "email-taken",
        {},
    )
    assert first.json["id"] not in reply.body


def test_twenty_at_once_with_one_address_make_one_member(fresh_database: FreshDatabase) -> None:
    """One is answered 201 and 19 are 409; there is one account."""
    clients = [make_client(api, fresh_database) for _ in range(20)]
    with ThreadPoolExecutor(20) as pool:
        replies = list(pool.map(lambda c: register(c, email="together@example.test"), clients))
    assert sorted(reply.status for reply in replies) == [201] + [409] * 19
    assert len(fresh_database.query_rows("SELECT FROM accounts WHERE email = 'together@example.test'")) == 1


def test_a_retry_that_finds_no_quick_record_still_gets_the_first_answer(fresh_database: FreshDatabase) -> None:
    """The store lost the key: the row in the database answers, and never with "email taken"."""
    first = register(make_client(api, fresh_database), key="lost", email="lost@example.test")
    again = register(make_client(api, fresh_database), key="lost", email="lost@example.test")
    assert (again.status, again.body, again.headers["ETag"]) == (201, first.body, first.headers["ETag"])
    assert again.headers["Idempotency-Replayed"] == "true"


def test_numbers_are_unique_and_increase(fresh_database: FreshDatabase, client: ApiClient) -> None:
    """They look like MEM-2026-000123, with at least six digits."""
    numbers = [register(client).json["number"] for _ in range(3)]
    assert numbers == sorted(set(numbers))
    assert all(number.startswith("MEM-20") and len(number.split("-")[2]) == 6 for number in numbers)


def test_a_seventh_digit_is_kept(fresh_database: FreshDatabase) -> None:
    """lpad() cuts what is too long; a number that is cut is no longer unique."""
    assert fresh_database.query_rows("SELECT reading_number('MEM', 1234567) AS n")[0]["n"].endswith("-1234567")


def test_a_member_reads_themselves_and_nobody_else(fresh_database: FreshDatabase, client: ApiClient) -> None:
    """Another's record is 404, as one that is not there."""
    one, two = register(client).json["id"], register(client).json["id"]
    me = client.sign_in_as(sign_in(fresh_database, one))
    assert me.call("GET", "/members/me").json["id"] == one
    assert me.call("GET", "/members/{member_id}", member_id=one).status == 200
    assert me.call("GET", "/members/{member_id}", member_id=two).status == 404
    assert client.sign_in_as(STAFF).call("GET", "/members/{member_id}", member_id=two).status == 200
    assert client.sign_in_as(make_claims("x", "agent")).call("GET", "/members/{member_id}", member_id=two).status == 403
    assert client.call("GET", "/members/{member_id}", member_id=two).status == 401


def test_staff_page_through_members_and_find_one(fresh_database: FreshDatabase, client: ApiClient) -> None:
    """Newest first, each once, until there is no cursor."""
    made = [register(client).json for _ in range(5)]
    staff, seen, cursor = client.sign_in_as(STAFF), [], None
    while True:
        query = {"limit": "2", **({"cursor": cursor} if cursor else {})}
        page = staff.call("GET", "/members", query=query).json
        seen += [item["id"] for item in page["items"]]
        cursor = page["next_cursor"]
        if cursor is None:
            break
    assert len(seen) == len(set(seen)) == fresh_database.count("members")
    assert seen[:5] == [m["id"] for m in reversed(made)]
    for query in ({"number": made[0]["number"]}, {"email": made[0]["email"]}):
        assert [i["id"] for i in staff.call("GET", "/members", query=query).json["items"]] == [made[0]["id"]]


def test_contact_data_changes_on_the_version_that_was_read(fresh_database: FreshDatabase, client: ApiClient) -> None:
    """Omitted fields stay; a stale version changes nothing; another member's record is 404."""
    member = register(client).json
    me = client.sign_in_as(sign_in(fresh_database, member["id"]))
    changed = me.call("PATCH", "/members/me", {"phone": "+38344999999"}, if_match=1)
    assert (changed.status, changed.json["phone"], changed.json["full_name"]) == (200, "+38344999999", "Besa Hoxha")
    assert changed.headers["ETag"] == '"2"'
    stale = me.call("PATCH", "/members/{member_id}", {"phone": "+38344000000"}, if_match=1, member_id=member["id"])
    assert (stale.status, stale.problem) == (412, "stale-version")
    other = client.sign_in_as(sign_in(fresh_database, register(client).json["id"]))
    assert (
        other.call(
            "PATCH", "/members/{member_id}", {"phone": "+38344000000"}, if_match=2, member_id=member["id"]
        ).status
        == 404
    )
    assert me.call("GET", "/members/me").json["phone"] == "+38344999999"
    assert me.call("PATCH", "/members/me", {}, if_match=2).status == 422
    assert me.call("PATCH", "/members/me", {"phone": None}, if_match=2).pointers == ["/phone"]
    entry = fresh_database.query_rows(
        "SELECT actor, facts FROM audit WHERE action = 'member.contact_changed' AND subject_id = %s", member["id"]
    )
    assert entry == [{"actor": f"sub-{member['id']}", "facts": {"fields": ["phone"]}}]


def test_two_changes_of_one_version_have_one_winner(fresh_database: FreshDatabase) -> None:
    """One of twenty concurrent changes of version 1 is written."""
    member = register(make_client(api, fresh_database)).json["id"]
    clients = [make_client(api, fresh_database).sign_in_as(STAFF) for _ in range(20)]

    def change(client: ApiClient) -> int:
        return client.call("PATCH", "/members/{member_id}", {"language": "en"}, if_match=1, member_id=member).status

    with ThreadPoolExecutor(20) as pool:
        assert sorted(pool.map(change, clients)) == [200] + [412] * 19


def test_changes_of_any_version_follow_one_another(fresh_database: FreshDatabase) -> None:
    """Twenty at once with `*`: each is made on what the one before it left, and none is lost."""
    member = register(make_client(api, fresh_database)).json["id"]
    clients = [make_client(api, fresh_database).sign_in_as(STAFF) for _ in range(20)]

    def change(client: ApiClient) -> ApiReply:
        body = {"phone": f"+3834412{get_next_serial():04}"}
        return client.call("PATCH", "/members/{member_id}", body, if_match="*", member_id=member)

    with ThreadPoolExecutor(20) as pool:
        replies = list(pool.map(change, clients))
    assert sorted(reply.json["version"] for reply in replies) == list(range(2, 22))


def test_a_list_of_versions_matches_by_any(fresh_database: FreshDatabase, client: ApiClient) -> None:
    """A list without the record's own version is stale."""
    member = register(client).json["id"]
    for tags, status in (('"7", "1"', 200), ('"7", "1"', 412), ('W/"2"', 412)):
        reply = client.sign_in_as(STAFF).call(
            "PATCH", "/members/{member_id}", {"language": "en"}, if_match=tags, member_id=member
        )
        assert reply.status == status


def test_renewing_extends_once_however_often_it_is_repeated(fresh_database: FreshDatabase, client: ApiClient) -> None:
    """It extends from the current end, and again once that is not too early; the agent earns 10 % each time."""
    agent_id, code = add_agent(fresh_database)
    member = register(client, referral_code=code).json["id"]
    me = client.sign_in_as(sign_in(fresh_database, member))

    def renew(key: str) -> ApiReply:
        return me.call("POST", "/members/{member_id}/renewals", key=key, member_id=member)

    first, again = renew("year-2"), renew("year-2")
    assert (first.status, first.json["membership"]["ends_on"], again.body) == (201, "2028-11-23", first.body)
    client.container.clock.advance(365 * 86_400)  # type: ignore[attr-defined]
    assert renew("year-3").json["membership"]["ends_on"] == "2029-11-23"
    earned = fresh_database.query_rows(
        "SELECT kind, amount::text FROM commissions WHERE agent_id = %s ORDER BY id", agent_id
    )
    assert [(e["kind"], e["amount"]) for e in earned] == [("new", "7.00"), ("renewal", "3.50"), ("renewal", "3.50")]


def test_a_membership_that_has_ended_begins_anew_today(fresh_database: FreshDatabase, client: ApiClient) -> None:
    """A year paid for must not lie in the past."""
    member = register(client).json["id"]
    long_ago = "UPDATE subscriptions SET state = 'expired', starts_on = '2023-01-01', ends_on = '2024-01-01'"
    fresh_database.query_rows(f"{long_ago} WHERE member_id = %s", member)
    reply = client.sign_in_as(STAFF).call("POST", "/members/{member_id}/renewals", key=member, member_id=member)
    membership = reply.json["membership"]
    assert (membership["state"], membership["starts_on"], membership["ends_on"]) == (
        "active",
        "2026-11-24",
        "2027-11-23",
    )


def test_cancelling_takes_effect_at_the_end_and_renewing_takes_it_back(
    fresh_database: FreshDatabase, client: ApiClient
) -> None:
    """Services paid for are given until then; what has ended can't be cancelled."""
    member = register(client).json["id"]
    me = client.sign_in_as(sign_in(fresh_database, member))
    cancelled = me.call("POST", "/members/{member_id}/cancellation", member_id=member)
    assert (cancelled.status, cancelled.json["membership"]["state"]) == (200, "active")
    assert cancelled.json["membership"]["cancel_at_period_end"] is True
    renewed = me.call("POST", "/members/{member_id}/renewals", key="k" + member, member_id=member)
    assert renewed.json["membership"]["cancel_at_period_end"] is False
    fresh_database.query_rows("UPDATE subscriptions SET state = 'expired' WHERE member_id = %s", member)
    assert me.call("POST", "/members/{member_id}/cancellation", member_id=member).problem == "membership-ended"


ACCOUNT = "INSERT INTO accounts (id, role, email, full_name, language)"
SUBSCRIPTION = "id, member_id, plan, state, starts_on, ends_on, price, currency"
IMPOSSIBLE = {
    f"{ACCOUNT} SELECT gen_random_uuid(), 'member', email, 'X', 'en' FROM accounts LIMIT 1": "accounts_email_key",
    f"{ACCOUNT} VALUES (gen_random_uuid(), 'member', 'UPPER@example.test', 'X', 'en')": "accounts_email_check",
    f"INSERT INTO subscriptions ({SUBSCRIPTION}) SELECT gen_random_uuid(),{SUBSCRIPTION[3:]} FROM subscriptions":
        "subscriptions_member_key",
    "UPDATE members SET number = 'MEM-1'": "members_number_key",
    "UPDATE agents SET commission_rate = 1.5": "agents_commission_rate_check",
    "UPDATE commissions SET approved_by = agent_id": "commissions_check",
}  # fmt: skip


@pytest.mark.parametrize(("statement", "constraint"), IMPOSSIBLE.items(), ids=IMPOSSIBLE.values())
def test_what_must_be_impossible_is_impossible_in_the_database(
    fresh_database: FreshDatabase, client: ApiClient, statement: str, constraint: str
) -> None:
    """Constraints refuse it even if the code has an error."""
    _, code = add_agent(fresh_database)
    register(client, referral_code=code)
    register(client)
    with pytest.raises(psycopg.errors.IntegrityError) as caught:
        fresh_database.query_rows(statement)
    assert caught.value.diag.constraint_name == constraint


@pytest.mark.parametrize("table", ["audit", "claim_history"])
@pytest.mark.parametrize("statement", ["UPDATE {} SET at = now()", "DELETE FROM {}", "TRUNCATE {}"])
def test_history_is_append_only_for_the_functions_role(
    fresh_database: FreshDatabase, table: str, statement: str
) -> None:
    """The role has no right to change it."""
    with (
        psycopg.connect(
            fresh_database.postgres.build_conninfo(user="interdomestik_members", dbname=fresh_database.name)
        ) as connection,
        pytest.raises(psycopg.errors.InsufficientPrivilege),
    ):
        connection.execute(statement.format(table).encode())


def test_not_even_the_owner_rewrites_the_audit(fresh_database: FreshDatabase, client: ApiClient) -> None:
    """A trigger refuses what a grant would allow."""
    register(client)
    with pytest.raises(psycopg.DatabaseError, match="append-only"):
        fresh_database.query_rows("DELETE FROM audit")
