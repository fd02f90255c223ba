"""The front page's requests and traces, read from logs as the gateway and the functions write them."""

import json
from pathlib import Path
from typing import Any

import pytest

from local.front import request_logs
from local.front.request_logs import find_log_steps, find_requests, read_recent_requests, read_tail


def write_access(logs: Path, number: int, **changes: Any) -> None:
    """Append the line of a request to the access log."""
    line = {
        "gateway_id": f"g{number}", "trace_id": f"Root=1-{number}", "time_ms": str(1_795_783_809_552 + number),
        "method": "POST", "route": "/members", "status": "201", "latency_ms": "43", "refused_as": "-",
    }  # fmt: skip
    write_line(logs / "access.log", {**line, **changes})


def write_call(logs: Path, number: int, **changes: Any) -> None:
    """Append the line of a request to the log of the function that answered it."""
    line = {
        "level": "INFO", "message": "request", "timestamp": "2026-11-27T12:50:09.576+00:00", "service": "members",
        "method": "POST", "resource": "/members", "status": 201, "duration_ms": 15.4, "gateway_id": f"g{number}",
        "request_id": f"r{number}", "trace_id": f"t{number}", "span_id": "s",
    }  # fmt: skip
    write_line(logs / "MembersFunction.log", {**line, **changes})


def write_line(path: Path, document: object) -> None:
    """Append a line to a log."""
    with path.open("a") as log:
        log.write(json.dumps(document) + "\n")


def test_the_last_requests_come_first_with_their_functions(tmp_path: Path) -> None:
    """One that no function answered has the gateway's id, and says as what it was refused."""
    for number in range(3):
        write_access(tmp_path, number)
        write_call(tmp_path, number)
    write_access(tmp_path, 3, status="429", refused_as="THROTTLED", route="-")
    refused, newest, older = read_recent_requests(tmp_path, 3)
    assert (refused.request_id, refused.function, refused.refused_as) == ("g3", "", "THROTTLED")
    assert (refused.route, refused.status) == ("(no such route)", 429)
    assert (newest.request_id, newest.trace_id, newest.function) == ("r2", "t2", "MembersFunction")
    assert (newest.at, newest.method, newest.latency_ms) == ("2026-11-27T12:50:09.554Z", "POST", 43)
    assert older.request_id == "r1"


def test_looks_at_the_documentation_are_no_last_requests(tmp_path: Path) -> None:
    """They would push out what somebody tries there; one that failed is shown, and each is found by its id."""
    write_access(tmp_path, 0)
    for number, route in ((1, "/docs"), (2, "/openapi.json")):
        write_access(tmp_path, number, method="GET", route=route, status="200")
    write_access(tmp_path, 3, method="GET", route="/docs", status="502")
    assert [line.gateway_id for line in read_recent_requests(tmp_path, 2)] == ["g3", "g0"]
    assert [line.gateway_id for line in find_requests(tmp_path, "g1")] == ["g1"]


def test_lines_of_other_kinds_are_passed_over(tmp_path: Path) -> None:
    """A function prints what it likes, and a stage may log in another format."""
    (tmp_path / "access.log").write_text('127.0.0.1 - "GET /health"\n{"gateway_id": "g0"}\n[1]\n{"half": \n')
    (tmp_path / "MembersFunction.log").write_bytes(b'\xff "request"\n["request"]\n{"message": "request"}\n')
    write_access(tmp_path, 1)
    assert [line.gateway_id for line in read_recent_requests(tmp_path, 12)] == ["g1"]
    assert [line.gateway_id for line in find_requests(tmp_path, "g1")] == ["g1"]
    assert read_recent_requests(tmp_path / "nowhere", 12) == []


@pytest.mark.parametrize("wanted", ["r1", "t1", "g1"])
def test_a_trace_is_found_by_each_of_its_ids(tmp_path: Path, wanted: str) -> None:
    """The client's, the trace's and the gateway's; the worker's lines too, whose request was another function's."""
    for number in range(3):
        write_access(tmp_path, number)
        write_call(tmp_path, number)
    done = {"message": "job_finished", "timestamp": "2026-11-27T12:50:09.772Z", "state": "done"}
    write_line(tmp_path / "WorkerFunction.log", {**done, "request_id": "r1", "trace_id": "t1", "job_id": "j"})
    write_line(tmp_path / "WorkerFunction.log", {**done, "request_id": "r11", "trace_id": "t11", "job_id": "k"})
    [request] = find_requests(tmp_path, wanted)
    assert (request.request_id, request.gateway_id) == ("r1", "g1")
    steps = find_log_steps(tmp_path, {"r1", "t1"})
    assert [(step.where, step.text) for step in steps] == [
        ("MembersFunction", "request"),
        ("WorkerFunction", "job_finished"),
    ]
    assert steps[1].at == "2026-11-27T12:50:09.772Z"
    assert steps[1].facts == {"state": "done", "job_id": "j"}


def test_a_refusal_s_trace_is_found_by_the_gateway_s_id(tmp_path: Path) -> None:
    """No function has logged it."""
    write_access(tmp_path, 1, refused_as="THROTTLED")
    write_access(tmp_path, 2)
    assert [line.gateway_id for line in find_requests(tmp_path, "g1")] == ["g1"]
    assert find_requests(tmp_path, "nobody") == []


def test_a_long_log_is_read_from_its_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whole lines only, and no more than a page may take."""
    log = tmp_path / "access.log"
    log.write_bytes(b"first\nsecond\nthird\n")
    assert read_tail(log, 100) == [b"first", b"second", b"third"]
    assert read_tail(log, 9) == [b"third"]
    log.unlink()
    for number in range(200):
        write_access(tmp_path, number)
    monkeypatch.setattr(request_logs, "RECENT_BYTES", 1000)
    assert 1 <= len(read_recent_requests(tmp_path, 100)) < 10
