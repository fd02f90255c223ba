"""Commissions, on a real database: what staff may do with them, and what nobody may."""

import itertools
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any

import psycopg
import pytest

from agents.app import api
from members.app import api as members_api
from tests.api_client import ApiClient, ApiReply
from tests.databases import FreshDatabase
from tests.failover.servers import wait_until
from tests.fakes.clock import ManualClock
from tests.integration.function_client import TODAY, add_agent, get_next_serial, make_client, sign_in
from tests.integration.jobs.records import RecordFixtures
from tests.sample_people import make_person

DECISION = "/commissions/{commission_id}/decision"
STATES = ("pending", "approved", "paid", "void")
DECISIONS = {
    ("pending", "approve"): "approved",
    ("pending", "void"): "void",
    ("approved", "void"): "void",
}
PAST = {"approve": "commission.approved", "void": "commission.voided"}
WAITING = "SELECT pid FROM pg_locks WHERE NOT granted"
NOBODY = "01a20ba6-afb6-76d1-9556-a703ff01d17a"


@pytest.fixture(scope="module")
def staff(fresh_database: FreshDatabase) -> dict[str, str]:
    """Return the claims of a member of staff with an account."""
    return sign_in(fresh_database, str(RecordFixtures(fresh_database).add_account("staff")))


@pytest.fixture
def client(fresh_database: FreshDatabase, staff: dict[str, str]) -> ApiClient:
    return make_client(api, fresh_database).sign_in_as(staff)


def add_signed_up_member(fresh_database: FreshDatabase, code: str, *, proven: bool = True) -> str:
    """Add a new client of an agent's, who has signed in if they are proven; return their id."""
    reply = make_client(members_api, fresh_database).call(
        "POST", "/members", make_person(referral_code=code), key=f"key-{get_next_serial()}"
    )
    assert reply.status == 201, reply.body
    if proven:
        fresh_database.query_rows("UPDATE accounts SET proven_at = now() WHERE id = %s", reply.json["id"])
    return str(reply.json["id"])


def find_commission(fresh_database: FreshDatabase, member: str) -> str:
    """Return the latest commission that a member has earned somebody."""
    return str(
        fresh_database.query_rows("SELECT id FROM commissions WHERE member_id = %s ORDER BY period_starts_on", member)[
            -1
        ]["id"]
    )


def add_commission(fresh_database: FreshDatabase, state: str = "pending") -> str:
    """Add a commission in a state."""
    made = find_commission(fresh_database, add_signed_up_member(fresh_database, add_agent(fresh_database)[1]))
    put(fresh_database, made, state)
    return made


def put(fresh_database: FreshDatabase, commission_id: str, state: str) -> None:
    """Write a state past all rules."""
    with psycopg.connect(
        fresh_database.postgres.build_conninfo(user="postgres", dbname=fresh_database.name)
    ) as connection:
        connection.execute("SET session_replication_role = replica")
        connection.execute(
            "UPDATE commissions SET state = %s, payout_id = CASE WHEN %s = 'paid' THEN id END WHERE id = %s",
            (state, state, commission_id),
        )


def decide(client: ApiClient, commission_id: str, decision: str = "approve", reason: str = "As agreed.") -> ApiReply:
    return client.call("POST", DECISION, {"decision": decision, "reason": reason}, commission_id=commission_id)


def read_state(fresh_database: FreshDatabase, commission_id: str) -> str:
    return str(fresh_database.query_rows("SELECT state FROM commissions WHERE id = %s", commission_id)[0]["state"])


@pytest.mark.parametrize(("state", "decision"), list(itertools.product(STATES, PAST)))
def test_staff_change_a_commission_as_its_states_allow(
    fresh_database: FreshDatabase, client: ApiClient, state: str, decision: str
) -> None:
    """The pairs of states in the table are made and audited; all others are 409 and change nothing."""
    made = add_commission(fresh_database, state)
    reply = decide(client, made, decision)
    audited = fresh_database.query_rows("SELECT action, facts FROM audit WHERE subject_id = %s", made)
    if (state, decision) in DECISIONS:
        assert (reply.status, reply.json["state"]) == (200, DECISIONS[state, decision])
        assert audited == [{"action": PAST[decision], "facts": {}}]
    else:
        assert (reply.status, reply.problem, read_state(fresh_database, made)) == (
            409,
            "commission-move-not-allowed",
            state,
        )
        assert audited == []


