"""What is in code and not in the template, or the reverse, is found; what is printed can be pasted."""

import re
from dataclasses import replace

import pytest

from claims.app import api
from tests.services import ROOT
from tools import routes

TEMPLATE = (ROOT / "template.yaml").read_text(encoding="utf-8")
EVENT = re.compile(r"^        (\w+):\n          Type: Api\n          Properties: .*\n", re.MULTILINE)
MOVE = (
    "        MoveClaim:\n"
    "          Type: Api\n"
    "          Properties: {RestApiId: !Ref Api, Path: '/claims/{claim_id}/transitions', Method: post}\n"
)


def paste_into(function: str, entry: str, template: str) -> str:
    """Return the template with an entry at the beginning of a function's events."""
    head, mark, rest = template.partition(f"\n  {function}:\n")
    before, events, after = rest.partition("\n      Events:\n")
    return head + mark + before + events + entry + after


def test_code_and_template_are_the_same() -> None:
    """Nothing is printed then."""
    assert routes.check_template(TEMPLATE) == []


@pytest.mark.parametrize("name", ["MoveClaim", "OtherClaims", "Apply", "Health", "OtherHealth", "Root", "Docs"])
def test_a_missing_event_is_printed_so_that_it_can_be_pasted(name: str) -> None:
    """Of any function, locked or open; pasted as it is printed, nothing is missing any more."""
    [event] = [found[0] for found in EVENT.finditer(TEMPLATE) if found[1] == name]
    without = TEMPLATE.replace(event, "")
    [printed] = routes.check_template(without)
    problem, _, entry = printed.partition("\n")
    function = problem.split()[1]
    assert problem.startswith("template.yaml: ")
    assert problem.endswith(". Paste into its Events:")
    assert EVENT.fullmatch(entry)
    assert routes.check_template(paste_into(function, entry, without)) == []


def test_an_operation_that_is_only_in_code_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    """A new path needs a second event, by which wrong methods get 405."""
    operation = api.operations["POST", "/claims/{claim_id}/transitions"]
    added = replace(operation, resource="/claims/{claim_id}/notes")
    monkeypatch.setitem(api.operations, ("POST", added.resource), added)
    locked, rest = routes.check_template(TEMPLATE)
    assert "ClaimsFunction has no event for POST /claims/{claim_id}/notes." in locked
    assert "ClaimsFunction has no event for ANY /claims/{claim_id}/notes." in rest
    assert "Path: '/claims/{claim_id}/notes', Method: post}\n" in locked
    assert "Path: '/claims/{claim_id}/notes', Method: any, Auth: {Authorizer: NONE}}\n" in rest


def test_an_event_that_is_only_in_the_template_is_found() -> None:
    """The message names the operation that would need it."""
    entry = MOVE.replace("MoveClaim", "Vanished").replace("transitions", "notes")
    [printed] = routes.check_template(paste_into("ClaimsFunction", entry, TEMPLATE))
    assert "ClaimsFunction has the event Vanished for POST /claims/{claim_id}/notes, and claims.app has no" in printed
    assert '@api.post("/claims/{claim_id}/notes",' in printed
    assert "functions/claims/claims/app.py" in printed


def test_an_event_for_wrong_methods_of_a_path_without_operations_is_found() -> None:
    """It would answer 405 where 404 is right."""
    entry = MOVE.replace("MoveClaim", "Left").replace("transitions', Method: post", "notes', Method: any")
    entry = entry.replace("any}", "any, Auth: {Authorizer: NONE}}")
    [printed] = routes.check_template(paste_into("ClaimsFunction", entry, TEMPLATE))
    assert "a path that has no operation. Remove it:\n        Left:\n" in printed


def test_a_door_that_is_open_in_the_template_alone_is_found() -> None:
    """The wrong event and the right one are printed."""
    opened = TEMPLATE.replace(MOVE, MOVE.replace("post}", "post, Auth: {Authorizer: NONE}}"))
    missing, surplus = routes.check_template(opened)
    assert "has no event for POST /claims/{claim_id}/transitions." in missing
    assert "has the event MoveClaim for POST /claims/{claim_id}/transitions without a token" in surplus


def test_an_operation_of_another_function_is_found() -> None:
    """The gateway would ask a function that does not know the path."""
    moved = paste_into("MembersFunction", MOVE, TEMPLATE.replace(MOVE, ""))
    missing, surplus = routes.check_template(moved)
    assert missing.startswith("template.yaml: ClaimsFunction has no event for POST")
    assert surplus.startswith("template.yaml: MembersFunction has the event MoveClaim")


def test_an_event_gets_a_name_that_its_function_does_not_have_yet() -> None:
    """CloudFormation has one entry for a name: the second would take the first one's place."""
    name = "TransitionClaim"
    own = routes.make_name(api.operations["POST", "/claims/{claim_id}/transitions"].run.__name__)
    assert own == name
    renamed = TEMPLATE.replace(MOVE, "").replace("        AssignClaim:\n", f"        {name}:\n")
    [printed] = routes.check_template(renamed)
    assert f"\n        {name}2:\n" in printed


def test_every_operation_is_stated_where_people_state_it_again() -> None:
    assert routes.list_unstated(routes.import_functions(TEMPLATE)) == []


def test_an_operation_that_is_stated_once_only_is_printed_with_what_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each file with how its entry begins; of the answers for `sam local`, that to a wrong method too."""
    path = "/claims/{claim_id}/notes"
    added = replace(api.operations["POST", "/claims/{claim_id}/transitions"], resource=path)
    monkeypatch.setitem(api.operations, ("POST", path), added)
    printed = routes.list_unstated(routes.import_functions(TEMPLATE))
    assert [line.strip().split(" is missing. Its entry begins: ") for line in printed] == [
        [f"tests/template/test_routes.py: POST {path}", f'ExpectedRoute("post", "{path}", "ClaimsFunction"),'],
        [f"tests/integration/access/permissions.toml: POST {path}", f'[operations."POST {path}"]'],
        [f"tools/events/requests.py: POST {path}", f'"POST {path}": SampleRequest(…),'],
        [f"tests/sam/answers.toml: POST {path}", '["claims/post_claims_claim_id_notes"]'],
        [f"tests/sam/answers.toml: ANY {path}", '["claims/any_claims_claim_id_notes"]'],
    ]
