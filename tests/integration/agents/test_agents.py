"""Agents, on a real database: an application, what staff decide, and what an agent may see."""

import itertools
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import psycopg
import pytest

from agents import app, referral
from agents.app import api
from members.app import api as members_api
from tests.databases import Blank
from tests.harness import STAFF, Client, Reply, claims_of
from tests.integration.room import agent, room, serial, sign_in
from tests.people import applicant, person

DECISIONS = {
    ("pending", "approve"): "active",
    ("pending", "reject"): "rejected",
    ("active", "suspend"): "suspended",
    ("suspended", "reinstate"): "active",
}
STATES = ("pending", "active", "suspended", "rejected")


@pytest.fixture
def client(blank: Blank) -> Client:
    return room(api, blank)


def apply(client: Client, **changes: Any) -> Reply:
    return client.call("POST", "/agents", applicant(**changes), key=f"key-{serial()}")


def decide(client: Client, agent_id: str, decision: str) -> Reply:
    body = {"decision": decision, "reason": "Checked."}
    return client.as_(STAFF).call("POST", "/agents/{agent_id}/decision", body, agent_id=agent_id)


def test_an_application_is_pending_with_a_code_and_two_jobs(blank: Blank, client: Client) -> None:
    """The sign-in is made, the applicant is told; nothing is active before staff have decided."""
    reply = apply(client)
    assert (reply.status, reply.json["state"], reply.json["tier"]) == (201, "pending", "standard")
    assert reply.json["referral_code"].startswith("ARTA-")
    jobs = blank.rows("SELECT kind, payload FROM outbox WHERE subject_id = %s ORDER BY kind", reply.json["id"])
    assert [job["kind"] for job in jobs] == ["identity", "mail"]
    assert jobs[1]["payload"]["template"] == "agent-received"


def test_twenty_at_once_of_one_name_have_twenty_codes(blank: Blank) -> None:
    """Unique by the constraint, whoever makes them."""
    clients = [room(api, blank) for _ in range(20)]
    with ThreadPoolExecutor(20) as pool:
        replies = list(pool.map(apply, clients))
    assert [reply.status for reply in replies] == [201] * 20
    assert len({reply.json["referral_code"] for reply in replies}) == 20


