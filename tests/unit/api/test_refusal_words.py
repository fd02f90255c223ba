"""Refusals say what is wrong with this very request, and link to the page of their problem."""

import re
from importlib import import_module
from typing import Any

import pytest

from claims.app import api as claims
from members.app import api as members
from pages.app import api as pages
from shared.api.problem_pages import list_problem_pages
from shared.api.problems import CATALOGUE, URN
from shared.api.roles import ROLES, describe_access
from shared.api.router import Api
from shared.errors import Refusal
from shared.settings import Settings
from tests.api_client import STAFF, ApiClient, ApiReply, make_claims, make_container
from tests.fakes.admission import InMemoryAdmissionStore
from tests.fakes.database import ScriptedDatabase
from tests.sample_people import make_person
from tests.services import ROOT
from tests.settings.test_limits import APPS

APIS: list[Api[Any]] = [import_module(app).api for app in APPS]
OPERATIONS = [operation for api in APIS for operation in api.operations.values()]
CLAIM_ID = "01a21d14-4355-7ab3-b247-311b84ecccab"
MEMBER = make_claims("member-1", "member")


def refuse(name: str) -> Any:
    def answer() -> Any:
        raise Refusal(name)

    return answer


def make_client(api: Api[Any], claims: Any = None, answer: Any = dict, **settings: Any) -> ApiClient:
    container = make_container(
        Settings(cursor_secret="x", **settings),
        database=ScriptedDatabase(answer),
        admission_store=InMemoryAdmissionStore(),
    )
    return ApiClient(api, container, claims)


@pytest.mark.parametrize("operation", [o for o in OPERATIONS if o.access], ids=lambda o: f"{o.method} {o.resource}")
def test_every_operation_names_the_roles_that_may_call_it(operation: Any) -> None:
    """Each role that may is named, and no other."""
    only = describe_access(operation).partition(" may do this")[0]
    assert {group for group, word in ROLES.items() if re.search(rf"\b{word}\b", only)} == operation.access


def test_a_caller_of_another_role_learns_which_roles_may() -> None:
    """Also one whose token names the role, and whose account has lost it."""
    by_token = make_client(members, MEMBER).call("GET", "/members")
    by_account = make_client(members, STAFF, refuse("forbidden")).call("GET", "/members")
    assert (by_token.status, by_account.status, by_token.problem) == (403, 403, "forbidden")
    assert by_token.json["detail"] == by_account.json["detail"]
    assert by_token.json["detail"].startswith("Only staff and admins may do this: ")


def test_a_registration_names_the_role_and_that_none_is_needed() -> None:
    client = make_client(members)
    client.container.__dict__["_verifier"] = lambda _token: MEMBER
    reply = client.call("POST", "/members", make_person(), key="k", headers={"Authorization": "Bearer token"})
    assert (
        reply.status,
        "Only agents, staff and admins may do this, or without an access token" in reply.json["detail"],
    ) == (403, True)


def test_a_transition_says_who_may_make_which() -> None:
    """Members and staff may both make the call, but not the same transitions."""
    reply = make_client(claims, MEMBER, refuse("forbidden")).call(
        "POST",
        "/claims/{claim_id}/transitions",
        {"to": "evaluation", "reason": "Please."},
        if_match=1,
        claim_id=CLAIM_ID,
    )
    assert (reply.status, "A member may withdraw their own claim; every other" in reply.json["detail"]) == (403, True)


@pytest.mark.parametrize(
    ("sent", "said"),
    [
        (CLAIM_ID[:-1], "is not an id: it has 35, and an id has 36 characters, like 01a20ba6-"),
        ("CLM-2026-000045", "is not an id: it has 15, and an id has 36 characters, like 01a20ba6-"),
        (CLAIM_ID[:-1] + "x", "is not an id: it has a character other than 0 to 9, a to f and dashes"),
        (CLAIM_ID.replace("-", "0", 1)[:-1] + "-", "is not an id: its dashes stand in other places"),
    ],
)
def test_an_id_that_is_none_is_named_with_what_is_wrong(sent: str, said: str) -> None:
    """404 as for any record that does not exist; the pointer is the path parameter's name."""
    reply = make_client(claims, STAFF).call("GET", "/claims/{claim_id}", claim_id=sent)
    assert (reply.status, reply.problem, reply.pointers) == (404, "not-found", ["claim_id"])
    assert reply.json["errors"][0]["detail"].startswith(said)
    assert sent not in reply.body


