"""What somebody may is what their token and their account both say, at the moment of the call."""

from typing import Any

import pytest

from agents.app import api as agents_api
from claims.app import api as claims_api
from jobs_api.app import api as jobs_api
from members.app import api as members_api
from shared.api.router import Api
from shared.ids import make_uuid7
from tests.databases import Blank
from tests.harness import STAFF, Client, Reply, claims_of
from tests.integration.claims.cases import Cases, id_of
from tests.integration.room import agent, room, serial, sign_in
from tests.people import person

Token = dict[str, str]


@pytest.fixture
def cases(blank: Blank) -> Cases:
    """Cases on the module's database."""
    return Cases.on(blank)


def call(
    blank: Blank, api: Api[Any], who: Token | None, method: str, resource: str, body: Any = None, **more: Any
) -> Reply:
    """One call of a room of its own, which keeps nothing of other calls."""
    return room(api, blank).as_(who).call(method, resource, body, **more)


def become(blank: Blank, who: Token, role: str) -> None:
    """Give the account behind a token another role."""
    blank.rows("UPDATE accounts SET role = %s WHERE identity_sub = %s", role, who["sub"])


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
    blank: Blank, cases: Cases, api: Api[Any], method: str, resource: str, ids: dict[str, str], role: str | None
) -> None:
    """For as long as it lives: the account is asked in the transaction that reads."""
    member, admin = cases.member(), cases.staff("admin")
    there = {"member": id_of(member), "claim": cases.claim(member), "agent": agent(blank)[0]}
    named = {name: there[what] for name, what in ids.items()}
    assert call(blank, api, admin, method, resource, **named).status == 200
    if role is None:
        blank.rows("UPDATE accounts SET identity_sub = NULL WHERE identity_sub = %s", admin["sub"])
    else:
        become(blank, admin, role)
    known = role in ("member", "agent")
    reply = call(blank, api, admin, method, resource, **named)
    assert reply.problem == ("not-found" if known and named else "forbidden")


def test_an_admins_token_is_staffs_where_the_account_is_staff(blank: Blank, cases: Cases) -> None:
    """History says so too: the token alone makes nobody an admin."""
    admin, claim_id = cases.staff("admin"), cases.claim(cases.member())
    become(blank, admin, "staff")
    assert call(blank, jobs_api, admin, "GET", "/jobs").problem == "forbidden"
    assert call(blank, members_api, admin, "GET", "/members").status == 200
    assert cases.move(admin, claim_id, "verification").status == 200
    assert cases.read(admin, claim_id, "/history").json["items"][0]["by"] == "staff"


def test_a_members_or_agents_token_opens_nothing_of_an_account_of_another_role(blank: Blank, cases: Cases) -> None:
    """Both ways: a member who became an agent needs another token."""
    member, claim_id = cases.member(), None
    claim_id = cases.claim(member)
    become(blank, member, "agent")
    assert cases.read(member, claim_id).problem == "forbidden"  # the claim is theirs, the action not
    assert call(blank, members_api, member, "GET", "/members/me").problem == "forbidden"
    assert call(blank, agents_api, member, "GET", "/agents/me").problem == "forbidden"


def test_who_is_in_two_groups_acts_as_what_the_account_is(blank: Blank, cases: Cases) -> None:
    """A member whom somebody put into a group of staff by hand goes on as a member, and sees no more than one."""
    member, other = cases.member(), cases.member()
    both = {**member, "cognito:groups": "member,admin"}
    mine, theirs = cases.claim(member), cases.claim(other)
    assert cases.read(both, mine).status == 200
    assert cases.read(both, theirs).status == 404
    assert [item["id"] for item in call(blank, claims_api, both, "GET", "/claims").json["items"]] == [mine]
    assert call(blank, members_api, both, "GET", "/members/{member_id}", member_id=id_of(member)).status == 200
    assert call(blank, members_api, both, "GET", "/members/{member_id}", member_id=id_of(other)).status == 404
    assert call(blank, members_api, both, "GET", "/members").problem == "forbidden"