def test_the_reason_stays_on_the_commission(
    fresh_database: FreshDatabase, client: ApiClient, staff: dict[str, str]
) -> None:
    """Staff read it with who decided and when; the audit has only ids."""
    made = add_commission(fresh_database)
    decided = decide(client, made, reason="Besa confirmed it by phone.").json["decision"]
    assert decided["reason"] == "Besa confirmed it by phone."
    assert f"sub-{decided['decided_by']}" == staff["sub"]
    [entry] = fresh_database.query_rows("SELECT actor, facts FROM audit WHERE subject_id = %s", made)
    assert entry == {"actor": staff["sub"], "facts": {}}
    assert decide(client, made, "void", "Paid to somebody else.").json["decision"]["reason"] == "Paid to somebody else."


@pytest.mark.parametrize("decision", PAST)
def test_nobody_decides_about_a_commission_of_their_own(
    fresh_database: FreshDatabase, client: ApiClient, decision: str
) -> None:
    """Somebody else must decide, whatever groups the token names."""
    agent_id, code = add_agent(fresh_database)
    made = find_commission(fresh_database, add_signed_up_member(fresh_database, code))
    for groups in ("staff", "admin", "agent,staff"):
        fresh_database.query_rows("UPDATE accounts SET role = %s WHERE id = %s", groups.rpartition(",")[2], agent_id)
        me = client.sign_in_as({**sign_in(fresh_database, agent_id), "cognito:groups": groups})
        reply = decide(me, made, decision)
        assert (reply.status, reply.problem) == (403, "own-commission")
    assert read_state(fresh_database, made) == "pending"
    assert decide(client, made, decision).status == 200


@pytest.mark.parametrize("state", ["pending", "suspended", "rejected"])
def test_nothing_is_approved_while_its_agent_is_not_active(
    fresh_database: FreshDatabase, client: ApiClient, state: str
) -> None:
    """It can be once they are, with the same key; and it can be voided at any time."""
    agent_id, code = add_agent(fresh_database)
    one, two = (find_commission(fresh_database, add_signed_up_member(fresh_database, code)) for _ in range(2))
    with psycopg.connect(
        fresh_database.postgres.build_conninfo(user="postgres", dbname=fresh_database.name)
    ) as connection:
        connection.execute("SET session_replication_role = replica")
        connection.execute("UPDATE agents SET state = %s WHERE id = %s", (state, agent_id))
    body = {"decision": "approve", "reason": "As agreed."}
    refused = client.call("POST", DECISION, body, key=f"approve-{one}", commission_id=one)
    assert (refused.status, refused.problem) == (409, "commission-agent-not-active")
    assert decide(client, two, "void").status == 200
    with psycopg.connect(
        fresh_database.postgres.build_conninfo(user="postgres", dbname=fresh_database.name)
    ) as connection:
        connection.execute("SET session_replication_role = replica")
        connection.execute("UPDATE agents SET state = 'active' WHERE id = %s", (agent_id,))
    assert client.call("POST", DECISION, body, key=f"approve-{one}", commission_id=one).status == 200


def test_nothing_is_approved_before_its_member_has_signed_in(fresh_database: FreshDatabase, client: ApiClient) -> None:
    """Anyone can register anyone's address; nobody earns by that."""
    member = add_signed_up_member(fresh_database, add_agent(fresh_database)[1], proven=False)
    made = find_commission(fresh_database, member)
    refused = decide(client, made)
    assert (refused.status, refused.problem) == (409, "commission-member-not-proven")
    assert "signed in" in refused.json["detail"]
    fresh_database.query_rows("UPDATE accounts SET proven_at = now() WHERE id = %s", member)
    assert decide(client, made).status == 200


