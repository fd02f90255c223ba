"""The limit that each operation is charged with, and that each limit accepts what it says at the deployed settings."""

import importlib
import itertools
from collections.abc import Iterator
from typing import Any

import pytest

from shared.api.call import Call
from shared.api.responses import Answer, make_answer
from shared.api.router import Api
from shared.fields import RequestModel, ResponseModel
from shared.settings import Settings
from tests.api_client import ApiClient, make_container
from tests.fakes.admission import InMemoryAdmissionStore
from tests.fakes.clock import ManualClock
from tests.fakes.database import ScriptedDatabase, run_nothing
from tests.settings.deployed import load_template
from tests.settings.test_defaults import LIMITS

_serial = itertools.count(1)
APPS = ("agents.app", "members.app", "claims.app", "jobs_api.app", "health.app", "pages.app")
# Reads are charged as "read"; these are not, and these writes have a limit of their own.
CHARGED: dict[str, str | None] = {
    "POST /agents": "agent-application",
    "POST /agents/{agent_id}/decision": "claim-work",
    "PATCH /agents/{agent_id}": "claim-work",
    "POST /commissions/{commission_id}/decision": "claim-work",
    "POST /payouts": "claim-work",
    "POST /members": "member-registration",
    "PATCH /members/{member_id}": "membership-change",
    "PATCH /members/me": "membership-change",
    "POST /members/{member_id}/renewals": "membership-change",
    "POST /members/{member_id}/cancellation": "membership-change",
    "POST /members/{member_id}/pause": "membership-change",
    "POST /members/{member_id}/resume": "membership-change",
    "POST /claims": "claim-submission",
    "POST /claims/{claim_id}/transitions": "claim-work",
    "PUT /claims/{claim_id}/assignee": "claim-work",
    "POST /claims/{claim_id}/documents": "document-upload",
    "POST /claims/{claim_id}/documents/{document_id}/completion": "read",
    "DELETE /claims/{claim_id}/documents/{document_id}": "document-upload",
    "POST /jobs/{job_id}/replay": "claim-work",
    "POST /jobs/{job_id}/dismiss": "claim-work",
    "GET /health": None,
    "GET /health/deep": "health-deep",
}
# Operations without a limit per client, each with its reason.
UNLIMITED = {"GET /health": "It touches nothing outside the process, the limiter's table included."}


class SubmittedForm(RequestModel):
    name: str


class SubmittedView(ResponseModel):
    name: str


def list_operations() -> Iterator[tuple[str, Any]]:
    """Return each operation by method and path, with the limit that somebody who is not signed in is charged with."""
    for app in APPS:
        for (method, path), operation in importlib.import_module(app).api.operations.items():
            yield f"{method} {path}", operation.limit(None) if callable(operation.limit) else operation.limit


def list_deployed_routes() -> Iterator[str]:
    """Yield the method and path of each route of template.yaml that has a method of its own."""
    for resource in load_template()["Resources"].values():
        for event in resource.get("Properties", {}).get("Events", {}).values():
            if event["Type"] == "Api" and event["Properties"]["Method"] != "any":
                yield f"{event['Properties']['Method'].upper()} {event['Properties']['Path']}"


def test_every_operation_is_charged_with_the_limit_decided_on() -> None:
    """A read that is not named is charged as a read; a write has to be named."""
    found = dict(list_operations())
    reads = {name: "read" for name in found if name.startswith("GET ")}
    assert found == {**reads, **CHARGED}


def test_every_route_that_is_deployed_has_a_limit_per_client() -> None:
    """In template.yaml's routes HEAD is charged as its GET is, and ANY only ends in 404 or 405."""
    charged = {name for name, limit in list_operations() if limit is not None}
    assert {name.replace("HEAD ", "GET ") for name in list_deployed_routes()} == charged | set(UNLIMITED)


@pytest.mark.parametrize(("name", "limit"), LIMITS.items())
def test_a_limit_lets_in_its_burst_and_then_one_at_a_time(name: str, limit: tuple[int, float]) -> None:
    """At the deployed settings the next call is accepted an even share of the period later, and not before."""
    burst, period_s = limit
    clock = ManualClock()
    client = _make_client(name, clock)
    assert [_call(client) for _ in range(burst + 1)] == [200] * burst + [429]
    clock.advance(period_s / burst - 0.1)
    assert _call(client) == 429
    clock.advance(0.2)
    assert [_call(client), _call(client)] == [200, 429]


def _make_client(limit: str, clock: ManualClock) -> ApiClient:
    """Return a caller of an operation that is charged with that limit."""
    api = Api()

    @api.post(
        "/forms",
        summary="Send a form",
        input=SubmittedForm,
        answer=SubmittedView,
        sign_in="none",
        key="required",
        limit=limit,
    )
    def send(call: Call[SubmittedForm]) -> Answer:
        """Take a form."""
        return make_answer(SubmittedView(**call.run_once(run_nothing)))

    state = InMemoryAdmissionStore(clock)
    database = ScriptedDatabase(lambda: {"name": "x"})
    return ApiClient(
        api, make_container(Settings.from_environ({"LIMITS": "{}"}), database=database, admission_store=state)
    )


def _call(client: ApiClient) -> int:
    return client.call("POST", "/forms", {"name": "x"}, key=f"key-{next(_serial)}").status
