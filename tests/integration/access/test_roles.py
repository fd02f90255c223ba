"""A caller's rights need both the token and the account, as they are at the moment of the call."""

from typing import Any

import pytest

from agents.app import api as agents_api
from claims.app import api as claims_api
from jobs_api.app import api as jobs_api
from members.app import api as members_api
from shared.api.router import Api
from shared.ids import make_uuid7
from tests.api_client import STAFF, ApiClient, ApiReply, make_claims
from tests.databases import FreshDatabase
from tests.integration.claims.sample_claims import ClaimFixtures, find_account
from tests.integration.function_client import add_agent, get_next_serial, make_client, sign_in
from tests.sample_people import make_person

Token = dict[str, str]


@pytest.fixture
def claim_fixtures(fresh_database: FreshDatabase) -> ClaimFixtures:
    """Cases on the module's database."""
    return ClaimFixtures.make_in(fresh_database)


def call(
    fresh_database: FreshDatabase,
    api: Api[Any],
    who: Token | None,
    method: str,
    resource: str,
    body: Any = None,
    **more: Any,
) -> ApiReply:
    """Make one call of a new environment."""
    return make_client(api, fresh_database).sign_in_as(who).call(method, resource, body, **more)


def become(fresh_database: FreshDatabase, who: Token, role: str) -> None:
    """Give the account behind a token another role."""
    fresh_database.query_rows("UPDATE accounts SET role = %s WHERE identity_sub = %s", role, who["sub"])


READS = [
    (members_api, "GET", "/members", {}),
    (members_api, "GET", "/members/{member_id}", {"member_id": "member"}),
    (agents_api, "GET", "/agents", {}),
    (agents_api, "GET", "/agents/{agent_id}", {"agent_id": "agent"}),
    (claims_api, "GET", "/claims", {}),
    (claims_api, "GET", "/claims/{claim_id}", {"claim_id": "claim"}),
    (claims_api, "GET", "/claims/{claim_id}/history", {"claim_id": "claim"}),
    (claims_api, "GET", "/claims/{claim_id}/documents", {"claim_id": "claim"}),
    (jobs_api, "GET", "/jobs", {}),
]


@pytest.mark.parametrize("role", ["former", "member", "agent", None])
@pytest.mark.parametrize(("api", "method", "resource", "ids"), READS, ids=[f"{m} {r}" for _, m, r, _ in READS])
def test_a_token_of_staff_reads_nothing_once_the_account_is_not_theirs(
    fresh_database: FreshDatabase,
    claim_fixtures: ClaimFixtures,
    api: Api[Any],
    method: str,
    resource: str,
    ids: dict[str, str],
    role: str | None,
) -> None:
    """This holds for the token's whole life: the reading transaction asks the account."""
    member, admin = claim_fixtures.add_member(), claim_fixtures.add_staff("admin")
    there = {
        "member": find_account(member),
        "claim": claim_fixtures.claim(member),
        "agent": add_agent(fresh_database)[0],
    }
    named = {name: there[what] for name, what in ids.items()}
    assert call(fresh_database, api, admin, method, resource, **named).status == 200
    if role is None:
        fresh_database.query_rows("UPDATE accounts SET identity_sub = NULL WHERE identity_sub = %s", admin["sub"])
    else:
        become(fresh_database, admin, role)
    known = role in ("member", "agent")
    reply = call(fresh_database, api, admin, method, resource, **named)
    assert reply.problem == ("not-found" if known and named else "forbidden")


def test_an_admins_token_is_staffs_where_the_account_is_staff(
    fresh_database: FreshDatabase, claim_fixtures: ClaimFixtures
) -> None:
    """The history says staff too: a token alone makes nobody an admin."""
    admin, claim_id = claim_fixtures.add_staff("admin"), claim_fixtures.claim(claim_fixtures.add_member())
    become(fresh_database, admin, "staff")
    assert call(fresh_database, jobs_api, admin, "GET", "/jobs").problem == "forbidden"
    assert call(fresh_database, members_api, admin, "GET", "/members").status == 200
    assert claim_fixtures.change_state(admin, claim_id, "verification").status == 200
    assert claim_fixtures.read(admin, claim_id, "/history").json["items"][0]["by"] == "staff"


def test_a_members_or_agents_token_opens_nothing_of_an_account_of_another_role(
    fresh_database: FreshDatabase, claim_fixtures: ClaimFixtures
) -> None:
    """A member who became an agent reads nothing, as member or as agent, until they have a new token."""
    member, claim_id = claim_fixtures.add_member(), None
    claim_id = claim_fixtures.claim(member)
    become(fresh_database, member, "agent")
    assert claim_fixtures.read(member, claim_id).problem == "forbidden"  # the claim is theirs, the action not
    assert call(fresh_database, members_api, member, "GET", "/members/me").problem == "forbidden"
    assert call(fresh_database, agents_api, member, "GET", "/agents/me").problem == "forbidden"


