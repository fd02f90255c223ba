"""Transitions of a claim on a real database: only those of the table, on the version they were decided on."""

import itertools
from concurrent.futures import ThreadPoolExecutor

import psycopg
import pytest

from claims.model import ClaimState
from shared.ids import make_uuid7
from tests.api_client import ApiClient, make_claims
from tests.integration.claims.protocol_trace import trace_round_trips
from tests.integration.claims.sample_claims import STAFF_MOVES, STATES, WITHDRAWABLE, ClaimFixtures, find_account

PAIRS = list(itertools.product(STATES, STATES))
CODES = ("not_covered", "insufficient_evidence", "time_barred", "duplicate", "no_response", "other")


def test_the_states_are_those_of_the_database(claim_fixtures: ClaimFixtures) -> None:
    """The model, the table and these tests have the same eight states."""
    found = {row["state"] for row in claim_fixtures.fresh_database.query_rows("SELECT state FROM claim_states")}
    assert found == set(STATES) == set(ClaimState.__args__)  # type: ignore[attr-defined]


@pytest.mark.parametrize(("before", "after"), PAIRS)
def test_staff_make_the_transitions_of_the_table(claim_fixtures: ClaimFixtures, before: str, after: str) -> None:
    """The pairs of states in the table are made, all others refused. Only the member withdraws."""
    claim_id = claim_fixtures.claim(claim_fixtures.add_member(), state=before)
    row, written = claim_fixtures.read_row(claim_id), claim_fixtures.count_written(claim_id)
    reply = claim_fixtures.change_state(claim_fixtures.add_staff(), claim_id, after)
    if after in STAFF_MOVES[before]:
        assert (reply.status, reply.json["state"], reply.json["version"]) == (200, after, 2)
        assert [b - a for a, b in zip(written, claim_fixtures.count_written(claim_id), strict=True)] == [1, 1, 1]
    else:
        refused = (403, "forbidden") if after == "withdrawn" else (409, "move-not-allowed")
        assert (reply.status, reply.problem) == refused
        assert (claim_fixtures.read_row(claim_id), claim_fixtures.count_written(claim_id)) == (row, written)


@pytest.mark.parametrize(("before", "after"), PAIRS)
def test_a_member_may_only_withdraw(claim_fixtures: ClaimFixtures, before: str, after: str) -> None:
    """They may from submitted, verification or evaluation; any other target is refused as forbidden."""
    member = claim_fixtures.add_member()
    claim_id = claim_fixtures.claim(member, state=before)
    row, written = claim_fixtures.read_row(claim_id), claim_fixtures.count_written(claim_id)
    reply = claim_fixtures.change_state(member, claim_id, after)
    if after == "withdrawn" and before in WITHDRAWABLE:
        assert (reply.status, reply.json["state"]) == (200, "withdrawn")
        assert [b - a for a, b in zip(written, claim_fixtures.count_written(claim_id), strict=True)] == [1, 1, 1]
    else:
        refused = (409, "move-not-allowed") if after == "withdrawn" else (403, "forbidden")
        assert (reply.status, reply.problem) == refused
        assert (claim_fixtures.read_row(claim_id), claim_fixtures.count_written(claim_id)) == (row, written)


def test_staff_who_are_members_too_withdraw_only_their_own_claim(claim_fixtures: ClaimFixtures) -> None:
    """They may see others' claims but not withdraw them; they withdraw their own as members."""
    both = {**claim_fixtures.add_member(), "cognito:groups": "member,staff"}
    mine, theirs = claim_fixtures.claim(both), claim_fixtures.claim(claim_fixtures.add_member())
    assert claim_fixtures.change_state(both, theirs, "withdrawn").status == 404
    assert claim_fixtures.change_state(both, mine, "withdrawn").status == 200
    assert claim_fixtures.read(both, mine, "/history").json["items"][0]["by"] == "member"


