"""Commissions, on a real database: what staff may do with them, and what nobody may."""

import itertools
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any

import psycopg
import pytest

from agents.app import api
from members.app import api as members_api
from tests.databases import Blank
from tests.failover.servers import wait_until
from tests.fakes.clock import ManualClock
from tests.harness import Client, Reply
from tests.integration.jobs.records import Records
from tests.integration.room import TODAY, agent, room, serial, sign_in
from tests.people import person

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
def staff(blank: Blank) -> dict[str, str]:
    """The claims of a member of staff with an account."""
    return sign_in(blank, str(Records(blank).account("staff")))


@pytest.fixture
def client(blank: Blank, staff: dict[str, str]) -> Client:
    return room(api, blank).as_(staff)


def signed_up(blank: Blank, code: str, *, proven: bool = True) -> str:
    """A new client of an agent's, who has signed in where they are proven; their id."""
    reply = room(members_api, blank).call("POST", "/members", person(referral_code=code), key=f"key-{serial()}")
    assert reply.status == 201, reply.body
    if proven:
        blank.rows("UPDATE accounts SET proven_at = now() WHERE id = %s", reply.json["id"])
    return str(reply.json["id"])


def commission(blank: Blank, member: str) -> str:
    """The latest commission that a member has earned somebody."""
    return str(
        blank.rows("SELECT id FROM commissions WHERE member_id = %s ORDER BY period_starts_on", member)[-1]["id"]
    )


def earned(blank: Blank, state: str = "pending") -> str:
    """A commission in a state."""
    made = commission(blank, signed_up(blank, agent(blank)[1]))
    put(blank, made, state)
    return made


def put(blank: Blank, commission_id: str, state: str) -> None:
    """Write a state past all rules."""
    with psycopg.connect(blank.postgres.conninfo(user="postgres", dbname=blank.name)) as connection:
        connection.execute("SET session_replication_role = replica")
        connection.execute(
            "UPDATE commissions SET state = %s, payout_id = CASE WHEN %s = 'paid' THEN id END WHERE id = %s",
            (state, state, commission_id),
        )


def decide(client: Client, commission_id: str, decision: str = "approve", reason: str = "As agreed.") -> Reply:
    return client.call("POST", DECISION, {"decision": decision, "reason": reason}, commission_id=commission_id)


def state_of(blank: Blank, commission_id: str) -> str:
    return str(blank.rows("SELECT state FROM commissions WHERE id = %s", commission_id)[0]["state"])


@pytest.mark.parametrize(("state", "decision"), list(itertools.product(STATES, PAST)))
def test_staff_move_a_commission_as_its_states_allow(blank: Blank, client: Client, state: str, decision: str) -> None:
    """Every pair: those of the table move and are audited, all others are 409 and change nothing."""
    made = earned(blank, state)
    reply = decide(client, made, decision)
    audited = blank.rows("SELECT action, facts FROM audit WHERE subject_id = %s", made)
    if (state, decision) in DECISIONS:
        assert (reply.status, reply.json["state"]) == (200, DECISIONS[state, decision])
        assert audited == [{"action": PAST[decision], "facts": {}}]
    else:
        assert (reply.status, reply.problem, state_of(blank, made)) == (409, "commission-move-not-allowed", state)
        assert audited == []


def test_the_reason_stays_on_the_commission(blank: Blank, client: Client, staff: dict[str, str]) -> None:
    """With who decided and when, for staff to read; the audit has ids alone."""
    made = earned(blank)
    decided = decide(client, made, reason="Besa confirmed it by phone.").json["decision"]
    assert decided["reason"] == "Besa confirmed it by phone."
    assert f"sub-{decided['decided_by']}" == staff["sub"]
    [entry] = blank.rows("SELECT actor, facts FROM audit WHERE subject_id = %s", made)
    assert entry == {"actor": staff["sub"], "facts": {}}
    assert decide(client, made, "void", "Paid to somebody else.").json["decision"]["reason"] == "Paid to somebody else."