def test_who_is_in_two_groups_acts_as_what_the_account_is(
    fresh_database: FreshDatabase, claim_fixtures: ClaimFixtures
) -> None:
    """A member who was put into a group of staff by hand stays a member and sees no more."""
    member, other = claim_fixtures.add_member(), claim_fixtures.add_member()
    both = {**member, "cognito:groups": "member,admin"}
    mine, theirs = claim_fixtures.claim(member), claim_fixtures.claim(other)
    assert claim_fixtures.read(both, mine).status == 200
    assert claim_fixtures.read(both, theirs).status == 404
    assert [item["id"] for item in call(fresh_database, claims_api, both, "GET", "/claims").json["items"]] == [mine]
    assert (
        call(fresh_database, members_api, both, "GET", "/members/{member_id}", member_id=find_account(member)).status
        == 200
    )
    assert (
        call(fresh_database, members_api, both, "GET", "/members/{member_id}", member_id=find_account(other)).status
        == 404
    )
    assert call(fresh_database, members_api, both, "GET", "/members").problem == "forbidden"


def register(client: ApiClient) -> ApiReply:
    """Register a member."""
    return client.sign_in_as(None).call("POST", "/members", make_person(), key=f"key-{get_next_serial()}")


@pytest.mark.parametrize("remembered", [True, False], ids=["kept in DynamoDB", "kept in the database alone"])
def test_a_kept_answer_is_not_given_to_who_has_been_removed(
    fresh_database: FreshDatabase, claim_fixtures: ClaimFixtures, remembered: bool
) -> None:
    """The answer was about other people; a member still gets the answer about themselves again."""
    staff, client = claim_fixtures.add_staff(), make_client(members_api, fresh_database)
    member = register(client).json["id"]
    ids, change = {"member_id": member, "if_match": 1, "key": "once"}, {"language": "en"}
    first = client.sign_in_as(staff).call("PATCH", "/members/{member_id}", change, **ids)
    again = client.sign_in_as(staff).call("PATCH", "/members/{member_id}", change, **ids)
    assert (first.status, again.body, again.headers["Idempotency-Replayed"]) == (200, first.body, "true")
    become(fresh_database, staff, "former")
    later = client if remembered else make_client(members_api, fresh_database)
    assert later.sign_in_as(staff).call("PATCH", "/members/{member_id}", change, **ids).problem == "forbidden"


def read_proven_at(fresh_database: FreshDatabase, who: Token) -> Any:
    """Return when the address behind a token was proven."""
    return fresh_database.query_rows("SELECT proven_at FROM accounts WHERE identity_sub = %s", who["sub"])[0][
        "proven_at"
    ]


@pytest.mark.parametrize("role", ["member", "agent", "staff"])
def test_the_first_signed_in_call_proves_the_address_and_no_later_one_does(
    fresh_database: FreshDatabase, claim_fixtures: ClaimFixtures, role: str
) -> None:
    """The holder of a token has read a code, or set a password, by way of the address."""
    who, api, path = {
        "member": (claim_fixtures.add_member(), members_api, "/members/me"),
        "agent": (sign_in(fresh_database, add_agent(fresh_database)[0]), agents_api, "/agents/me"),
        "staff": (claim_fixtures.add_staff(), members_api, "/members"),
    }[role]
    assert read_proven_at(fresh_database, who) is None
    assert call(fresh_database, api, who, "GET", path).status == 200
    first = read_proven_at(fresh_database, who)
    assert first is not None
    assert call(fresh_database, api, who, "GET", path).status == 200
    assert read_proven_at(fresh_database, who) == first


def test_a_call_for_somebody_else_proves_nothing_of_theirs(fresh_database: FreshDatabase) -> None:
    """Staff who read or change a member, and who registers one, are not that member."""
    client = make_client(members_api, fresh_database)
    member = register(client).json["id"]
    assert client.sign_in_as(STAFF).call("GET", "/members/{member_id}", member_id=member).status == 200
    assert fresh_database.query_rows("SELECT proven_at FROM accounts WHERE id = %s", member) == [{"proven_at": None}]


def test_a_call_that_is_not_let_in_proves_nothing(fresh_database: FreshDatabase, claim_fixtures: ClaimFixtures) -> None:
    """The token's group is not the account's role."""
    member = make_claims(claim_fixtures.add_member()["sub"], "agent")
    assert call(fresh_database, agents_api, member, "GET", "/agents/me").status == 403
    assert read_proven_at(fresh_database, member) is None


def test_a_record_of_somebody_else_is_refused_like_a_missing_one(
    fresh_database: FreshDatabase, claim_fixtures: ClaimFixtures
) -> None:
    """A record of somebody else and one that does not exist are refused in the same words, by role as by owner."""
    member, me = claim_fixtures.add_member(), sign_in(fresh_database, add_agent(fresh_database)[0])
    claim_id = claim_fixtures.claim(member)
    replies = [
        claim_fixtures.read(me, claim_id),
        claim_fixtures.read(me, str(make_uuid7())),
        claim_fixtures.read(claim_fixtures.add_member(), claim_id),
    ]
    assert {reply.status for reply in replies} == {404}
    assert len({str({**reply.json, "instance": ""}) for reply in replies}) == 1


def test_a_first_call_does_not_wait_for_its_own_account(
    fresh_database: FreshDatabase, claim_fixtures: ClaimFixtures
) -> None:
    """Another transaction holds the row: the address is proven by the next call."""
    member = claim_fixtures.add_member()
    with fresh_database.hold_lock("SELECT FROM accounts WHERE identity_sub = %s FOR UPDATE", member["sub"]):
        assert call(fresh_database, members_api, member, "GET", "/members/me").status == 200
        assert read_proven_at(fresh_database, member) is None
    assert call(fresh_database, members_api, member, "GET", "/members/me").status == 200
    assert read_proven_at(fresh_database, member) is not None
