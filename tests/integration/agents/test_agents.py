"""Agents, on a real database: an application, what staff decide, and what an agent may see."""

import itertools
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import psycopg
import pytest

from agents import app, referral_codes
from agents.app import api
from members.app import api as members_api
from tests.api_client import ADMIN, STAFF, ApiClient, ApiReply, make_claims
from tests.databases import FreshDatabase
from tests.integration.function_client import add_agent, get_next_serial, make_client, sign_in
from tests.integration.jobs.records import RecordFixtures
from tests.sample_people import make_applicant, make_person

DECISIONS = {
    ("pending", "approve"): "active",
    ("pending", "reject"): "rejected",
    ("active", "suspend"): "suspended",
    ("suspended", "reinstate"): "active",
}
STATES = ("pending", "active", "suspended", "rejected")
PAST = {"approve": "approved", "reject": "rejected", "suspend": "suspended", "reinstate": "reinstated"}
# Besides what staff decide: a rejected applicant who applies again.
MOVES = {(before, after) for (before, _), after in DECISIONS.items()} | {("rejected", "pending")}


@pytest.fixture
def client(fresh_database: FreshDatabase) -> ApiClient:
    return make_client(api, fresh_database)


def apply(client: ApiClient, **changes: Any) -> ApiReply:
    return client.call("POST", "/agents", make_applicant(**changes), key=f"key-{get_next_serial()}")


def decide(client: ApiClient, agent_id: str, decision: str) -> ApiReply:
    body = {"decision": decision, "reason": "Checked."}
    return client.sign_in_as(STAFF).call("POST", "/agents/{agent_id}/decision", body, agent_id=agent_id)


def list_jobs(fresh_database: FreshDatabase, agent_id: str) -> list[str]:
    """Return the jobs about an agent, by priority and template."""
    jobs = fresh_database.query_rows("SELECT kind, priority, payload FROM outbox WHERE subject_id = %s", agent_id)
    return sorted(f"{job['priority']} {job['payload'].get('template', job['kind'])}" for job in jobs)


def test_an_application_is_pending_with_a_code_and_no_sign_in(fresh_database: FreshDatabase, client: ApiClient) -> None:
    """The applicant gets a mail; there is nothing to sign in with before staff have approved."""
    reply = apply(client)
    assert (reply.status, reply.json["state"], reply.json["tier"]) == (201, "pending", "standard")
    assert reply.json["referral_code"].startswith("ARTA-")
    assert list_jobs(fresh_database, reply.json["id"]) == ["normal agent-received"]


def test_an_approval_makes_the_sign_in(fresh_database: FreshDatabase, client: ApiClient) -> None:
    """It is made with an agent's group, and its job is more urgent than the mail about it."""
    agent_id = apply(client).json["id"]
    decide(client, agent_id, "approve")
    assert list_jobs(fresh_database, agent_id) == ["high identity", "normal agent-approved", "normal agent-received"]
    [made] = fresh_database.query_rows(
        "SELECT payload FROM outbox WHERE subject_id = %s AND kind = 'identity'", agent_id
    )
    origin = made["payload"].pop("origin")
    assert made["payload"] == {"account_id": agent_id, "group": "agent"}
    assert origin.keys() == {"request_id", "traceparent"}


def add_rejected_agent(
    fresh_database: FreshDatabase, client: ApiClient, *, ago: str, **changes: Any
) -> tuple[dict[str, Any], str]:
    """Somebody who was rejected that long ago, and their address."""
    body = make_applicant(**changes)
    agent = client.call("POST", "/agents", body, key=f"key-{get_next_serial()}").json
    assert decide(client, agent["id"], "reject").status == 200
    fresh_database.query_rows("UPDATE agents SET decided_at = now() - %s::interval WHERE id = %s", ago, agent["id"])
    fresh_database.query_rows(
        "UPDATE greetings SET sent_at = now() - %s::interval WHERE address = %s", ago, body["email"]
    )
    return agent, body["email"]