@pytest.mark.parametrize("decision", PAST)
def test_nobody_decides_about_a_commission_of_their_own(blank: Blank, client: Client, decision: str) -> None:
    """Whatever groups their token names; somebody else does it."""
    agent_id, code = agent(blank)
    made = commission(blank, signed_up(blank, code))
    for groups in ("staff", "admin", "agent,staff"):
        blank.rows("UPDATE accounts SET role = %s WHERE id = %s", groups.rpartition(",")[2], agent_id)
        me = client.as_({**sign_in(blank, agent_id), "cognito:groups": groups})
        reply = decide(me, made, decision)
        assert (reply.status, reply.problem) == (403, "own-commission")
    assert state_of(blank, made) == "pending"
    assert decide(client, made, decision).status == 200


@pytest.mark.parametrize("state", ["pending", "suspended", "rejected"])
def test_nothing_is_approved_while_its_agent_is_not_active(blank: Blank, client: Client, state: str) -> None:
    """It can be once they are, with the same key; and it can be voided at any time."""
    agent_id, code = agent(blank)
    one, two = (commission(blank, signed_up(blank, code)) for _ in range(2))
    with psycopg.connect(blank.postgres.conninfo(user="postgres", dbname=blank.name)) as connection:
        connection.execute("SET session_replication_role = replica")
        connection.execute("UPDATE agents SET state = %s WHERE id = %s", (state, agent_id))
    body = {"decision": "approve", "reason": "As agreed."}
    refused = client.call("POST", DECISION, body, key=f"approve-{one}", commission_id=one)
    assert (refused.status, refused.problem) == (409, "commission-agent-not-active")
    assert decide(client, two, "void").status == 200
    with psycopg.connect(blank.postgres.conninfo(user="postgres", dbname=blank.name)) as connection:
        connection.execute("SET session_replication_role = replica")
        connection.execute("UPDATE agents SET state = 'active' WHERE id = %s", (agent_id,))
    assert client.call("POST", DECISION, body, key=f"approve-{one}", commission_id=one).status == 200


def test_nothing_is_approved_before_its_member_has_signed_in(blank: Blank, client: Client) -> None:
    """Anyone can register anyone's address; nobody earns by that."""
    member = signed_up(blank, agent(blank)[1], proven=False)
    made = commission(blank, member)
    refused = decide(client, made)
    assert (refused.status, refused.problem) == (409, "commission-member-not-proven")
    assert "signed in" in refused.json["detail"]
    blank.rows("UPDATE accounts SET proven_at = now() WHERE id = %s", member)
    assert decide(client, made).status == 200


def test_an_approval_waits_for_a_suspension_that_is_under_way(blank: Blank, client: Client) -> None:
    """And is refused then: nothing is approved of an agent who is already suspended."""
    agent_id, code = agent(blank)
    made = commission(blank, signed_up(blank, code))
    with ThreadPoolExecutor(1) as pool:
        with psycopg.connect(blank.postgres.conninfo(dbname=blank.name)) as suspending:
            suspending.execute("UPDATE agents SET state = 'suspended' WHERE id = %s", (agent_id,))
            approval = pool.submit(decide, client, made)
            wait_until(lambda: bool(blank.rows(WAITING)), "the approval does not wait")
        assert approval.result().problem == "commission-agent-not-active"
    assert state_of(blank, made) == "pending"


def test_ten_decisions_at_once_have_one_winner(blank: Blank, client: Client) -> None:
    """One is written, the others find that they came too late: a void may follow an approval, nothing a void."""
    made = earned(blank)
    clients = [room(api, blank).as_(client.claims) for _ in range(10)]
    with ThreadPoolExecutor(10) as pool:
        replies = list(pool.map(lambda one: decide(one, made), clients))
    assert sorted(reply.status for reply in replies) == [200] + [409] * 9


def test_staff_and_admins_decide_and_nobody_else(blank: Blank, client: Client) -> None:
    """An id nobody has is 404, for staff."""
    agent_id, code = agent(blank)
    member = signed_up(blank, code)
    made = commission(blank, member)
    for account in (agent_id, member):
        me = client.as_(sign_in(blank, account))
        assert decide(me, made).status in (403, 404)
        assert me.call("GET", "/commissions").status in (403, 404)
    assert client.as_(None).call("GET", "/commissions").status == 401
    assert decide(client, NOBODY).problem == "not-found"
    assert state_of(blank, made) == "pending"


