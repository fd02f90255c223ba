"""Claims are seen by whom they concern, lists continue, and claims are assigned to staff."""

from concurrent.futures import ThreadPoolExecutor
from typing import Any
from uuid import uuid4

import pytest

from tests.api_client import ApiClient, make_claims
from tests.integration.claims.protocol_trace import trace_round_trips
from tests.integration.claims.sample_claims import ClaimFixtures, find_account
from tests.integration.function_client import add_agent, sign_in

PARTS = ("", "/history", "/documents")


def list_claim_ids(claim_fixtures: ClaimFixtures, who: dict[str, str], **query: str) -> list[str]:
    """Return the ids of a list, read to its end two at a time."""
    found: list[str] = []
    cursor: str | None = None
    while True:
        asked = {"limit": "2", **query, **({"cursor": cursor} if cursor else {})}
        page = claim_fixtures.client.sign_in_as(who).call("GET", "/claims", query=asked)
        assert page.status == 200, page.body
        found += [item["id"] for item in page.json["items"]]
        cursor = page.json["next_cursor"]
        if cursor is None:
            return found


def assign(
    claim_fixtures: ClaimFixtures, who: dict[str, str], claim_id: str, staff_id: str, version: int | None = 1
) -> tuple[int, Any]:
    body = {"staff_id": staff_id}
    reply = claim_fixtures.client.sign_in_as(who).call(
        "PUT", "/claims/{claim_id}/assignee", body, if_match=version, claim_id=claim_id
    )
    return reply.status, reply.json["assignee"] if reply.status == 200 else reply.problem


@pytest.mark.parametrize("part", PARTS)
def test_a_claim_is_its_members_and_staffs(claim_fixtures: ClaimFixtures, part: str) -> None:
    """Anybody else's is 404, exactly as one that is not there; an agent gets nothing."""
    member, other = claim_fixtures.add_member(), claim_fixtures.add_member()
    claim_id, nothing = claim_fixtures.claim(member), str(uuid4())
    for who in (member, claim_fixtures.add_staff(), claim_fixtures.add_staff("admin")):
        assert claim_fixtures.read(who, claim_id, part).status == 200
        assert claim_fixtures.read(who, nothing, part).status == 404
    theirs, none = claim_fixtures.read(other, claim_id, part), claim_fixtures.read(other, nothing, part)
    assert theirs.status == none.status == 404
    assert {**theirs.json, "instance": ""} == {**none.json, "instance": ""}
    assert claim_fixtures.read(make_claims("x", "agent"), claim_id, part).status == 403


def test_bringing_a_member_in_gives_no_access_to_their_claims(claim_fixtures: ClaimFixtures) -> None:
    """The agent can't read the list, a claim, its history or its evidence, even with a real token of Cognito's."""
    agent_id, _ = add_agent(claim_fixtures.fresh_database)
    token, member = sign_in(claim_fixtures.fresh_database, agent_id), claim_fixtures.add_member()
    claim_fixtures.fresh_database.query_rows(
        "INSERT INTO agent_clients (member_id, agent_id) VALUES (%s, %s)", find_account(member), agent_id
    )
    claim_id = claim_fixtures.claim(member)
    assert [claim_fixtures.read(token, claim_id, part).status for part in PARTS] == [404, 404, 404]
    assert claim_fixtures.client.sign_in_as(token).call("GET", "/claims").status == 403
    assert claim_fixtures.change_state(token, claim_id, "withdrawn").status == 404


def test_nobody_changes_or_assigns_what_is_not_theirs(claim_fixtures: ClaimFixtures) -> None:
    """404 for another member's claim; for their own a member is answered that the rest is for staff."""
    member, other = claim_fixtures.add_member(), claim_fixtures.add_member()
    claim_id = claim_fixtures.claim(member)
    row = claim_fixtures.read_row(claim_id)
    assert claim_fixtures.change_state(other, claim_id, "withdrawn").status == 404
    assert claim_fixtures.change_state(claim_fixtures.add_staff(), str(uuid4()), "evaluation").status == 404
    assert assign(claim_fixtures, claim_fixtures.add_staff(), str(uuid4()), "me") == (404, "not-found")
    assert claim_fixtures.change_state(other, claim_id, "evaluation").status == 404
    assert assign(claim_fixtures, other, claim_id, "me") == (404, "not-found")
    assert assign(claim_fixtures, member, str(uuid4()), "me") == (404, "not-found")
    assert assign(claim_fixtures, member, claim_id, "me") == (403, "forbidden")
    assert claim_fixtures.change_state(member, claim_id, "evaluation").status == 403
    assert claim_fixtures.read_row(claim_id) == row