def test_an_approval_waits_for_a_suspension_that_is_under_way(fresh_database: FreshDatabase, client: ApiClient) -> None:
    """It is refused afterwards, since the agent is suspended by then."""
    agent_id, code = add_agent(fresh_database)
    made = find_commission(fresh_database, add_signed_up_member(fresh_database, code))
    with ThreadPoolExecutor(1) as pool:
        with psycopg.connect(fresh_database.postgres.build_conninfo(dbname=fresh_database.name)) as suspending:
            suspending.execute("UPDATE agents SET state = 'suspended' WHERE id = %s", (agent_id,))
            approval = pool.submit(decide, client, made)
            wait_until(lambda: bool(fresh_database.query_rows(WAITING)), "the approval does not wait")
        assert approval.result().problem == "commission-agent-not-active"
    assert read_state(fresh_database, made) == "pending"


def test_ten_decisions_at_once_have_one_winner(fresh_database: FreshDatabase, client: ApiClient) -> None:
    """One is written and the others come too late: a void may follow an approval, and nothing a void."""
    made = add_commission(fresh_database)
    clients = [make_client(api, fresh_database).sign_in_as(client.claims) for _ in range(10)]
    with ThreadPoolExecutor(10) as pool:
        replies = list(pool.map(lambda one: decide(one, made), clients))
    assert sorted(reply.status for reply in replies) == [200] + [409] * 9


def test_staff_and_admins_decide_and_nobody_else(fresh_database: FreshDatabase, client: ApiClient) -> None:
    """Staff get 404 for an unknown id; all others are refused."""
    agent_id, code = add_agent(fresh_database)
    member = add_signed_up_member(fresh_database, code)
    made = find_commission(fresh_database, member)
    for account in (agent_id, member):
        me = client.sign_in_as(sign_in(fresh_database, account))
        assert decide(me, made).status in (403, 404)
        assert me.call("GET", "/commissions").status in (403, 404)
    assert client.sign_in_as(None).call("GET", "/commissions").status == 401
    assert decide(client, NOBODY).problem == "not-found"
    assert read_state(fresh_database, made) == "pending"


@pytest.mark.parametrize(
    ("body", "pointers"),
    [
        ({"decision": "pay", "reason": "As agreed."}, ["/decision"]),
        ({"decision": "approve"}, ["/reason"]),
        ({"decision": "approve", "reason": ""}, ["/reason"]),
        ({"decision": "approve", "reason": "As agreed.", "amount": "7.00"}, ["/amount"]),
    ],
)
def test_a_decision_names_what_and_why(client: ApiClient, body: dict[str, Any], pointers: list[str]) -> None:
    """Nobody pays by hand, and nothing else is changed on the way."""
    reply = client.call("POST", DECISION, body, commission_id=NOBODY)
    assert (reply.status, reply.pointers) == (422, pointers)


def list_all(client: ApiClient, **query: str) -> list[dict[str, Any]]:
    """Return all pages of a listing, two at a time."""
    items: list[dict[str, Any]] = []
    cursor: str | None = None
    while True:
        page = client.call(
            "GET", "/commissions", query={"limit": "2", **query, **({"cursor": cursor} if cursor else {})}
        )
        assert page.status == 200, page.body
        items += page.json["items"]
        cursor = page.json["next_cursor"]
        if cursor is None:
            return items