@pytest.mark.parametrize(
    ("body", "pointers"),
    [
        ({"decision": "pay", "reason": "As agreed."}, ["/decision"]),
        ({"decision": "approve"}, ["/reason"]),
        ({"decision": "approve", "reason": ""}, ["/reason"]),
        ({"decision": "approve", "reason": "As agreed.", "amount": "7.00"}, ["/amount"]),
    ],
)
def test_a_decision_names_what_and_why(client: Client, body: dict[str, Any], pointers: list[str]) -> None:
    """Nobody pays by hand, and nothing else is changed on the way."""
    reply = client.call("POST", DECISION, body, commission_id=NOBODY)
    assert (reply.status, reply.pointers) == (422, pointers)


def every(client: Client, **query: str) -> list[dict[str, Any]]:
    """All pages of a listing, two at a time."""
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


def test_staff_list_commissions_by_state_and_agent(blank: Blank, client: Client) -> None:
    """Newest first, each once, with who earned it by whom."""
    agent_id, code = agent(blank)
    members = [signed_up(blank, code) for _ in range(3)]
    made = [commission(blank, member) for member in members]
    decide(client, made[0])
    listed = every(client, agent=agent_id)
    assert [one["id"] for one in listed] == made[::-1]
    assert {one["agent"]["id"] for one in listed} == {agent_id}
    assert [one["member"]["id"] for one in listed] == members[::-1]
    assert {key: listed[-1][key] for key in ("kind", "state", "rate", "amount", "currency")} == {
        "kind": "new", "state": "approved", "rate": "0.2000", "amount": "7.00", "currency": "EUR",
    }  # fmt: skip
    assert [one["id"] for one in every(client, agent=agent_id, state="approved")] == [made[0]]
    assert len(every(client)) == len(every(client, agent=agent_id.upper())) + blank.count("commissions") - 3
    assert every(client, agent=NOBODY) == []


def test_a_cursor_belongs_to_its_filters(blank: Blank, client: Client) -> None:
    """One of another listing is refused."""
    _, code = agent(blank)
    for _ in range(2):
        signed_up(blank, code)
    cursor = client.call("GET", "/commissions", query={"limit": "1"}).json["next_cursor"]
    assert client.call("GET", "/commissions", query={"state": "pending", "cursor": cursor}).status == 422


@pytest.mark.parametrize(
    "query", [{"state": "open"}, {"agent": "me"}, {"agent": f"{{{NOBODY}}}"}, {"status": "pending"}, {"limit": "0"}]
)
def test_a_filter_that_is_none_is_named(client: Client, query: dict[str, str]) -> None:
    """Never all commissions by mistake."""
    reply = client.call("GET", "/commissions", query=query)
    assert (reply.status, reply.pointers) == (422, list(query))


def test_an_agent_reads_what_became_of_their_commissions(blank: Blank, client: Client) -> None:
    """Their states; not why, which is for staff."""
    agent_id, code = agent(blank)
    made = commission(blank, signed_up(blank, code))
    admin = sign_in(blank, str(Records(blank).account("admin")))
    decide(client.as_(admin), made, "void", "Besa is her sister.")
    me = client.as_(sign_in(blank, agent_id))
    reply = me.call("GET", "/agents/me/commissions")
    assert [one["state"] for one in reply.json["items"]] == ["void"]
    assert "sister" not in reply.body


def members_on(blank: Blank, days: int) -> Client:
    """The members' room, so many days after the members of these tests have registered, to staff."""
    clock = ManualClock(TODAY + timedelta(days=days))
    return room(members_api, blank, clock=clock).as_(sign_in(blank, str(Records(blank).account("staff"))))


def cancel(blank: Blank, member: str, days: int) -> str:
    """Cancel so many days after the registration; the account that did."""
    client = members_on(blank, days)
    reply = client.call("POST", "/members/{member_id}/cancellation", member_id=member)
    assert (reply.status, client.claims is not None) == (200, True)
    return str((client.claims or {})["sub"])


