"""Who sees which claims, how lists go on, and who has a claim."""

from concurrent.futures import ThreadPoolExecutor
from typing import Any
from uuid import uuid4

import pytest

from tests.harness import Client, claims_of
from tests.integration.claims.cases import Cases, id_of
from tests.integration.claims.wire import flights
from tests.integration.room import agent, sign_in

PARTS = ("", "/history", "/documents")


def listed(cases: Cases, who: dict[str, str], **query: str) -> list[str]:
    """The ids of a list, read to its end two at a time."""
    found: list[str] = []
    cursor: str | None = None
    while True:
        asked = {"limit": "2", **query, **({"cursor": cursor} if cursor else {})}
        page = cases.client.as_(who).call("GET", "/claims", query=asked)
        assert page.status == 200, page.body
        found += [item["id"] for item in page.json["items"]]
        cursor = page.json["next_cursor"]
        if cursor is None:
            return found


def assign(cases: Cases, who: dict[str, str], claim_id: str, staff_id: str, version: int | None = 1) -> tuple[int, Any]:
    body = {"staff_id": staff_id}
    reply = cases.client.as_(who).call("PUT", "/claims/{claim_id}/assignee", body, if_match=version, claim_id=claim_id)
    return reply.status, reply.json["assignee"] if reply.status == 200 else reply.problem


@pytest.mark.parametrize("part", PARTS)
def test_a_claim_is_its_members_and_staffs(cases: Cases, part: str) -> None:
    """Anybody else's is 404, exactly as one that is not there; an agent gets nothing."""
    member, other = cases.member(), cases.member()
    claim_id, nothing = cases.claim(member), str(uuid4())
    for who in (member, cases.staff(), cases.staff("admin")):
        assert cases.read(who, claim_id, part).status == 200
        assert cases.read(who, nothing, part).status == 404
    theirs, none = cases.read(other, claim_id, part), cases.read(other, nothing, part)
    assert theirs.status == none.status == 404
    assert {**theirs.json, "instance": ""} == {**none.json, "instance": ""}
    assert cases.read(claims_of("x", "agent"), claim_id, part).status == 403


def test_bringing_a_member_in_gives_no_access_to_their_claims(cases: Cases) -> None:
    """Not to the list, nor to a claim, its history or its evidence; the agent's own token as Cognito makes it."""
    agent_id, _ = agent(cases.blank)
    token, member = sign_in(cases.blank, agent_id), cases.member()
    cases.blank.rows("INSERT INTO agent_clients (member_id, agent_id) VALUES (%s, %s)", id_of(member), agent_id)
    claim_id = cases.claim(member)
    assert [cases.read(token, claim_id, part).status for part in PARTS] == [404, 404, 404]
    assert cases.client.as_(token).call("GET", "/claims").status == 403
    assert cases.move(token, claim_id, "withdrawn").status == 404


def test_nobody_moves_or_assigns_what_is_not_theirs(cases: Cases) -> None:
    """404 for another member's claim; of their own a member is told that the rest is for staff."""
    member, other = cases.member(), cases.member()
    claim_id = cases.claim(member)
    row = cases.row(claim_id)
    assert cases.move(other, claim_id, "withdrawn").status == 404
    assert cases.move(cases.staff(), str(uuid4()), "evaluation").status == 404
    assert assign(cases, cases.staff(), str(uuid4()), "me") == (404, "not-found")
    assert cases.move(other, claim_id, "evaluation").status == 404
    assert assign(cases, other, claim_id, "me") == (404, "not-found")
    assert assign(cases, member, str(uuid4()), "me") == (404, "not-found")
    assert assign(cases, member, claim_id, "me") == (403, "forbidden")
    assert cases.move(member, claim_id, "evaluation").status == 403
    assert cases.row(claim_id) == row


def test_an_answer_holds_its_etag(cases: Cases) -> None:
    """The version to decide on."""
    member = cases.member()
    claim_id = cases.claim(member)
    assert cases.read(member, claim_id).headers["ETag"] == '"1"'
    cases.move(cases.staff(), claim_id, "evaluation")
    read = cases.read(member, claim_id)
    assert (read.headers["ETag"], read.json["version"], read.json["state"]) == ('"2"', 2, "evaluation")


def test_a_member_lists_their_own_claims_and_staff_all(cases: Cases) -> None:
    """Newest first, each once, whatever is filtered by."""
    one, two, staff = cases.member(), cases.member(), cases.staff()
    mine = [cases.claim(one) for _ in range(5)]
    theirs = cases.claim(two)
    assert listed(cases, one) == mine[::-1]
    assert listed(cases, two) == [theirs]
    assert listed(cases, one, state="submitted") == mine[::-1]
    assert listed(cases, one, state="court") == []
    everything = listed(cases, staff)
    assert everything[:6] == [theirs, *mine[::-1]]
    assert len(everything) == len(set(everything)) == cases.blank.count("claims")