def test_who_was_rejected_may_apply_again_after_30_days(fresh_database: FreshDatabase, client: ApiClient) -> None:
    """The same record is pending again with the new data; its code and the old decision stay."""
    before, email = add_rejected_agent(fresh_database, client, ago="30 days")
    changes = {"full_name": "Arta Gashi", "phone": "+38344555222", "city": "Prizren", "language": "en"}
    reply = apply(client, email=email, **changes)
    assert reply.status == 201, reply.body
    assert {name: reply.json[name] for name in (*changes, "id", "state", "referral_code", "version")} == {
        **changes, "id": before["id"], "state": "pending", "referral_code": before["referral_code"], "version": 3,
    }  # fmt: skip
    assert reply.headers["Location"] == f"/api/agents/{before['id']}"
    assert list_jobs(fresh_database, before["id"]) == ["normal agent-received"] * 2 + ["normal agent-rejected"]
    audited = fresh_database.query_rows("SELECT action FROM audit WHERE subject_id = %s ORDER BY at, id", before["id"])
    assert [entry["action"] for entry in audited] == ["agent.applied", "agent.rejected", "agent.applied_again"]
    assert decide(client, before["id"], "approve").json["state"] == "active"


def test_who_applies_again_begins_with_the_usual_terms(fresh_database: FreshDatabase, client: ApiClient) -> None:
    """A tier and a rate that were agreed on for another application are not this one's."""
    before, email = add_rejected_agent(fresh_database, client, ago="30 days")
    change = {"tier": "vip", "commission_rate": "0.9"}
    path = "/agents/{agent_id}"
    assert client.sign_in_as(ADMIN).call("PATCH", path, change, if_match=2, agent_id=before["id"]).status == 200
    assert apply(client, email=email).json["tier"] == "standard"
    after = client.sign_in_as(STAFF).call("GET", path, agent_id=before["id"]).json
    assert (after["tier"], after["commission_rate"]) == ("standard", None)


def test_until_then_the_address_is_taken_as_any_other(fresh_database: FreshDatabase, client: ApiClient) -> None:
    """The answer shows a stranger nothing else, and nothing changes."""
    before, email = add_rejected_agent(fresh_database, client, ago="29 days 23 hours")
    reply = apply(client, email=email, city="Elsewhere")
    assert (reply.status, reply.problem) == (409, "email-taken")
    assert before["id"] not in reply.body
    assert "30" not in reply.json["detail"]
    after = client.sign_in_as(STAFF).call("GET", "/agents/{agent_id}", agent_id=before["id"]).json
    assert (after["state"], after["city"], after["version"]) == ("rejected", before["city"], 2)


@pytest.mark.parametrize("state", ["pending", "active", "suspended"])
def test_nobody_else_applies_again(fresh_database: FreshDatabase, client: ApiClient, state: str) -> None:
    """Only rejected agents may, however long ago the decision was."""
    agent_id, _ = add_agent(fresh_database, state=state)
    fresh_database.query_rows("UPDATE agents SET decided_at = now() - interval '1 year' WHERE id = %s", agent_id)
    email = fresh_database.query_rows("SELECT email FROM accounts WHERE id = %s", agent_id)[0]["email"]
    assert apply(client, email=email).problem == "email-taken"
    assert fresh_database.query_rows("SELECT state FROM agents WHERE id = %s", agent_id) == [{"state": state}]


def test_a_rejected_agent_who_became_staff_does_not_apply_again(
    fresh_database: FreshDatabase, client: ApiClient
) -> None:
    """Nobody who is not signed in writes into the account of a member of staff."""
    before, email = add_rejected_agent(fresh_database, client, ago="1 year")
    fresh_database.query_rows("UPDATE accounts SET role = 'staff' WHERE id = %s", before["id"])
    assert apply(client, email=email, full_name="Somebody Else").problem == "email-taken"
    assert fresh_database.query_rows("SELECT full_name FROM accounts WHERE id = %s", before["id"]) == [
        {"full_name": "Arta Krasniqi"}
    ]