def test_an_answer_holds_its_etag(claim_fixtures: ClaimFixtures) -> None:
    """The ETag is the version that a change is decided on."""
    member = claim_fixtures.add_member()
    claim_id = claim_fixtures.claim(member)
    assert claim_fixtures.read(member, claim_id).headers["ETag"] == '"1"'
    claim_fixtures.change_state(claim_fixtures.add_staff(), claim_id, "evaluation")
    read = claim_fixtures.read(member, claim_id)
    assert (read.headers["ETag"], read.json["version"], read.json["state"]) == ('"2"', 2, "evaluation")


def test_a_member_lists_their_own_claims_and_staff_all(claim_fixtures: ClaimFixtures) -> None:
    """Newest first, each once, whatever is filtered by."""
    one, two, staff = claim_fixtures.add_member(), claim_fixtures.add_member(), claim_fixtures.add_staff()
    mine = [claim_fixtures.claim(one) for _ in range(5)]
    theirs = claim_fixtures.claim(two)
    assert list_claim_ids(claim_fixtures, one) == mine[::-1]
    assert list_claim_ids(claim_fixtures, two) == [theirs]
    assert list_claim_ids(claim_fixtures, one, state="submitted") == mine[::-1]
    assert list_claim_ids(claim_fixtures, one, state="court") == []
    everything = list_claim_ids(claim_fixtures, staff)
    assert everything[:6] == [theirs, *mine[::-1]]
    assert len(everything) == len(set(everything)) == claim_fixtures.fresh_database.count("claims")


def test_staff_filter_by_state_assignee_and_time(claim_fixtures: ClaimFixtures) -> None:
    """Together they narrow; `me` is the caller, and `stuck=false` what is not too long in its state."""
    member, staff, colleague = claim_fixtures.add_member(), claim_fixtures.add_staff(), claim_fixtures.add_staff()
    fresh, old, other = (claim_fixtures.claim(member, state=state) for state in ("court", "court", "negotiation"))
    assert assign(claim_fixtures, staff, fresh, "me")[0] == 200
    assert assign(claim_fixtures, staff, old, "me")[0] == 200
    assert assign(claim_fixtures, staff, other, find_account(colleague))[0] == 200
    claim_fixtures.fresh_database.query_rows(
        "UPDATE claims SET state_since = now() - interval '31 days' WHERE id = %s", old
    )
    assert list_claim_ids(claim_fixtures, staff, assignee="me") == [old, fresh]
    assert list_claim_ids(claim_fixtures, staff, assignee=find_account(colleague)) == [other]
    assert list_claim_ids(claim_fixtures, staff, assignee=find_account(colleague).upper()) == [other]
    assert list_claim_ids(claim_fixtures, colleague, assignee="me") == [other]
    assert list_claim_ids(claim_fixtures, staff, assignee="me", stuck="true") == [old]
    assert list_claim_ids(claim_fixtures, staff, assignee="me", stuck="false", state="court") == [fresh]
    assert list_claim_ids(claim_fixtures, staff, assignee="me", state="negotiation") == []
    assert list_claim_ids(claim_fixtures, staff, assignee=str(uuid4())) == []


@pytest.mark.parametrize(
    ("state", "days"), [("submitted", 2), ("verification", 5), ("evaluation", 3), ("negotiation", 7), ("court", 30)]
)
def test_a_claim_is_stuck_after_the_days_of_its_state(claim_fixtures: ClaimFixtures, state: str, days: int) -> None:
    """It is not stuck on the last of these days, and never in a state in which nobody has to act."""
    member = claim_fixtures.add_member()
    late, timely = claim_fixtures.claim(member, state=state), claim_fixtures.claim(member, state=state)
    done = claim_fixtures.claim(member, state="resolved")
    aged = "UPDATE claims SET state_since = now() - make_interval(days => %s) + interval '1 minute' * %s WHERE id = %s"
    for claim_id, minutes in ((late, -1), (timely, 1), (done, -1_000_000)):
        claim_fixtures.fresh_database.query_rows(aged, days, minutes, claim_id)
    assert list_claim_ids(claim_fixtures, member, stuck="true") == [late]
    assert list_claim_ids(claim_fixtures, member, stuck="false") == [done, timely]


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
def test_a_filter_that_is_none_is_refused_by_name(claim_fixtures: ClaimFixtures, query: dict[str, str]) -> None:
    """It is not ignored."""
    reply = claim_fixtures.client.sign_in_as(claim_fixtures.add_staff()).call("GET", "/claims", query=query)
    assert (reply.status, reply.pointers) == (422, list(query))


