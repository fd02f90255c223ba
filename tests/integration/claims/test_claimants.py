"""Staff see whose claim it is, and find claims by it; nobody else does. A claim is taken from its assignee."""

from typing import Any

import pytest

from tests.api_client import ApiReply
from tests.integration.claims.sample_claims import ClaimFixtures
from tests.integration.function_client import get_next_serial


def find_account(token: dict[str, str]) -> str:
    """Return the account of a token."""
    return token["sub"].removeprefix("sub-")


def list_claims(claim_fixtures: ClaimFixtures, who: dict[str, str], **query: str) -> list[dict[str, Any]]:
    """Return the first page of a list."""
    page = claim_fixtures.client.sign_in_as(who).call("GET", "/claims", query=query)
    assert page.status == 200, page.body
    items: list[dict[str, Any]] = page.json["items"]
    return items


def assign(
    claim_fixtures: ClaimFixtures, who: dict[str, str], claim_id: str, staff_id: str | None, version: int
) -> ApiReply:
    """Assign a claim, or unassign it."""
    return claim_fixtures.client.sign_in_as(who).call(
        "PUT", "/claims/{claim_id}/assignee", {"staff_id": staff_id}, if_match=version, claim_id=claim_id,
        key=f"key-{get_next_serial()}",
    )  # fmt: skip


@pytest.mark.parametrize("role", ["staff", "admin"])
def test_staff_see_the_member_wherever_they_see_the_claim(claim_fixtures: ClaimFixtures, role: str) -> None:
    """Id, number and name: in a list, on reading it, and in the answers to what they do with it."""
    member, staff = claim_fixtures.add_member(), claim_fixtures.add_staff(role)
    claim_id, member_id = claim_fixtures.claim(member), find_account(member)
    [row] = claim_fixtures.fresh_database.query_rows("SELECT number FROM members WHERE id = %s", member_id)
    expected = {"id": member_id, "number": row["number"], "full_name": "Besa Hoxha"}
    [listed] = list_claims(claim_fixtures, staff, member_id=member_id)
    moved = claim_fixtures.change_state(staff, claim_id, "verification", 1)
    assigned = assign(claim_fixtures, staff, claim_id, "me", 2)
    unassigned = assign(claim_fixtures, staff, claim_id, None, 3)
    read = claim_fixtures.read(staff, claim_id)
    assert [reply.status for reply in (moved, assigned, unassigned, read)] == [200] * 4
    seen = [listed, *(reply.json for reply in (moved, assigned, unassigned, read))]
    assert [claim["member"] for claim in seen] == [expected] * 5


def test_a_member_does_not_see_the_claims_member(claim_fixtures: ClaimFixtures) -> None:
    """No answer names them: of a submission, a read, a list, a withdrawal or a repeated call."""
    member = claim_fixtures.add_member()
    submitted = claim_fixtures.submit(member)
    claim_id = submitted.json["id"]
    seen = [submitted.json, *list_claims(claim_fixtures, member), claim_fixtures.read(member, claim_id).json]
    seen.append(claim_fixtures.change_state(member, claim_id, "withdrawn", 1).json)
    assert [claim["member"] for claim in seen] == [None] * 4
    stored = claim_fixtures.fresh_database.query_rows(
        "SELECT answer->'member' AS member FROM idempotency_keys WHERE answer->>'id' = %s", claim_id
    )
    assert [row["member"] for row in stored] == [None, None], "nor is it kept in what the key answers again"


def test_claims_are_found_by_number_and_by_member(claim_fixtures: ClaimFixtures) -> None:
    """Combined with the other filters, both narrow the list."""
    one, two, staff = claim_fixtures.add_member(), claim_fixtures.add_member(), claim_fixtures.add_staff()
    first, second = (claim_fixtures.submit(one).json for _ in range(2))
    third = claim_fixtures.submit(two).json
    ids = {"one": find_account(one), "two": find_account(two)}

    def find(**query: str) -> list[str]:
        return [claim["id"] for claim in list_claims(claim_fixtures, staff, **query)]

    assert find(number=second["number"]) == [second["id"]]
    assert find(member_id=ids["one"]) == find(member_id=ids["one"].upper()) == [second["id"], first["id"]]
    assert find(member_id=ids["two"], state="submitted") == [third["id"]]
    assert find(member_id=ids["two"], number=first["number"]) == []
    assert find(member_id=ids["one"], state="court") == []
    assert find(number="CLM-2026-999999") == []