def register(client: Client) -> Reply:
    """A member."""
    return client.as_(None).call("POST", "/members", person(), key=f"key-{serial()}")


@pytest.mark.parametrize("remembered", [True, False], ids=["kept in DynamoDB", "kept in the database alone"])
def test_a_kept_answer_is_not_given_to_who_has_been_removed(blank: Blank, cases: Cases, remembered: bool) -> None:
    """It was about others; their own a member gets again as ever."""
    staff, client = cases.staff(), room(members_api, blank)
    member = register(client).json["id"]
    ids, change = {"member_id": member, "if_match": 1, "key": "once"}, {"language": "en"}
    first = client.as_(staff).call("PATCH", "/members/{member_id}", change, **ids)
    again = client.as_(staff).call("PATCH", "/members/{member_id}", change, **ids)
    assert (first.status, again.body, again.headers["Idempotency-Replayed"]) == (200, first.body, "true")
    become(blank, staff, "former")
    later = client if remembered else room(members_api, blank)
    assert later.as_(staff).call("PATCH", "/members/{member_id}", change, **ids).problem == "forbidden"


def proven(blank: Blank, who: Token) -> Any:
    """When the address behind a token was proven."""
    return blank.rows("SELECT proven_at FROM accounts WHERE identity_sub = %s", who["sub"])[0]["proven_at"]


@pytest.mark.parametrize("role", ["member", "agent", "staff"])
def test_the_first_signed_in_call_proves_the_address_and_no_later_one_does(
    blank: Blank, cases: Cases, role: str
) -> None:
    """Whoever holds a token has read a code, or set a password, by way of the address."""
    who, api, path = {
        "member": (cases.member(), members_api, "/members/me"),
        "agent": (sign_in(blank, agent(blank)[0]), agents_api, "/agents/me"),
        "staff": (cases.staff(), members_api, "/members"),
    }[role]
    assert proven(blank, who) is None
    assert call(blank, api, who, "GET", path).status == 200
    first = proven(blank, who)
    assert first is not None
    assert call(blank, api, who, "GET", path).status == 200
    assert proven(blank, who) == first


def test_a_call_for_somebody_else_proves_nothing_of_theirs(blank: Blank) -> None:
    """Staff who read or change a member, and who registers one, are not that member."""
    client = room(members_api, blank)
    member = register(client).json["id"]
    assert client.as_(STAFF).call("GET", "/members/{member_id}", member_id=member).status == 200
    assert blank.rows("SELECT proven_at FROM accounts WHERE id = %s", member) == [{"proven_at": None}]


def test_a_call_that_is_not_let_in_proves_nothing(blank: Blank, cases: Cases) -> None:
    """A token in a group that the account is not of."""
    member = claims_of(cases.member()["sub"], "agent")
    assert call(blank, agents_api, member, "GET", "/agents/me").status == 403
    assert proven(blank, member) is None


def test_what_is_not_theirs_looks_as_what_is_not_there(blank: Blank, cases: Cases) -> None:
    """By role as by owner: the same words for a record of another's and for one that nobody has."""
    member, me = cases.member(), sign_in(blank, agent(blank)[0])
    claim_id = cases.claim(member)
    replies = [cases.read(me, claim_id), cases.read(me, str(make_uuid7())), cases.read(cases.member(), claim_id)]
    assert {reply.status for reply in replies} == {404}
    assert len({str({**reply.json, "instance": ""}) for reply in replies}) == 1


def test_a_first_call_does_not_wait_for_its_own_account(blank: Blank, cases: Cases) -> None:
    """Another transaction holds the row: the address is proven by the next call."""
    member = cases.member()
    with blank.held("SELECT FROM accounts WHERE identity_sub = %s FOR UPDATE", member["sub"]):
        assert call(blank, members_api, member, "GET", "/members/me").status == 200
        assert proven(blank, member) is None
    assert call(blank, members_api, member, "GET", "/members/me").status == 200
    assert proven(blank, member) is not None