def test_who_was_rejected_before_decisions_were_dated_waits_from_the_last_change(
    fresh_database: FreshDatabase, client: ApiClient
) -> None:
    """The previous release, which may still run, writes no date of the decision."""
    before, email = add_rejected_agent(fresh_database, client, ago="1 year")
    fresh_database.query_rows("UPDATE agents SET decided_at = NULL WHERE id = %s", before["id"])
    assert apply(client, email=email).problem == "email-taken"
    fresh_database.query_rows("UPDATE agents SET updated_at = now() - interval '30 days' WHERE id = %s", before["id"])
    assert apply(client, email=email).status == 201


def test_ten_who_apply_again_at_once_with_one_address_are_one_application(
    fresh_database: FreshDatabase, client: ApiClient
) -> None:
    """One is taken, and the others find the address taken."""
    before, email = add_rejected_agent(fresh_database, client, ago="31 days")
    clients = [make_client(api, fresh_database) for _ in range(10)]
    with ThreadPoolExecutor(10) as pool:
        replies = list(pool.map(lambda one: apply(one, email=email), clients))
    assert sorted(reply.status for reply in replies) == [201] + [409] * 9
    assert {reply.problem for reply in replies if reply.status == 409} == {"email-taken"}
    assert list_jobs(fresh_database, before["id"]).count("normal agent-received") == 2


def test_applying_again_is_repeated_by_its_key(fresh_database: FreshDatabase, client: ApiClient) -> None:
    """A repeat gets the first answer, also from the row in the database."""
    before, email = add_rejected_agent(fresh_database, client, ago="31 days")
    body = make_applicant(email=email)
    first, again = (
        make_client(api, fresh_database).call("POST", "/agents", body, key=f"again-{before['id']}") for _ in range(2)
    )
    assert (first.status, again.status, again.body) == (201, 201, first.body)


def test_the_decision_stays_on_the_record_and_only_staff_read_it(
    fresh_database: FreshDatabase, client: ApiClient
) -> None:
    """Staff read why, by whom and when; the audit has only ids and the action."""
    agent_id, _ = add_agent(fresh_database)
    staff_id = str(RecordFixtures(fresh_database).add_account("staff"))
    body = {"decision": "suspend", "reason": "Arta wrote to strangers."}
    staff = client.sign_in_as(sign_in(fresh_database, staff_id))
    decided = staff.call("POST", "/agents/{agent_id}/decision", body, agent_id=agent_id).json["decision"]
    assert (decided["reason"], decided["decided_by"]) == ("Arta wrote to strangers.", staff_id)
    read = client.sign_in_as(STAFF).call("GET", "/agents/{agent_id}", agent_id=agent_id).json
    assert read["decision"] == decided
    assert client.sign_in_as(sign_in(fresh_database, agent_id)).call("GET", "/agents/me").json["decision"] is None
    [entry] = fresh_database.query_rows("SELECT action, actor, facts FROM audit WHERE subject_id = %s", agent_id)
    assert entry == {"action": "agent.suspended", "actor": f"sub-{staff_id}", "facts": {}}


def change(client: ApiClient, agent_id: str, version: int, **terms: Any) -> ApiReply:
    return client.sign_in_as(ADMIN).call("PATCH", "/agents/{agent_id}", terms, if_match=version, agent_id=agent_id)


def test_an_admin_changes_tier_and_rate(fresh_database: FreshDatabase, client: ApiClient) -> None:
    """Omitted fields stay; a rate of null brings back the usual rates; each change is a new version and is audited."""
    agent_id, _ = add_agent(fresh_database)
    changes: list[dict[str, Any]] = [
        {"tier": "premium"},
        {"commission_rate": "0.25"},
        {"tier": "vip", "commission_rate": None},
    ]
    seen = [change(client, agent_id, version, **terms).json for version, terms in enumerate(changes, start=1)]
    assert [(one["tier"], one["commission_rate"], one["version"]) for one in seen] == [
        ("premium", None, 2), ("premium", "0.25", 3), ("vip", None, 4),
    ]  # fmt: skip
    audited = fresh_database.query_rows(
        "SELECT action, actor, facts FROM audit WHERE subject_id = %s ORDER BY at, id", agent_id
    )
    assert audited[1] == {"action": "agent.terms_changed", "actor": ADMIN["sub"], "facts": {"commission_rate": "0.25"}}


