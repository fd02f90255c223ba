"""One request's id and trace, followed through gateway, function, job and mail on a local cloud."""

import json
from functools import partial
from typing import Any

import pytest

from tests.e2e.cloud import RunningCloud, wait_until
from tests.e2e.cloud_users import add_key
from tests.sample_people import make_person

TRACE, SPAN = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"


def find_lines(cloud: RunningCloud, log: str, **fields: Any) -> list[dict[str, Any]]:
    """Return the lines of a log with these fields."""
    path = cloud.folder / "logs" / log
    lines = path.read_text(errors="replace").splitlines() if path.exists() else []
    found = [json.loads(line) for line in lines if line.startswith("{")]
    return [line for line in found if fields.items() <= line.items()]


@pytest.mark.writes
@pytest.mark.parametrize("traceparent", [f"00-{TRACE}-{SPAN}-01", None])
def test_one_request_is_followed_from_the_gateway_to_its_mail(cloud: RunningCloud, traceparent: str | None) -> None:
    """By the id that the client got, and by the caller's trace or, without one, by a trace of that same id."""
    person = make_person()
    headers = {"traceparent": traceparent} if traceparent else {}
    reply = cloud.make_client().post("/members", json=person, headers=add_key(**headers))
    assert reply.status_code == 201
    request_id = reply.headers["x-request-id"]
    trace_id, caller = (TRACE, SPAN) if traceparent else (request_id.replace("-", ""), None)

    [request] = find_lines(cloud, "MembersFunction.log", message="request", request_id=request_id)
    assert (request["trace_id"], request.get("parent_span_id")) == (trace_id, caller)
    [access] = find_lines(cloud, "access.log", gateway_id=request["gateway_id"])
    assert (access["method"], access["route"], access["status"]) == ("POST", "/members", "201")

    [mail] = wait_until(lambda: cloud.list_mails(person["email"]), "the mail")
    assert mail["headers"] == {"X-Request-Id": request_id, "X-Trace-Id": trace_id}
    jobs = cloud.query_rows("SELECT id, kind, payload FROM outbox WHERE subject_id = %s", reply.json()["id"])
    assert {job["kind"] for job in jobs} == {"mail", "identity"}
    origin = {"request_id": request_id, "traceparent": f"00-{trace_id}-{request['span_id']}-0{int(bool(caller))}"}
    for job in jobs:
        assert job["payload"]["origin"] == origin
        find_done = partial(find_lines, cloud, "WorkerFunction.log", job_id=str(job["id"]), state="done")
        done = wait_until(find_done, job["kind"])
        assert (done[0]["request_id"], done[0]["trace_id"]) == (request_id, trace_id)
        assert done[0]["parent_span_id"] == request["span_id"]
    audit = cloud.query_rows("SELECT action FROM audit WHERE request_id = %s", request_id)
    assert "member.registered" in {entry["action"] for entry in audit}