def test_a_record_that_may_be_somebody_elses_says_no_more() -> None:
    reply = make_client(claims, STAFF, refuse("not-found")).call("GET", "/claims/{claim_id}", claim_id=CLAIM_ID)
    assert reply.json["detail"] == CATALOGUE["not-found"].detail
    assert "errors" not in reply.json


def test_an_unknown_filter_is_told_the_filters_that_exist() -> None:
    reply = make_client(claims, STAFF).call("GET", "/claims", query={"status": "submitted"})
    assert (reply.status, reply.pointers) == (422, ["status"])
    assert reply.json["errors"][0]["detail"].startswith("is not a parameter of this call; its parameters are limit, ")
    assert "state, assignee" in reply.json["errors"][0]["detail"]


def test_a_wrong_method_is_told_the_methods_of_the_path() -> None:
    reply = make_client(claims, STAFF).call("PUT", "/claims/{claim_id}", claim_id=CLAIM_ID)
    assert (reply.status, reply.json["detail"]) == (405, "This path takes GET, HEAD, OPTIONS.")


def test_a_caller_over_a_limit_is_told_the_limit_and_the_time() -> None:
    client = make_client(claims, STAFF, limits={"read": (1, 60)})
    for _ in range(2):
        reply = client.call("GET", "/claims/{claim_id}", claim_id=CLAIM_ID)
    assert (reply.status, reply.headers["Retry-After"]) == (429, "60")
    assert reply.json["detail"] == "The limit read takes 1 request in 60 seconds. Wait 60 seconds."


@pytest.mark.parametrize(
    ("headers", "pointer", "said"),
    [
        ({"Idempotency-Key": "x" * 256}, "Idempotency-Key", "has 256 characters, and may have at most 255"),
        ({"Idempotency-Key": ""}, "Idempotency-Key", "has 0 characters, and needs at least 1"),
        ({"Idempotency-Key": "a b"}, "Idempotency-Key", "has a character that is not visible ASCII, such as a space"),
        ({"Idempotency-Key": '"a'}, "Idempotency-Key", "begins with a quote, and is not one string in quotes"),
        ({"If-Match": "1"}, "If-Match", "is no list of ETags"),
    ],
)
def test_a_header_is_pointed_to_by_its_name(headers: dict[str, str], pointer: str, said: str) -> None:
    reply = make_client(members, STAFF).call(
        "PATCH", "/members/{member_id}", {"language": "sq"}, headers=headers, member_id=CLAIM_ID
    )
    assert (reply.status, reply.json["errors"]) == (400, [{"pointer": pointer, "detail": said}])


def read_documentation() -> str:
    return make_client(pages).call("GET", "/docs").body


def test_every_problem_has_its_page() -> None:
    """A section of the documentation that the stack serves, and one of the reference, with the same words."""
    served, kept = read_documentation(), (ROOT / "docs/reference/problems.md").read_text(encoding="utf-8")
    listed = {page.name: page for page in list_problem_pages()}
    assert listed.keys() == CATALOGUE.keys()
    for name, page in listed.items():
        [section] = re.findall(rf'<section id="problem-{name}">(.*?)</section>', served, re.S)
        assert f"<code>{URN}{name}</code>" in section
        assert f"\n## {name}\n" in kept
        assert all(text in kept for text in page.paragraphs)


@pytest.mark.parametrize("base", ["/api", "", "/v1/interdomestik"])
def test_every_answer_of_a_problem_links_to_its_page(base: str) -> None:
    """The link begins with the base path by which the API was called, whatever the status."""
    for reply in cause_problems(base):
        [(target, _)] = re.findall(r'<([^>]+)>; (rel="describedby")', reply.headers["Link"])
        assert target == f"{base}/docs#problem-{reply.problem}"
        assert f'id="problem-{reply.problem}"' in read_documentation()


def cause_problems(base: str) -> list[ApiReply]:
    client, signed_in = make_client(claims), make_client(claims, STAFF)
    client.base_path = signed_in.base_path = base
    return [
        client.call("GET", "/claims"),
        client.call("POST", "/claims/{claim_id}", claim_id=CLAIM_ID),
        signed_in.call("GET", "/claims/{claim_id}", claim_id="x"),
        signed_in.call("GET", "/claims", query={"limit": "0"}),
        signed_in.call("POST", "/claims", {}),
    ]