def test_the_same_terms_again_change_nothing(fresh_database: FreshDatabase, client: ApiClient) -> None:
    """No version and no audit entry, however the rate is written."""
    agent_id, _ = add_agent(fresh_database, rate="0.25")
    for terms in ({"commission_rate": "0.25"}, {"commission_rate": "0.2500"}, {"tier": "standard"}):
        reply = change(client, agent_id, 1, **terms)
        assert (reply.status, reply.json["version"]) == (200, 1)
    assert fresh_database.query_rows("SELECT FROM audit WHERE subject_id = %s", agent_id) == []


@pytest.mark.parametrize(
    ("terms", "pointers"),
    [
        ({"commission_rate": "1.0001"}, ["/commission_rate"]),
        ({"commission_rate": "-0.1"}, ["/commission_rate"]),
        ({"commission_rate": "0.12345"}, ["/commission_rate"]),
        ({"commission_rate": "20 %"}, ["/commission_rate"]),
        ({"commission_rate": 0.2}, ["/commission_rate"]),
        ({"tier": "gold"}, ["/tier"]),
        ({"tier": None}, ["/tier"]),
        ({"state": "active"}, ["/state"]),
        ({}, [""]),
    ],
)
def test_terms_that_are_none_are_refused(
    fresh_database: FreshDatabase, client: ApiClient, terms: dict[str, Any], pointers: list[str]
) -> None:
    """The answer names the field, and the record is unchanged."""
    agent_id, _ = add_agent(fresh_database)
    reply = change(client, agent_id, 1, **terms)
    assert (reply.status, reply.pointers) == (422, pointers)
    assert fresh_database.query_rows("SELECT version FROM agents WHERE id = %s", agent_id) == [{"version": 1}]


@pytest.mark.parametrize(("rate", "shown"), [("0", "0"), ("1", "1"), ("1.0000", "1"), ("0.3333", "0.3333")])
def test_a_rate_is_anything_from_nothing_to_all(
    fresh_database: FreshDatabase, client: ApiClient, rate: str, shown: str
) -> None:
    """Rates from 0 to 1 are valid, both included, with at most four places."""
    agent_id, _ = add_agent(fresh_database)
    assert change(client, agent_id, 1, commission_rate=rate).json["commission_rate"] == shown


def test_only_an_admin_changes_terms_and_only_on_the_version_they_read(
    fresh_database: FreshDatabase, client: ApiClient
) -> None:
    """Staff and the agent may not; a stale version changes nothing, and an unknown id is 404."""
    agent_id, _ = add_agent(fresh_database)
    terms, path = {"tier": "vip"}, "/agents/{agent_id}"
    for claims in (STAFF, sign_in(fresh_database, agent_id)):
        assert client.sign_in_as(claims).call("PATCH", path, terms, if_match=1, agent_id=agent_id).status == 403
    assert change(client, agent_id, 2, **terms).problem == "stale-version"
    assert client.sign_in_as(ADMIN).call("PATCH", path, terms, agent_id=agent_id).problem == "if-match-required"
    assert change(client, "01a20ba6-afb6-76d1-9556-a703ff01d17a", 1, **terms).status == 404
    assert client.sign_in_as(STAFF).call("GET", path, agent_id=agent_id).json["tier"] == "standard"