@pytest.mark.parametrize(("before", "after"), PAIRS)
def test_the_database_itself_refuses_what_the_table_does_not_know(
    claim_fixtures: ClaimFixtures, before: str, after: str
) -> None:
    """Triggers on the claim's state and on its history refuse it even to the owner of the tables."""
    claim_id = claim_fixtures.claim(claim_fixtures.add_member(), state=before)
    allowed = after in STAFF_MOVES[before] or (after == "withdrawn" and before in WITHDRAWABLE)
    history = (
        "INSERT INTO claim_history (claim_id, version, from_state, to_state, decline_code, actor_role, actor_id)"
        " SELECT id, 99, %s, %s, %s, 'member', member_id FROM claims WHERE id = %s"
    )
    code = "duplicate" if after == "rejected" else None
    if allowed:
        claim_fixtures.fresh_database.query_rows(history, before, after, code, claim_id)
        claim_fixtures.fresh_database.query_rows("UPDATE claims SET state = %s WHERE id = %s", after, claim_id)
    else:
        with pytest.raises(psycopg.errors.ForeignKeyViolation):
            claim_fixtures.fresh_database.query_rows(history, before, after, code, claim_id)
        with pytest.raises(psycopg.DatabaseError, match="move-not-allowed"):
            claim_fixtures.fresh_database.query_rows("UPDATE claims SET state = %s WHERE id = %s", after, claim_id)


def test_a_transition_is_one_round_trip(claim_fixtures: ClaimFixtures) -> None:
    """Lock, version, table, history, claim, mail, audit and key are sent together."""
    member, staff = claim_fixtures.add_member(), claim_fixtures.add_staff()
    claim_id = claim_fixtures.claim(member)
    with trace_round_trips(claim_fixtures.client) as round_trips:
        assert claim_fixtures.change_state(staff, claim_id, "evaluation").status == 200
    assert round_trips == ["Sync"]


def test_a_stale_version_changes_nothing_and_says_so_first(claim_fixtures: ClaimFixtures) -> None:
    """412 for another version or a tag that is no version, also where the table would refuse; 428 for none."""
    claim_id, staff = claim_fixtures.claim(claim_fixtures.add_member()), claim_fixtures.add_staff()
    assert claim_fixtures.change_state(staff, claim_id, "verification").status == 200
    row, written = claim_fixtures.read_row(claim_id), claim_fixtures.count_written(claim_id)
    for version in (1, 3):
        reply = claim_fixtures.change_state(staff, claim_id, "court", version)
        assert (reply.status, reply.problem) == (412, "stale-version")
    for tag in ('"x"', '"-1"', '"02"', 'W/"2"', '"1", "3"'):
        resource = "/claims/{claim_id}/transitions"
        body = {"to": "evaluation", "reason": "Checked."}
        assert (
            claim_fixtures.client.sign_in_as(staff).call("POST", resource, body, if_match=tag, claim_id=claim_id).status
            == 412
        )
    missing = claim_fixtures.change_state(staff, claim_id, "evaluation", None)
    assert (missing.status, missing.problem) == (428, "if-match-required")
    assert (claim_fixtures.read_row(claim_id), claim_fixtures.count_written(claim_id)) == (row, written)


@pytest.mark.parametrize("tags", ['"1", "77"', '"77","1"', 'W/"1", "1"', "*"])
def test_a_transition_may_be_decided_on_any_of_several_versions(claim_fixtures: ClaimFixtures, tags: str) -> None:
    """One of the tags has to be the claim's version; `*` matches any version of an existing claim."""
    claim_id, client = (
        claim_fixtures.claim(claim_fixtures.add_member()),
        claim_fixtures.client.sign_in_as(claim_fixtures.add_staff()),
    )
    resource, body = "/claims/{claim_id}/transitions", {"to": "evaluation", "reason": "Checked."}
    assert client.call("POST", resource, body, if_match=tags, claim_id=claim_id).json["version"] == 2
    assert client.call("POST", resource, body, if_match=tags, claim_id=str(make_uuid7())).status == 404


def test_of_twenty_transitions_decided_on_one_version_one_is_made(claim_fixtures: ClaimFixtures) -> None:
    """One gets a 200 and 19 get a 412; there is one history row and one mail."""
    claim_id = claim_fixtures.claim(claim_fixtures.add_member())
    clients = [claim_fixtures.make_another_client().sign_in_as(claim_fixtures.add_staff()) for _ in range(20)]
    written = claim_fixtures.count_written(claim_id)

    def change_state(client: ApiClient) -> int:
        body = {"to": "verification", "reason": "Checked."}
        return client.call("POST", "/claims/{claim_id}/transitions", body, if_match=1, claim_id=claim_id).status

    with ThreadPoolExecutor(20) as pool:
        assert sorted(pool.map(change_state, clients)) == [200] + [412] * 19
    assert [b - a for a, b in zip(written, claim_fixtures.count_written(claim_id), strict=True)] == [1, 1, 1]