def renew(blank: Blank, member: str, days: int) -> str:
    """Renew so many days after the registration; the commission that this earns."""
    client = members_on(blank, days)
    reply = client.call("POST", "/members/{member_id}/renewals", key=f"renew-{serial()}", member_id=member)
    assert reply.status == 201, reply.body
    return commission(blank, member)


@pytest.mark.parametrize("before", ["pending", "approved"])
@pytest.mark.parametrize(("days", "voids"), [(0, True), (13, True), (14, True), (15, False), (200, False)])
def test_a_cancellation_within_14_days_voids(blank: Blank, before: str, days: int, *, voids: bool) -> None:
    """By itself, counted from the period's first day; a commission that was approved too."""
    member = signed_up(blank, agent(blank)[1])
    made = commission(blank, member)
    put(blank, made, before)
    who = cancel(blank, member, days)
    assert state_of(blank, made) == ("void" if voids else before)
    audited = blank.rows("SELECT action, actor, facts FROM audit WHERE subject_id = %s", made)
    entry = {"action": "commission.voided", "actor": who, "facts": {"cause": "membership.canceled"}}
    assert audited == ([entry] if voids else [])


def test_what_is_paid_stays_paid(blank: Blank, client: Client) -> None:
    """Money that has left is asked back by people."""
    member = signed_up(blank, agent(blank)[1])
    made = commission(blank, member)
    put(blank, made, "paid")
    cancel(blank, member, 3)
    assert state_of(blank, made) == "paid"


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
    blank: Blank, renewed: int, canceled: int, *, voids: bool
) -> None:
    """The year before stays earned."""
    member = signed_up(blank, agent(blank)[1])
    first, second = commission(blank, member), renew(blank, member, renewed)
    cancel(blank, member, canceled)
    assert (state_of(blank, first), state_of(blank, second)) == ("pending", "void" if voids else "pending")


def test_a_second_cancellation_voids_nothing(blank: Blank) -> None:
    """It changes nothing at all, also where the first one was too far away to void."""
    member = signed_up(blank, agent(blank)[1])
    made = renew(blank, member, 300)
    cancel(blank, member, 340)
    cancel(blank, member, 366)
    assert state_of(blank, made) == "pending"


def test_a_suspended_agents_clients_earn_by_renewing(blank: Blank, client: Client) -> None:
    """Pending like any other, and approved once the agent is active again; nobody new comes by their code."""
    agent_id, code = agent(blank)
    member = signed_up(blank, code)
    blank.rows("UPDATE agents SET state = 'suspended' WHERE id = %s", agent_id)
    made = renew(blank, member, 1)
    listed = client.call("GET", "/commissions", query={"agent": agent_id}).json["items"]
    assert [(one["kind"], one["state"], one["amount"]) for one in listed if one["id"] == made] == [
        ("renewal", "pending", "3.50")
    ]
    assert decide(client, made).problem == "commission-agent-not-active"
    body = person(referral_code=code)
    refused = room(members_api, blank).call("POST", "/members", body, key=f"key-{serial()}")
    assert (refused.status, refused.problem) == (422, "referral-code-unknown")
    blank.rows("UPDATE agents SET state = 'active' WHERE id = %s", agent_id)
    assert decide(client, made).status == 200


ALLOWED = {("pending", "approved"), ("pending", "void"), ("approved", "void")}


@pytest.mark.parametrize(("before", "after"), list(itertools.permutations(STATES, 2)))
def test_the_database_itself_refuses_other_moves(blank: Blank, before: str, after: str) -> None:
    """Whoever writes."""
    made = earned(blank, before)
    move = "UPDATE commissions SET state = %s WHERE id = %s"
    if (before, after) in ALLOWED:
        blank.rows(move, after, made)
    elif (before, after) != ("approved", "paid"):
        with pytest.raises(psycopg.DatabaseError, match="commission-move-not-allowed"):
            blank.rows(move, after, made)