def test_staff_list_commissions_by_state_and_agent(fresh_database: FreshDatabase, client: ApiClient) -> None:
    """Newest first, each once, with who earned it by whom."""
    agent_id, code = add_agent(fresh_database)
    members = [add_signed_up_member(fresh_database, code) for _ in range(3)]
    made = [find_commission(fresh_database, member) for member in members]
    decide(client, made[0])
    listed = list_all(client, agent=agent_id)
    assert [one["id"] for one in listed] == made[::-1]
    assert {one["agent"]["id"] for one in listed} == {agent_id}
    assert [one["member"]["id"] for one in listed] == members[::-1]
    assert {key: listed[-1][key] for key in ("kind", "state", "rate", "amount", "currency")} == {
        "kind": "new", "state": "approved", "rate": "0.2000", "amount": "7.00", "currency": "EUR",
    }  # fmt: skip
    assert [one["id"] for one in list_all(client, agent=agent_id, state="approved")] == [made[0]]
    assert (
        len(list_all(client)) == len(list_all(client, agent=agent_id.upper())) + fresh_database.count("commissions") - 3
    )
    assert list_all(client, agent=NOBODY) == []


def test_a_cursor_belongs_to_its_filters(fresh_database: FreshDatabase, client: ApiClient) -> None:
    """A cursor of another listing is refused."""
    _, code = add_agent(fresh_database)
    for _ in range(2):
        add_signed_up_member(fresh_database, code)
    cursor = client.call("GET", "/commissions", query={"limit": "1"}).json["next_cursor"]
    assert client.call("GET", "/commissions", query={"state": "pending", "cursor": cursor}).status == 422


@pytest.mark.parametrize(
    "query", [{"state": "open"}, {"agent": "me"}, {"agent": f"{{{NOBODY}}}"}, {"status": "pending"}, {"limit": "0"}]
)
def test_a_filter_that_is_none_is_named(client: ApiClient, query: dict[str, str]) -> None:
    """A wrong filter must not list all commissions."""
    reply = client.call("GET", "/commissions", query=query)
    assert (reply.status, reply.pointers) == (422, list(query))


def test_an_agent_reads_what_became_of_their_commissions(fresh_database: FreshDatabase, client: ApiClient) -> None:
    """They see the states; the reasons are for staff."""
    agent_id, code = add_agent(fresh_database)
    made = find_commission(fresh_database, add_signed_up_member(fresh_database, code))
    admin = sign_in(fresh_database, str(RecordFixtures(fresh_database).add_account("admin")))
    decide(client.sign_in_as(admin), made, "void", "Besa is her sister.")
    me = client.sign_in_as(sign_in(fresh_database, agent_id))
    reply = me.call("GET", "/agents/me/commissions")
    assert [one["state"] for one in reply.json["items"]] == ["void"]
    assert "sister" not in reply.body


def make_members_client(fresh_database: FreshDatabase, days: int) -> ApiClient:
    """Return the members function for staff, `days` after the members of these tests have registered."""
    clock = ManualClock(TODAY + timedelta(days=days))
    return make_client(members_api, fresh_database, clock=clock).sign_in_as(
        sign_in(fresh_database, str(RecordFixtures(fresh_database).add_account("staff")))
    )


def cancel(fresh_database: FreshDatabase, member: str, days: int) -> str:
    """Cancel `days` after the registration; return the account that did."""
    client = make_members_client(fresh_database, days)
    reply = client.call("POST", "/members/{member_id}/cancellation", member_id=member)
    assert (reply.status, client.claims is not None) == (200, True)
    return str((client.claims or {})["sub"])


def renew(fresh_database: FreshDatabase, member: str, days: int) -> str:
    """Renew `days` after the registration; return the commission that this earns."""
    client = make_members_client(fresh_database, days)
    reply = client.call("POST", "/members/{member_id}/renewals", key=f"renew-{get_next_serial()}", member_id=member)
    assert reply.status == 201, reply.body
    return find_commission(fresh_database, member)


@pytest.mark.parametrize("before", ["pending", "approved"])
@pytest.mark.parametrize(("days", "voids"), [(0, True), (13, True), (14, True), (15, False), (200, False)])
def test_a_cancellation_within_14_days_voids(
    fresh_database: FreshDatabase, before: str, days: int, *, voids: bool
) -> None:
    """The days count from the period's first day; a commission that was already approved is voided too."""
    member = add_signed_up_member(fresh_database, add_agent(fresh_database)[1])
    made = find_commission(fresh_database, member)
    put(fresh_database, made, before)
    who = cancel(fresh_database, member, days)
    assert read_state(fresh_database, made) == ("void" if voids else before)
    audited = fresh_database.query_rows("SELECT action, actor, facts FROM audit WHERE subject_id = %s", made)
    entry = {"action": "commission.voided", "actor": who, "facts": {"cause": "membership.cancellation_requested"}}
    assert audited == ([entry] if voids else [])