def test_a_cursor_goes_on_only_in_its_own_list(claim_fixtures: ClaimFixtures) -> None:
    """It works neither in another caller's list nor under another filter."""
    one, two = claim_fixtures.add_member(), claim_fixtures.add_member()
    for member in (one, two):
        claim_fixtures.claim(member)
        claim_fixtures.claim(member)
    cursor = claim_fixtures.client.sign_in_as(one).call("GET", "/claims", query={"limit": "1"}).json["next_cursor"]
    for who, query in ((two, {}), (one, {"state": "submitted"})):
        reply = claim_fixtures.client.sign_in_as(who).call("GET", "/claims", query={"cursor": cursor, **query})
        assert (reply.status, reply.pointers) == (422, ["cursor"])


def test_the_history_lists_every_transition_the_last_one_first(claim_fixtures: ClaimFixtures) -> None:
    """Page by page, from how it began to how it stands, with reasons as they were given."""
    member, staff = claim_fixtures.add_member(), claim_fixtures.add_staff()
    claim_id = str(claim_fixtures.submit(member).json["id"])
    way = ["verification", "evaluation", "verification", "evaluation", "negotiation"]
    for version, to in enumerate(way, start=1):
        assert claim_fixtures.change_state(staff, claim_id, to, version, reason=f"Step <{version}>").status == 200
    items: list[dict[str, Any]] = []
    cursor: str | None = None
    while cursor or not items:
        page = claim_fixtures.read(
            member, claim_id, "/history", limit="2", **({"cursor": cursor} if cursor else {})
        ).json
        items, cursor = items + page["items"], page["next_cursor"]
    assert [(i["version"], i["from"], i["to"]) for i in items[::-1]] == [
        (n + 1, before, after)
        for n, (before, after) in enumerate(zip([None, "submitted", *way], ["submitted", *way]))  # noqa: B905
    ]
    assert [i["reason"] for i in items] == [f"Step <{n}>" for n in range(5, 0, -1)] + [None]
    assert [i["by"] for i in items] == ["staff"] * 5 + ["member"]
    assert set(items[0]) == {"version", "from", "to", "reason", "decline_code", "by", "at"}


def test_a_claim_is_assigned_to_staff_on_the_version_that_was_read(claim_fixtures: ClaimFixtures) -> None:
    """Staff assign it to themselves or others: each is a version and an audit entry, and the member sees it."""
    member, staff, admin = claim_fixtures.add_member(), claim_fixtures.add_staff(), claim_fixtures.add_staff("admin")
    claim_id = claim_fixtures.claim(member)
    assert assign(claim_fixtures, staff, claim_id, "me", 1) == (
        200,
        {"id": find_account(staff), "full_name": "Besa Hoxha"},
    )
    assert assign(claim_fixtures, staff, claim_id, find_account(admin), 1) == (412, "stale-version")
    assert assign(claim_fixtures, staff, claim_id, find_account(admin), None) == (428, "if-match-required")
    assert assign(claim_fixtures, staff, claim_id, find_account(admin), 2)[0] == 200
    read = claim_fixtures.read(member, claim_id)
    assert (read.json["assignee"]["id"], read.json["version"], read.json["state"]) == (
        find_account(admin),
        3,
        "submitted",
    )
    entries = claim_fixtures.fresh_database.query_rows(
        "SELECT facts FROM audit WHERE action = 'claim.assigned' AND subject_id = %s", claim_id
    )
    assert [entry["facts"]["staff_id"] for entry in entries] == ["self", find_account(admin)]


def test_assigning_to_who_has_it_changes_nothing(claim_fixtures: ClaimFixtures) -> None:
    """Neither `me` nor the id, with a new key, writes a version or an audit entry."""
    claim_id, staff = claim_fixtures.claim(claim_fixtures.add_member()), claim_fixtures.add_staff()
    assert assign(claim_fixtures, staff, claim_id, "me")[0] == 200
    before = (claim_fixtures.read_row(claim_id), claim_fixtures.count_written(claim_id))
    for who in ("me", find_account(staff)):
        status, assignee = assign(claim_fixtures, staff, claim_id, who, version=2)
        assert (status, assignee["id"]) == (200, find_account(staff))
    assert (claim_fixtures.read_row(claim_id), claim_fixtures.count_written(claim_id)) == before