def test_a_repeated_transition_is_made_once(claim_fixtures: ClaimFixtures) -> None:
    """The same key gets the first answer, although the store has lost the key and the version is stale."""
    claim_id, staff = claim_fixtures.claim(claim_fixtures.add_member()), claim_fixtures.add_staff()
    body = {"to": "evaluation", "reason": "Checked."}

    def change_state() -> tuple[int, str]:
        client = claim_fixtures.make_another_client().sign_in_as(staff)
        reply = client.call("POST", "/claims/{claim_id}/transitions", body, key="again", if_match=1, claim_id=claim_id)
        return reply.status, reply.body

    first, again = change_state(), change_state()
    assert first[0] == 200
    assert again == first
    assert claim_fixtures.read_row(claim_id)["version"] == 2


@pytest.mark.parametrize("code", CODES)
def test_a_rejection_says_why(claim_fixtures: ClaimFixtures, code: str) -> None:
    """It has one of six codes, which the history keeps."""
    member = claim_fixtures.add_member()
    claim_id = claim_fixtures.claim(member)
    assert (
        claim_fixtures.change_state(claim_fixtures.add_staff(), claim_id, "rejected", decline_code=code).status == 200
    )
    last = claim_fixtures.read(member, claim_id, "/history").json["items"][0]
    assert (last["to"], last["decline_code"], last["reason"]) == ("rejected", code, "Checked.")


@pytest.mark.parametrize(
    ("body", "pointers"),
    [
        ({"to": "rejected", "reason": "No."}, ["/decline_code"]),
        ({"to": "rejected", "reason": "No.", "decline_code": None}, ["/decline_code"]),
        ({"to": "rejected", "reason": "No.", "decline_code": "whim"}, ["/decline_code"]),
        ({"to": "rejected", "decline_code": "other"}, ["/reason"]),
        ({"to": "evaluation", "reason": "Yes.", "decline_code": "other"}, ["/decline_code"]),
        ({"to": "evaluation"}, ["/reason"]),
        ({"to": "evaluation", "reason": None}, ["/reason"]),
        ({"to": "evaluation", "reason": " "}, ["/reason"]),
        ({"to": "evaluation", "reason": "x" * 2001}, ["/reason"]),
        ({"to": "closed", "reason": "Yes."}, ["/to"]),
        ({"reason": "Yes."}, ["/to"]),
        ({"to": "evaluation", "reason": "Yes.", "state": "court"}, ["/state"]),
    ],
)
def test_a_transition_that_is_not_complete_is_refused(
    claim_fixtures: ClaimFixtures, body: dict[str, str], pointers: list[str]
) -> None:
    """A reason is required, and a code for rejections only; nothing is written."""
    claim_id = claim_fixtures.claim(claim_fixtures.add_member())
    resource = "/claims/{claim_id}/transitions"
    reply = claim_fixtures.client.sign_in_as(claim_fixtures.add_staff()).call(
        "POST", resource, body, if_match=1, claim_id=claim_id
    )
    assert (reply.status, reply.pointers, claim_fixtures.read_row(claim_id)["version"]) == (422, pointers, 1)


@pytest.mark.parametrize(
    ("before", "after", "template"),
    [
        ("evaluation", "verification", "documents-requested"),
        ("submitted", "verification", "claim-moved"),
        ("evaluation", "resolved", "claim-moved"),
        ("submitted", "rejected", "claim-moved"),
    ],
)
def test_the_member_gets_a_mail_about_a_transition(
    claim_fixtures: ClaimFixtures, before: str, after: str, template: str
) -> None:
    """It names the version it is about, since there may be another by then; back to verification asks for documents."""
    member = claim_fixtures.add_member()
    claim_id = claim_fixtures.claim(member, state=before)
    claim_fixtures.fresh_database.query_rows("DELETE FROM outbox WHERE subject_id = %s", claim_id)
    claim_fixtures.change_state(claim_fixtures.add_staff(), claim_id, after)
    jobs = claim_fixtures.fresh_database.query_rows(
        "SELECT kind, priority, payload FROM outbox WHERE subject_id = %s", claim_id
    )
    facts, origin = jobs[0]["payload"].pop("facts"), jobs[0]["payload"].pop("origin")
    payload = {"template": template, "to": f"account:{find_account(member)}"}
    assert origin.keys() == {"request_id", "traceparent"}
    assert jobs == [{"kind": "mail", "priority": "normal", "payload": payload}]
    expected = {"version": "2", "from_state": before, "to_state": after, "reason": "Checked."}
    assert facts.items() >= expected.items()


