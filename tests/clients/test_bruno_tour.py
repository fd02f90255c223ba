"""The Bruno collection, run against a local cloud as Bruno runs it: each request in its order, each assertion."""

from itertools import groupby

import pytest

from tests.clients.bruno import BrunoRequest, BrunoRun, NotUnderstood
from tests.e2e.cloud import RunningCloud, get_next_serial, wait_until
from tests.services import ROOT

COLLECTION = ROOT / "clients/bruno"
FILES = sorted(path for path in COLLECTION.glob("*/*.bru") if path.parent.name != "environments")
REQUESTS = [BrunoRequest.read(path) for path in FILES]


def get_token(cloud: RunningCloud, email: str) -> str:
    """Return the token of somebody who has registered, once their sign-in was created."""
    signed_in = "SELECT id FROM accounts WHERE email = %s AND identity_sub IS NOT NULL"
    wait_until(lambda: cloud.query_rows(signed_in, email), f"the sign-in of {email}")
    return cloud.get_token(email=email)


def test_the_collection_is_run_from_its_first_request_to_its_last(cloud: RunningCloud) -> None:
    """With the variables that the how-to names; the tokens of agent and member are there once the first folder ran."""
    word, staff = f"bruno{get_next_serial()}", cloud.get_token(role="staff")
    run = BrunoRun(COLLECTION, {"api": cloud.url, "run": word, "staff_token": staff})
    folders = groupby(REQUESTS, key=lambda request: request.path.parent.name)
    for number, (_, requests) in enumerate(folders):
        if number == 1:
            run.variables["member_token"] = get_token(cloud, f"besa.{word}@example.test")
            run.variables["agent_token"] = get_token(cloud, f"arta.{word}@example.test")
        for request in requests:
            assert run.send(request) == [], request.path.name


def test_an_assertion_that_does_not_hold_is_named(cloud: RunningCloud) -> None:
    """With the answer; and a request whose variable nobody has set is not sent."""
    read_history = next(request for request in REQUESTS if request.path.name.startswith("07"))
    run = BrunoRun(COLLECTION, {"api": cloud.url, "claim_id": "nothing", "member_token": "nobody"})
    [wrong, _] = run.send(read_history)
    assert wrong.startswith("res.status: eq 200, but: 401 ")
    with pytest.raises(NotUnderstood, match="no value for"):
        BrunoRun(COLLECTION, {}).send(read_history)