def test_what_is_paid_stays_paid(fresh_database: FreshDatabase, client: ApiClient) -> None:
    """A cancellation does not void it; people ask for the money back."""
    member = add_signed_up_member(fresh_database, add_agent(fresh_database)[1])
    made = find_commission(fresh_database, member)
    put(fresh_database, made, "paid")
    cancel(fresh_database, member, 3)
    assert read_state(fresh_database, made) == "paid"


@pytest.mark.parametrize(
    ("renewed", "canceled", "voids"),
    [
        (360, 366, True),  # the new period's second day
        (360, 362, True),  # three days before its first
        (360, 379, True),
        (360, 380, False),
        (10, 20, False),  # a year ahead: it is paid for, and used to its end
    ],
)
def test_a_cancellation_after_a_renewal_counts_from_the_new_period(
    fresh_database: FreshDatabase, renewed: int, canceled: int, *, voids: bool
) -> None:
    """The commission of the year before stays earned."""
    member = add_signed_up_member(fresh_database, add_agent(fresh_database)[1])
    first, second = find_commission(fresh_database, member), renew(fresh_database, member, renewed)
    cancel(fresh_database, member, canceled)
    assert (read_state(fresh_database, first), read_state(fresh_database, second)) == (
        "pending",
        "void" if voids else "pending",
    )


def test_a_second_cancellation_voids_nothing(fresh_database: FreshDatabase) -> None:
    """It changes nothing at all, also where the first one was too far away to void."""
    member = add_signed_up_member(fresh_database, add_agent(fresh_database)[1])
    made = renew(fresh_database, member, 300)
    cancel(fresh_database, member, 340)
    cancel(fresh_database, member, 366)
    assert read_state(fresh_database, made) == "pending"


def test_a_suspended_agents_clients_earn_by_renewing(fresh_database: FreshDatabase, client: ApiClient) -> None:
    """Pending like any other, and approved once the agent is active again; nobody new comes by their code."""
    agent_id, code = add_agent(fresh_database)
    member = add_signed_up_member(fresh_database, code)
    fresh_database.query_rows("UPDATE agents SET state = 'suspended' WHERE id = %s", agent_id)
    made = renew(fresh_database, member, 1)
    listed = client.call("GET", "/commissions", query={"agent": agent_id}).json["items"]
    assert [(one["kind"], one["state"], one["amount"]) for one in listed if one["id"] == made] == [
        ("renewal", "pending", "3.50")
    ]
    assert decide(client, made).problem == "commission-agent-not-active"
    body = make_person(referral_code=code)
    refused = make_client(members_api, fresh_database).call("POST", "/members", body, key=f"key-{get_next_serial()}")
    assert (refused.status, refused.problem) == (422, "referral-code-unknown")
    fresh_database.query_rows("UPDATE agents SET state = 'active' WHERE id = %s", agent_id)
    assert decide(client, made).status == 200


ALLOWED = {("pending", "approved"), ("pending", "void"), ("approved", "void")}


@pytest.mark.parametrize(("before", "after"), list(itertools.permutations(STATES, 2)))
def test_the_database_itself_refuses_other_transitions(fresh_database: FreshDatabase, before: str, after: str) -> None:
    """A trigger refuses them, whoever writes."""
    made = add_commission(fresh_database, before)
    move = "UPDATE commissions SET state = %s WHERE id = %s"
    if (before, after) in ALLOWED:
        fresh_database.query_rows(move, after, made)
    elif (before, after) != ("approved", "paid"):
        with pytest.raises(psycopg.DatabaseError, match="commission-move-not-allowed"):
            fresh_database.query_rows(move, after, made)