def test_a_claim_is_assigned_to_nobody_else(claim_fixtures: ClaimFixtures) -> None:
    """Members, agents, former staff, unknown ids and tokens without an account can't be assignees."""
    member, (agent_id, _) = claim_fixtures.add_member(), add_agent(claim_fixtures.fresh_database)
    claim_id, staff = claim_fixtures.claim(member), claim_fixtures.add_staff()
    for staff_id in (find_account(member), agent_id, claim_fixtures.add_account("former"), str(uuid4())):
        assert assign(claim_fixtures, staff, claim_id, staff_id) == (422, "assignee-unknown")
    assert assign(claim_fixtures, make_claims("stranger", "staff"), claim_id, "me") == (403, "forbidden")
    assert assign(claim_fixtures, staff, claim_id, "ME") == (422, "invalid-request")
    assert (claim_fixtures.read_row(claim_id)["assignee_id"], claim_fixtures.read_row(claim_id)["version"]) == (None, 1)


def test_of_ten_who_take_one_claim_one_has_it(claim_fixtures: ClaimFixtures) -> None:
    """One gets a 200, nine get a 412."""
    claim_id = claim_fixtures.claim(claim_fixtures.add_member())
    clients = [claim_fixtures.make_another_client().sign_in_as(claim_fixtures.add_staff()) for _ in range(10)]

    def take(client: ApiClient) -> int:
        body = {"staff_id": "me"}
        return client.call("PUT", "/claims/{claim_id}/assignee", body, if_match=1, claim_id=claim_id).status

    with ThreadPoolExecutor(10) as pool:
        assert sorted(pool.map(take, clients)) == [200] + [412] * 9


def test_an_assignment_is_one_round_trip(claim_fixtures: ClaimFixtures) -> None:
    """Each kind of read is one as well."""
    member, staff = claim_fixtures.add_member(), claim_fixtures.add_staff()
    claim_id = claim_fixtures.claim(member)
    with trace_round_trips(claim_fixtures.client) as round_trips:
        assert assign(claim_fixtures, staff, claim_id, "me")[0] == 200
        assert all(claim_fixtures.read(member, claim_id, part).status == 200 for part in PARTS)
        assert claim_fixtures.client.sign_in_as(member).call("GET", "/claims").status == 200
    assert round_trips == ["Sync"] * 5


def test_what_staff_read_of_a_case_is_recorded(claim_fixtures: ClaimFixtures) -> None:
    """The entry has ids only; members who read their own, and reads of what does not exist, leave none."""
    member, staff = claim_fixtures.add_member(), claim_fixtures.add_staff()
    claim_id, missing = claim_fixtures.claim(member), "01a20ba6-afb6-76d1-9556-a703ff01d17a"
    for path in ("", "/history", "/documents"):
        assert claim_fixtures.read(member, claim_id, path).status == 200
        assert claim_fixtures.read(staff, claim_id, path).status == 200
        assert claim_fixtures.read(staff, missing, path).status == 404
    reads = list_audited_reads(claim_fixtures, staff, "%read")
    assert [(row["action"], row["subject_id"], row["facts"]) for row in reads] == [
        (action, claim_id, {}) for action in ("claim.read", "claim.history_read", "claim.documents_read")
    ]


def list_audited_reads(claim_fixtures: ClaimFixtures, reader: dict[str, str], action: str) -> list[dict[str, Any]]:
    """Return the audit entries of one reader's reads, the first one first."""
    return claim_fixtures.fresh_database.query_rows(
        "SELECT action, subject_id::text, facts FROM audit WHERE actor = %s AND action LIKE %s ORDER BY at",
        reader["sub"],
        action,
    )


def test_which_claims_a_list_has_shown_to_staff_is_recorded(claim_fixtures: ClaimFixtures) -> None:
    """Each page leaves one entry about the reader's account; empty pages and members' own lists leave none."""
    member, staff = claim_fixtures.add_member(), claim_fixtures.add_staff()
    claims = [claim_fixtures.claim(member) for _ in range(3)]
    for who in (member, staff):
        listed = claim_fixtures.client.sign_in_as(who).call("GET", "/claims", query={"limit": "2"})
        assert [item["id"] for item in listed.json["items"]] == claims[:0:-1]
    claim_fixtures.client.sign_in_as(staff).call("GET", "/claims", query={"assignee": "me"})
    [entry] = list_audited_reads(claim_fixtures, staff, "claims.listed")
    assert entry["facts"] == {"claim_ids": claims[:0:-1]}