def test_a_member_finds_only_their_own_by_number_and_member(claim_fixtures: ClaimFixtures) -> None:
    """Another's number or id finds nothing, like one that nobody has."""
    one, two = claim_fixtures.add_member(), claim_fixtures.add_member()
    mine, theirs = claim_fixtures.submit(one).json, claim_fixtures.submit(two).json
    assert [claim["id"] for claim in list_claims(claim_fixtures, one, number=mine["number"])] == [mine["id"]]
    assert [claim["id"] for claim in list_claims(claim_fixtures, one, member_id=find_account(one))] == [mine["id"]]
    assert list_claims(claim_fixtures, one, number=theirs["number"]) == []
    assert list_claims(claim_fixtures, one, member_id=find_account(two)) == []


def test_a_cursor_of_one_members_claims_does_not_lead_into_anothers(claim_fixtures: ClaimFixtures) -> None:
    """It is refused there, and in the list of all claims."""
    member, staff = claim_fixtures.add_member(), claim_fixtures.add_staff()
    for _ in range(2):
        claim_fixtures.claim(member)
    client, query = claim_fixtures.client.sign_in_as(staff), {"member_id": find_account(member), "limit": "1"}
    cursor = client.call("GET", "/claims", query=query).json["next_cursor"]
    assert client.call("GET", "/claims", query={**query, "cursor": cursor}).status == 200
    for other in ({"member_id": find_account(staff)}, {}):
        assert client.call("GET", "/claims", query={**other, "cursor": cursor}).pointers == ["cursor"]


@pytest.mark.parametrize(
    ("query", "words"),
    [
        ({"number": "CLM-1"}, "is not a claim's number, like CLM-2026-000045"),
        ({"number": "MEM-2026-000001"}, "is not a claim's number, like CLM-2026-000045"),
        ({"member_id": "besa"}, "is not an id"),
    ],
)
def test_a_number_or_id_that_is_none_is_refused_by_name(
    claim_fixtures: ClaimFixtures, query: dict[str, str], words: str
) -> None:
    """It is not ignored, and the error says how one looks."""
    reply = claim_fixtures.client.sign_in_as(claim_fixtures.add_staff()).call("GET", "/claims", query=query)
    assert (reply.status, reply.pointers) == (422, list(query))
    assert reply.json["errors"][0]["detail"].startswith(words)


def test_a_claim_is_taken_from_its_assignee_on_the_version_that_was_read(claim_fixtures: ClaimFixtures) -> None:
    """It is a version and an audit entry; a claim that nobody has stays as it is."""
    member, staff = claim_fixtures.add_member(), claim_fixtures.add_staff()
    claim_id = claim_fixtures.claim(member)
    assert assign(claim_fixtures, staff, claim_id, "me", 1).status == 200
    assert assign(claim_fixtures, staff, claim_id, None, 1).problem == "stale-version"
    done = assign(claim_fixtures, staff, claim_id, None, 2)
    assert (done.status, done.json["assignee"], done.json["version"]) == (200, None, 3)
    assert list_claims(claim_fixtures, staff, assignee="me") == []
    before = (claim_fixtures.read_row(claim_id), claim_fixtures.count_written(claim_id))
    assert assign(claim_fixtures, staff, claim_id, None, 3).json["version"] == 3
    assert (claim_fixtures.read_row(claim_id), claim_fixtures.count_written(claim_id)) == before
    entries = claim_fixtures.fresh_database.query_rows(
        "SELECT actor FROM audit WHERE action = 'claim.unassigned' AND subject_id = %s", claim_id
    )
    assert entries == [{"actor": staff["sub"]}]


def test_the_owner_does_not_take_a_claim_from_its_assignee(claim_fixtures: ClaimFixtures) -> None:
    """Assigning is staff's work."""
    member, staff = claim_fixtures.add_member(), claim_fixtures.add_staff()
    claim_id = claim_fixtures.claim(member)
    assert assign(claim_fixtures, staff, claim_id, "me", 1).status == 200
    assert assign(claim_fixtures, member, claim_id, None, 2).problem == "forbidden"
    assert claim_fixtures.read(staff, claim_id).json["assignee"] is not None


def test_an_assignment_names_somebody_or_nobody(claim_fixtures: ClaimFixtures) -> None:
    """A missing field is an error, not an unassignment."""
    staff = claim_fixtures.add_staff()
    claim_id = claim_fixtures.claim(claim_fixtures.add_member())
    reply = claim_fixtures.client.sign_in_as(staff).call(
        "PUT", "/claims/{claim_id}/assignee", {}, if_match=1, claim_id=claim_id
    )
    assert (reply.status, reply.pointers) == (422, ["/staff_id"])