def test_a_code_that_is_taken_is_made_again(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    """A collision is nobody's business but ours."""
    taken = apply(client).json["referral_code"]
    codes = iter([taken, taken, "ARTA-ZZZZ"])
    monkeypatch.setattr(app, "referral_code", lambda _name: next(codes))
    assert apply(client).json["referral_code"] == "ARTA-ZZZZ"


@pytest.mark.parametrize(
    ("name", "head"),
    [
        ("Arta Krasniqi", "ARTA"),
        ("Žarko Šarić", "ZARKO"),
        ("Љубица Ђорђевић", "LJUBICA"),
        ("Ѓорѓи Џ", "GJORGJI"),
        ("Konstantinos X", "KONSTANT"),
        ("李 小龍", "AGENT"),
        ("O'Neil Shaq", "ONEIL"),
    ],
)
def test_a_code_begins_with_the_first_name_in_latin_letters(name: str, head: str) -> None:
    """Up to eight of them; then four characters nobody confuses."""
    code_head, _, tail = referral.referral_code(name).partition("-")
    assert (code_head, len(tail)) == (head, 4)
    assert set(tail).isdisjoint("ILOU")


@pytest.mark.parametrize(
    ("state", "decision"), list(itertools.product(STATES, ("approve", "reject", "suspend", "reinstate")))
)
def test_staff_move_an_agent_as_the_states_allow(blank: Blank, client: Client, state: str, decision: str) -> None:
    """Every pair: those of the table move and are audited, all others are 409 and change nothing."""
    agent_id, _ = agent(blank, state=state)
    reply = decide(client, agent_id, decision)
    after = blank.rows("SELECT state, version FROM agents WHERE id = %s", agent_id)[0]
    audited = blank.rows("SELECT action FROM audit WHERE subject_id = %s", agent_id)
    if (state, decision) in DECISIONS:
        assert (reply.status, after) == (200, {"state": DECISIONS[state, decision], "version": 2})
        assert audited == [{"action": f"agent.{decision}"}]
    else:
        assert (reply.status, reply.problem, after) == (409, "decision-not-allowed", {"state": state, "version": 1})
        assert audited == []


@pytest.mark.parametrize(("before", "after"), list(itertools.permutations(STATES, 2)))
def test_the_database_itself_refuses_other_moves(blank: Blank, before: str, after: str) -> None:
    """Whoever writes."""
    agent_id, _ = agent(blank, state=before)
    allowed = any(state == before and to == after for (state, _), to in DECISIONS.items())
    if allowed:
        blank.rows("UPDATE agents SET state = %s WHERE id = %s", after, agent_id)
    else:
        with pytest.raises(psycopg.DatabaseError, match="decision-not-allowed"):
            blank.rows("UPDATE agents SET state = %s WHERE id = %s", after, agent_id)


@pytest.mark.parametrize(("decision", "mails"), [("approve", ["agent-approved"]), ("reject", ["agent-rejected"])])
def test_an_applicant_is_told_the_decision(blank: Blank, client: Client, decision: str, mails: list[str]) -> None:
    """Once, with the reason."""
    agent_id, _ = agent(blank, state="pending")
    decide(client, agent_id, decision)
    sent = blank.rows("SELECT payload FROM outbox WHERE subject_id = %s", agent_id)
    assert [job["payload"]["template"] for job in sent] == mails
    assert sent[0]["payload"]["facts"] == {"reason": "Checked."}


def test_two_decisions_at_once_have_one_winner(blank: Blank) -> None:
    """Approve and reject: one is written, the other finds that it came too late."""
    agent_id, _ = agent(blank, state="pending")
    clients = [room(api, blank) for _ in range(10)]
    with ThreadPoolExecutor(10) as pool:
        replies = list(pool.map(lambda c: decide(c[1], agent_id, ("approve", "reject")[c[0] % 2]), enumerate(clients)))
    assert sorted(reply.status for reply in replies) == [200] + [409] * 9


def test_only_staff_decide_and_only_about_agents_there_are(blank: Blank, client: Client) -> None:
    """An agent does not approve themselves; an id nobody has is 404."""
    agent_id, _ = agent(blank, state="pending")
    body = {"decision": "approve", "reason": "Me."}
    me = client.as_(sign_in(blank, agent_id))
    assert me.call("POST", "/agents/{agent_id}/decision", body, agent_id=agent_id).status == 403
    assert decide(client, "01a20ba6-afb6-76d1-9556-a703ff01d17a", "approve").status == 404


def test_an_agent_reads_themselves_and_nobody_else(blank: Blank, client: Client) -> None:
    """Another's record is 404; staff read all, by state."""
    (one, _), (two, _) = agent(blank), agent(blank, state="suspended")
    me = client.as_(sign_in(blank, one))
    assert me.call("GET", "/agents/me").json["id"] == one
    assert me.call("GET", "/agents/{agent_id}", agent_id=two).status == 404
    assert me.call("GET", "/agents").status == 403
    listed = client.as_(STAFF).call("GET", "/agents", query={"status": "suspended", "limit": "100"}).json["items"]
    assert two in [item["id"] for item in listed]
    assert {item["state"] for item in listed} == {"suspended"}


def test_an_agent_sees_their_own_clients_and_nothing_of_claims(blank: Blank, client: Client) -> None:
    """Names, numbers, membership; another agent's clients are not theirs, and a cursor does not lead there."""
    members = room(members_api, blank)
    (one, one_code), (two, two_code) = agent(blank), agent(blank)
    mine = [
        members.call("POST", "/members", person(referral_code=one_code), key=f"k{serial()}").json["id"]
        for _ in range(3)
    ]
    members.call("POST", "/members", person(referral_code=two_code), key=f"k{serial()}")
    me, other = client.as_(sign_in(blank, one)), client.as_(sign_in(blank, two))
    first = me.call("GET", "/agents/me/clients", query={"limit": "2"}).json
    rest = me.call("GET", "/agents/me/clients", query={"limit": "2", "cursor": first["next_cursor"]}).json
    assert [c["id"] for c in first["items"] + rest["items"]] == list(reversed(mine))
    assert set(first["items"][0]) == {"id", "number", "full_name", "membership_state", "membership_ends_on"}
    assert other.call("GET", "/agents/me/clients", query={"cursor": first["next_cursor"]}).status == 422
    assert len(me.call("GET", "/agents/me/commissions").json["items"]) == 3


@pytest.mark.parametrize("state", ["pending", "suspended", "rejected"])
@pytest.mark.parametrize("path", ["/agents/me/clients", "/agents/me/commissions"])
def test_an_agent_who_is_not_active_sees_no_clients(blank: Blank, client: Client, state: str, path: str) -> None:
    """403 with the reason; their own record they may still read."""
    agent_id, _ = agent(blank, state=state)
    me = client.as_(sign_in(blank, agent_id))
    assert me.call("GET", path).problem == "agent-not-active"
    assert me.call("GET", "/agents/me").status == 200


def test_a_member_is_no_agent(client: Client) -> None:
    """Groups decide, and then the record."""
    assert client.as_(claims_of("nobody", "member")).call("GET", "/agents/me").status == 403
    assert client.as_(claims_of("nobody", "agent")).call("GET", "/agents/me").status == 404