def test_twenty_at_once_of_one_name_have_twenty_codes(fresh_database: FreshDatabase) -> None:
    """The constraint keeps the codes unique."""
    clients = [make_client(api, fresh_database) for _ in range(20)]
    with ThreadPoolExecutor(20) as pool:
        replies = list(pool.map(apply, clients))
    assert [reply.status for reply in replies] == [201] * 20
    assert len({reply.json["referral_code"] for reply in replies}) == 20


def test_a_code_that_is_taken_is_made_again(client: ApiClient, monkeypatch: pytest.MonkeyPatch) -> None:
    """A collision is retried and the caller does not see it."""
    taken = apply(client).json["referral_code"]
    codes = iter([taken, taken, "ARTA-ZZZZ"])
    monkeypatch.setattr(app, "make_referral_code", lambda _name: next(codes))
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
    code_head, _, tail = referral_codes.make_referral_code(name).partition("-")
    assert (code_head, len(tail)) == (head, 4)
    assert set(tail).isdisjoint("ILOU")


@pytest.mark.parametrize(
    ("state", "decision"), list(itertools.product(STATES, ("approve", "reject", "suspend", "reinstate")))
)
def test_staff_change_an_agents_state_as_the_states_allow(
    fresh_database: FreshDatabase, client: ApiClient, state: str, decision: str
) -> None:
    """The pairs of states in the table are made and audited; all others are 409 and change nothing."""
    agent_id, _ = add_agent(fresh_database, state=state)
    reply = decide(client, agent_id, decision)
    after = fresh_database.query_rows("SELECT state, version FROM agents WHERE id = %s", agent_id)[0]
    audited = fresh_database.query_rows("SELECT action FROM audit WHERE subject_id = %s", agent_id)
    if (state, decision) in DECISIONS:
        assert (reply.status, after) == (200, {"state": DECISIONS[state, decision], "version": 2})
        assert audited == [{"action": f"agent.{PAST[decision]}"}]
    else:
        assert (reply.status, reply.problem, after) == (409, "decision-not-allowed", {"state": state, "version": 1})
        assert audited == []


@pytest.mark.parametrize(("before", "after"), list(itertools.permutations(STATES, 2)))
def test_the_database_itself_refuses_other_transitions(fresh_database: FreshDatabase, before: str, after: str) -> None:
    """A trigger refuses them, whoever writes."""
    agent_id, _ = add_agent(fresh_database, state=before)
    if (before, after) in MOVES:
        fresh_database.query_rows("UPDATE agents SET state = %s WHERE id = %s", after, agent_id)
    else:
        with pytest.raises(psycopg.DatabaseError, match="decision-not-allowed"):
            fresh_database.query_rows("UPDATE agents SET state = %s WHERE id = %s", after, agent_id)


@pytest.mark.parametrize(("decision", "mails"), [("approve", ["agent-approved"]), ("reject", ["agent-rejected"])])
def test_an_applicant_gets_a_mail_about_the_decision(
    fresh_database: FreshDatabase, client: ApiClient, decision: str, mails: list[str]
) -> None:
    """It is sent once and has the reason."""
    agent_id, _ = add_agent(fresh_database, state="pending")
    decide(client, agent_id, decision)
    sent = fresh_database.query_rows("SELECT payload FROM outbox WHERE subject_id = %s AND kind = 'mail'", agent_id)
    assert [job["payload"]["template"] for job in sent] == mails
    assert sent[0]["payload"]["facts"]["reason"] == "Checked."


def test_two_decisions_at_once_have_one_winner(fresh_database: FreshDatabase) -> None:
    """Either the approval or the rejection is written; the other is a conflict."""
    agent_id, _ = add_agent(fresh_database, state="pending")
    clients = [make_client(api, fresh_database) for _ in range(10)]
    with ThreadPoolExecutor(10) as pool:
        replies = list(pool.map(lambda c: decide(c[1], agent_id, ("approve", "reject")[c[0] % 2]), enumerate(clients)))
    assert sorted(reply.status for reply in replies) == [200] + [409] * 9