def test_staff_filter_by_state_assignee_and_time(cases: Cases) -> None:
    """Together they narrow; `me` is the caller, and `stuck=false` what is not too long in its state."""
    member, staff, colleague = cases.member(), cases.staff(), cases.staff()
    fresh, old, other = (cases.claim(member, state=state) for state in ("court", "court", "negotiation"))
    assert assign(cases, staff, fresh, "me")[0] == 200
    assert assign(cases, staff, old, "me")[0] == 200
    assert assign(cases, staff, other, id_of(colleague))[0] == 200
    cases.blank.rows("UPDATE claims SET state_since = now() - interval '31 days' WHERE id = %s", old)
    assert listed(cases, staff, assignee="me") == [old, fresh]
    assert listed(cases, staff, assignee=id_of(colleague)) == [other]
    assert listed(cases, staff, assignee=id_of(colleague).upper()) == [other]
    assert listed(cases, colleague, assignee="me") == [other]
    assert listed(cases, staff, assignee="me", stuck="true") == [old]
    assert listed(cases, staff, assignee="me", stuck="false", state="court") == [fresh]
    assert listed(cases, staff, assignee="me", state="negotiation") == []
    assert listed(cases, staff, assignee=str(uuid4())) == []


@pytest.mark.parametrize(
    ("state", "days"), [("submitted", 2), ("verification", 5), ("evaluation", 3), ("negotiation", 7), ("court", 30)]
)
def test_a_claim_is_stuck_after_the_days_of_its_state(cases: Cases, state: str, days: int) -> None:
    """Not on the day, and never in a state that waits for nobody."""
    member = cases.member()
    late, timely = cases.claim(member, state=state), cases.claim(member, state=state)
    done = cases.claim(member, state="resolved")
    aged = "UPDATE claims SET state_since = now() - make_interval(days => %s) + interval '1 minute' * %s WHERE id = %s"
    for claim_id, minutes in ((late, -1), (timely, 1), (done, -1_000_000)):
        cases.blank.rows(aged, days, minutes, claim_id)
    assert listed(cases, member, stuck="true") == [late]
    assert listed(cases, member, stuck="false") == [done, timely]


@pytest.mark.parametrize(
    "query",
    [
        {"state": "open"},
        {"assignee": "nobody"},
        {"assignee": "{12345678-1234-1234-1234-123456789012}"},
        {"stuck": "1"},
        {"stuck": "yes"},
        {"stuck": ""},
        {"limit": "0"},
        {"limit": "101"},
        {"cursor": "x"},
        {"sort": "id"},
    ],
)
def test_a_filter_that_is_none_is_refused_by_name(cases: Cases, query: dict[str, str]) -> None:
    """Rather than left out."""
    reply = cases.client.as_(cases.staff()).call("GET", "/claims", query=query)
    assert (reply.status, reply.pointers) == (422, list(query))


def test_a_cursor_goes_on_only_in_its_own_list(cases: Cases) -> None:
    """Not in another's list, nor under another filter."""
    one, two = cases.member(), cases.member()
    for member in (one, two):
        cases.claim(member)
        cases.claim(member)
    cursor = cases.client.as_(one).call("GET", "/claims", query={"limit": "1"}).json["next_cursor"]
    for who, query in ((two, {}), (one, {"state": "submitted"})):
        reply = cases.client.as_(who).call("GET", "/claims", query={"cursor": cursor, **query})
        assert (reply.status, reply.pointers) == (422, ["cursor"])


def test_the_history_tells_every_move_the_last_one_first(cases: Cases) -> None:
    """Page by page, from how it began to how it stands, with reasons as they were given."""
    member, staff = cases.member(), cases.staff()
    claim_id = str(cases.submit(member).json["id"])
    way = ["verification", "evaluation", "verification", "evaluation", "negotiation"]
    for version, to in enumerate(way, start=1):
        assert cases.move(staff, claim_id, to, version, reason=f"Step <{version}>").status == 200
    items: list[dict[str, Any]] = []
    cursor: str | None = None
    while cursor or not items:
        page = cases.read(member, claim_id, "/history", limit="2", **({"cursor": cursor} if cursor else {})).json
        items, cursor = items + page["items"], page["next_cursor"]
    assert [(i["version"], i["from"], i["to"]) for i in items[::-1]] == [
        (n + 1, before, after)
        for n, (before, after) in enumerate(zip([None, "submitted", *way], ["submitted", *way]))  # noqa: B905
    ]
    assert [i["reason"] for i in items] == [f"Step <{n}>" for n in range(5, 0, -1)] + [None]
    assert [i["by"] for i in items] == ["staff"] * 5 + ["member"]
    assert set(items[0]) == {"version", "from", "to", "reason", "decline_code", "by", "at"}