def test_a_transition_wakes_the_relay(claim_fixtures: ClaimFixtures) -> None:
    """The mail therefore does not wait for the schedule."""
    claim_id, staff = claim_fixtures.claim(claim_fixtures.add_member()), claim_fixtures.add_staff()
    wake_ups = claim_fixtures.client.container.queues
    before = wake_ups.count  # type: ignore[attr-defined]
    claim_fixtures.change_state(staff, claim_id, "evaluation")
    assert wake_ups.count == before + 1  # type: ignore[attr-defined]


def test_a_transition_names_who_made_it(claim_fixtures: ClaimFixtures) -> None:
    """Admin, staff and member, by role and account; the audit by identity, without the reason's text."""
    member, staff, admin = claim_fixtures.add_member(), claim_fixtures.add_staff(), claim_fixtures.add_staff("admin")
    claim_id = claim_fixtures.claim(member)
    claim_fixtures.change_state(staff, claim_id, "verification", 1)
    claim_fixtures.change_state(admin, claim_id, "evaluation", 2)
    claim_fixtures.change_state(member, claim_id, "withdrawn", 3)
    rows = claim_fixtures.fresh_database.query_rows(
        "SELECT actor_role, actor_id::text FROM claim_history WHERE claim_id = %s ORDER BY version", claim_id
    )
    expected = [("member", member), ("staff", staff), ("admin", admin), ("member", member)]
    assert [(row["actor_role"], row["actor_id"]) for row in rows] == [
        (role, find_account(who)) for role, who in expected
    ]
    audit = claim_fixtures.fresh_database.query_rows(
        "SELECT actor, facts FROM audit WHERE subject_id = %s AND action = 'claim.transitioned'", claim_id
    )
    assert [(entry["actor"], entry["facts"]) for entry in audit] == [
        (staff["sub"], {"from": "submitted", "to": "verification"}),
        (admin["sub"], {"from": "verification", "to": "evaluation"}),
        (member["sub"], {"from": "evaluation", "to": "withdrawn"}),
    ]


def test_a_token_without_an_account_makes_no_transition(claim_fixtures: ClaimFixtures) -> None:
    """The group says staff, but the history could name no account."""
    claim_id = claim_fixtures.claim(claim_fixtures.add_member())
    reply = claim_fixtures.change_state(make_claims("stranger", "staff"), claim_id, "evaluation")
    assert (reply.status, reply.problem, claim_fixtures.read_row(claim_id)["version"]) == (403, "forbidden", 1)


def test_a_claims_time_begins_anew_with_each_transition(claim_fixtures: ClaimFixtures) -> None:
    """The days until a claim is stuck or overdue count from its last transition."""
    claim_id, staff = claim_fixtures.claim(claim_fixtures.add_member()), claim_fixtures.add_staff()
    claim_fixtures.fresh_database.query_rows(
        "UPDATE claims SET state_since = now() - interval '9 days', sla_notified_at = now() WHERE id = %s", claim_id
    )
    listed = {"stuck": "true", "limit": "100"}

    def is_stuck() -> bool:
        items = claim_fixtures.client.sign_in_as(staff).call("GET", "/claims", query=listed).json["items"]
        return claim_id in {item["id"] for item in items}

    assert is_stuck()
    claim_fixtures.change_state(staff, claim_id, "evaluation")
    assert not is_stuck()
    assert claim_fixtures.read_row(claim_id)["sla_notified_at"] is None


@pytest.mark.parametrize("statement", ["UPDATE claim_history SET reason = 'x'", "DELETE FROM claim_history"])
def test_not_even_the_owner_rewrites_a_claims_history(claim_fixtures: ClaimFixtures, statement: str) -> None:
    """A trigger refuses what a grant would allow."""
    claim_fixtures.claim(claim_fixtures.add_member())
    with pytest.raises(psycopg.DatabaseError, match="append-only"):
        claim_fixtures.fresh_database.query_rows(statement)