def test_only_staff_decide_and_only_about_agents_there_are(fresh_database: FreshDatabase, client: ApiClient) -> None:
    """An agent can't approve themselves; an unknown id is 404."""
    agent_id, _ = add_agent(fresh_database, state="pending")
    body = {"decision": "approve", "reason": "Me."}
    me = client.sign_in_as(sign_in(fresh_database, agent_id))
    assert me.call("POST", "/agents/{agent_id}/decision", body, agent_id=agent_id).status == 403
    assert decide(client, "01a20ba6-afb6-76d1-9556-a703ff01d17a", "approve").status == 404


def test_an_agent_reads_themselves_and_nobody_else(fresh_database: FreshDatabase, client: ApiClient) -> None:
    """Another's record is 404; staff read all, by state, also by the filter's name of before, which counts less."""
    (one, _), (two, _) = add_agent(fresh_database), add_agent(fresh_database, state="suspended")
    me = client.sign_in_as(sign_in(fresh_database, one))
    assert me.call("GET", "/agents/me").json["id"] == one
    assert me.call("GET", "/agents/{agent_id}", agent_id=two).status == 404
    assert me.call("GET", "/agents").status == 403
    for query in ({"state": "suspended"}, {"status": "suspended"}, {"state": "suspended", "status": "active"}):
        listed = client.sign_in_as(STAFF).call("GET", "/agents", query={**query, "limit": "100"}).json["items"]
        assert two in [item["id"] for item in listed]
        assert {item["state"] for item in listed} == {"suspended"}


def test_an_agent_sees_their_own_clients_and_nothing_of_claims(
    fresh_database: FreshDatabase, client: ApiClient
) -> None:
    """Names, numbers, membership; another agent's clients are not theirs, and a cursor does not lead there."""
    members = make_client(members_api, fresh_database)
    (one, one_code), (two, two_code) = add_agent(fresh_database), add_agent(fresh_database)
    mine = [
        members.call("POST", "/members", make_person(referral_code=one_code), key=f"k{get_next_serial()}").json["id"]
        for _ in range(3)
    ]
    members.call("POST", "/members", make_person(referral_code=two_code), key=f"k{get_next_serial()}")
    me, other = client.sign_in_as(sign_in(fresh_database, one)), client.sign_in_as(sign_in(fresh_database, two))
    first = me.call("GET", "/agents/me/clients", query={"limit": "2"}).json
    rest = me.call("GET", "/agents/me/clients", query={"limit": "2", "cursor": first["next_cursor"]}).json
    assert [c["id"] for c in first["items"] + rest["items"]] == list(reversed(mine))
    assert set(first["items"][0]) == {"id", "number", "full_name", "membership_state", "membership_ends_on"}
    assert other.call("GET", "/agents/me/clients", query={"cursor": first["next_cursor"]}).status == 422
    assert len(me.call("GET", "/agents/me/commissions").json["items"]) == 3


@pytest.mark.parametrize("state", ["pending", "suspended", "rejected"])
@pytest.mark.parametrize("path", ["/agents/me/clients", "/agents/me/commissions"])
def test_an_agent_who_is_not_active_sees_no_clients(
    fresh_database: FreshDatabase, client: ApiClient, state: str, path: str
) -> None:
    """403 with the reason; their own record they may still read."""
    agent_id, _ = add_agent(fresh_database, state=state)
    me = client.sign_in_as(sign_in(fresh_database, agent_id))
    assert me.call("GET", path).problem == "agent-not-active"
    assert me.call("GET", "/agents/me").status == 200


def test_a_member_is_no_agent(fresh_database: FreshDatabase, client: ApiClient) -> None:
    """An agent needs both the token's group and the account's role."""
    me = sign_in(fresh_database, add_agent(fresh_database)[0])
    assert client.sign_in_as(me).call("GET", "/agents/me").status == 200
    assert client.sign_in_as(make_claims(me["sub"], "member")).call("GET", "/agents/me").status == 403
    assert client.sign_in_as(make_claims("nobody", "agent")).call("GET", "/agents/me").status == 403