def test_a_claim_is_assigned_to_staff_on_the_version_that_was_read(cases: Cases) -> None:
    """To oneself or another, each a new version and an audit entry; its member sees who has it."""
    member, staff, admin = cases.member(), cases.staff(), cases.staff("admin")
    claim_id = cases.claim(member)
    assert assign(cases, staff, claim_id, "me", 1) == (200, {"id": id_of(staff), "full_name": "Besa Hoxha"})
    assert assign(cases, staff, claim_id, id_of(admin), 1) == (412, "stale-version")
    assert assign(cases, staff, claim_id, id_of(admin), None) == (428, "if-match-required")
    assert assign(cases, staff, claim_id, id_of(admin), 2)[0] == 200
    read = cases.read(member, claim_id)
    assert (read.json["assignee"]["id"], read.json["version"], read.json["state"]) == (id_of(admin), 3, "submitted")
    entries = cases.blank.rows("SELECT facts FROM audit WHERE action = 'claim.assigned' AND subject_id = %s", claim_id)
    assert [entry["facts"]["staff_id"] for entry in entries] == ["self", id_of(admin)]


def test_assigning_to_who_has_it_changes_nothing(cases: Cases) -> None:
    """By `me` or by id, with a key of its own: no version, no audit entry."""
    claim_id, staff = cases.claim(cases.member()), cases.staff()
    assert assign(cases, staff, claim_id, "me")[0] == 200
    before = (cases.row(claim_id), cases.written(claim_id))
    for who in ("me", id_of(staff)):
        status, assignee = assign(cases, staff, claim_id, who, version=2)
        assert (status, assignee["id"]) == (200, id_of(staff))
    assert (cases.row(claim_id), cases.written(claim_id)) == before


def test_a_claim_is_assigned_to_nobody_else(cases: Cases) -> None:
    """Not to a member, an agent, who works here no more, an id that is none, or a token without an account."""
    member, (agent_id, _) = cases.member(), agent(cases.blank)
    claim_id, staff = cases.claim(member), cases.staff()
    for staff_id in (id_of(member), agent_id, cases.account("former"), str(uuid4())):
        assert assign(cases, staff, claim_id, staff_id) == (422, "assignee-unknown")
    assert assign(cases, claims_of("stranger", "staff"), claim_id, "me") == (403, "forbidden")
    assert assign(cases, staff, claim_id, "ME") == (422, "invalid-request")
    assert (cases.row(claim_id)["assignee_id"], cases.row(claim_id)["version"]) == (None, 1)


def test_of_ten_who_take_one_claim_one_has_it(cases: Cases) -> None:
    """1 × 200, 9 × 412."""
    claim_id = cases.claim(cases.member())
    clients = [cases.another().as_(cases.staff()) for _ in range(10)]

    def take(client: Client) -> int:
        body = {"staff_id": "me"}
        return client.call("PUT", "/claims/{claim_id}/assignee", body, if_match=1, claim_id=claim_id).status

    with ThreadPoolExecutor(10) as pool:
        assert sorted(pool.map(take, clients)) == [200] + [412] * 9


def test_an_assignment_is_one_flight(cases: Cases) -> None:
    """And so is a read of each kind."""
    member, staff = cases.member(), cases.staff()
    claim_id = cases.claim(member)
    with flights(cases.client) as flown:
        assert assign(cases, staff, claim_id, "me")[0] == 200
        assert all(cases.read(member, claim_id, part).status == 200 for part in PARTS)
        assert cases.client.as_(member).call("GET", "/claims").status == 200
    assert flown == ["Sync"] * 5


def test_what_staff_read_of_a_case_is_recorded(cases: Cases) -> None:
    """Who, what and when, by ids alone; what members read of their own, or what is not there, leaves nothing."""
    member, staff = cases.member(), cases.staff()
    claim_id, missing = cases.claim(member), "01a20ba6-afb6-76d1-9556-a703ff01d17a"
    for path in ("", "/history", "/documents"):
        assert cases.read(member, claim_id, path).status == 200
        assert cases.read(staff, claim_id, path).status == 200
        assert cases.read(staff, missing, path).status == 404
    reads = audited_reads(cases, staff, "%read")
    assert [(row["action"], row["subject_id"], row["facts"]) for row in reads] == [
        (action, claim_id, {}) for action in ("claim.read", "claim.history_read", "claim.documents_read")
    ]


def audited_reads(cases: Cases, reader: dict[str, str], action: str) -> list[dict[str, Any]]:
    """The audit entries of one reader's reads, the first one first."""
    return cases.blank.rows(
        "SELECT action, subject_id::text, facts FROM audit WHERE actor = %s AND action LIKE %s ORDER BY at",
        reader["sub"],
        action,
    )


def test_which_claims_a_list_has_shown_to_staff_is_recorded(cases: Cases) -> None:
    """One entry a page, on the reader's own account; an empty page and a member's own list leave none."""
    member, staff = cases.member(), cases.staff()
    claims = [cases.claim(member) for _ in range(3)]
    for who in (member, staff):
        listed = cases.client.as_(who).call("GET", "/claims", query={"limit": "2"})
        assert [item["id"] for item in listed.json["items"]] == claims[:0:-1]
    cases.client.as_(staff).call("GET", "/claims", query={"assignee": "me"})
    [entry] = audited_reads(cases, staff, "claims.listed")
    assert entry["facts"] == {"claim_ids": claims[:0:-1]}
