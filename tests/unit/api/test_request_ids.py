"""A request's id is ours: in the answer, its problem, the log and the audit, whatever the client sent."""

from typing import Any
from uuid import UUID

import pytest

from shared.api.call import Call
from shared.api.operation import NoInput
from shared.api.responses import Answer, make_answer
from shared.api.router import Api
from shared.fields import ResponseModel
from shared.outbox.audit import Actor
from shared.settings import Settings
from tests.api_client import LambdaContext, make_container
from tests.fakes.admission import InMemoryAdmissionStore
from tests.fakes.database import ScriptedDatabase, run_nothing


class SeenView(ResponseModel):
    request_id: str


api = Api()
actors: list[Actor] = []


@api.post("/acts", summary="Act", answer=SeenView, sign_in="none")
def act(call: Call[NoInput]) -> Answer:
    """Acts without a key."""
    actors.append(call.actor)
    return make_answer(SeenView(**call.run_once(run_nothing)))


TRACE, SPAN = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
CHOSEN = "chosen\r\nby the client"


def handle(
    resource: str = "/acts", traceparent: str | None = None, **context: Any
) -> tuple[dict[str, Any], ScriptedDatabase]:
    database = ScriptedDatabase(lambda: {"request_id": "x"})
    event = {
        "httpMethod": "POST",
        "resource": resource,
        "headers": {"X-Amzn-RequestId": CHOSEN, **({"Traceparent": traceparent} if traceparent else {})},
        "requestContext": {"requestId": CHOSEN, "identity": {"sourceIp": "192.0.2.7"}, **context},
    }
    container = make_container(Settings(), database=database, admission_store=InMemoryAdmissionStore())
    return api.handle(event, LambdaContext(), container), database


def test_one_id_of_our_own_for_answer_audit_log_and_key(caplog: pytest.LogCaptureFixture) -> None:
    """A client that chooses the gateway's id chooses none of them."""
    actors.clear()
    answer, database = handle()
    own = answer["headers"]["X-Request-Id"]
    logged = next(vars(record) for record in caplog.records if record.message == "request")
    assert UUID(own).version == 7
    assert actors[0].request_id == own
    assert logged["request_id"] == own
    assert database.uses[0].key == own
    assert CHOSEN not in str([vars(record) for record in caplog.records])


def test_two_calls_that_choose_the_same_id_are_two() -> None:
    """The second write is not taken for a repeat of the first."""
    assert len({handle()[1].uses[0].key for _ in range(2)}) == 2


def test_a_problem_names_the_same_id() -> None:
    """Operators find the call by it."""
    answer, _ = handle("/nowhere")
    assert answer["statusCode"] == 404
    assert answer["headers"]["X-Request-Id"] in answer["body"]


def test_the_callers_trace_is_continued(caplog: pytest.LogCaptureFixture) -> None:
    """The log has the caller's trace and span, and a span of our own; the request's id stays ours."""
    answer, _ = handle(traceparent=f"00-{TRACE}-{SPAN}-01")
    line = next(vars(record) for record in caplog.records if record.message == "request")
    assert (line["trace_id"], line["parent_span_id"]) == (TRACE, SPAN)
    assert line["span_id"] not in (None, SPAN)
    assert line["request_id"] == answer["headers"]["X-Request-Id"]


@pytest.mark.parametrize("traceparent", [None, f"00-{TRACE.upper()}-{SPAN}-01", f"00-{TRACE}-besa@example.test-01"])
def test_without_a_valid_one_the_request_begins_a_trace(
    caplog: pytest.LogCaptureFixture, traceparent: str | None
) -> None:
    """The request's id is the trace's; nothing of an invalid field is logged."""
    answer, _ = handle(traceparent=traceparent)
    line = next(vars(record) for record in caplog.records if record.message == "request")
    assert (line["trace_id"], line["parent_span_id"]) == (UUID(answer["headers"]["X-Request-Id"]).hex, None)
    assert traceparent is None or traceparent not in str([vars(record) for record in caplog.records])


@pytest.mark.parametrize(
    ("extended", "logged"),
    [
        ("Q2x0bGVzPQ==", "Q2x0bGVzPQ=="),
        ("two\nlines", None),
        ("besa@example.test", None),
        ("x" * 129, None),
        (None, None),
    ],
)
def test_the_gateways_own_id_is_logged_where_it_is_one(
    caplog: pytest.LogCaptureFixture, extended: str | None, logged: str | None
) -> None:
    """It leads to the call in the gateway's logs; nothing else enters ours in this way."""
    handle(extendedRequestId=extended)
    line = next(vars(record) for record in caplog.records if record.message == "request")
    assert line.get("gateway_id") == logged
