"""The Python client's transport: keys, repeats, pauses and versions, without a network."""

import json
from collections.abc import Callable, Iterator
from typing import Any

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from interdomestik_client.retries import RetryPolicy, is_repeated
from interdomestik_client.transport import RetryingTransport

URL = "https://api.example.test/api"
RUNNING = {"type": "urn:interdomestik:problem:request-in-progress", "status": 409}
Step = httpx.Response | Exception


class ScriptedServer(httpx.BaseTransport):
    """Answers one step after another, the last one for ever; keeps the requests."""

    def __init__(self, *steps: Step) -> None:
        self._steps: Iterator[Step] = iter(steps)
        self._last = steps[-1]
        self.requests: list[httpx.Request] = []

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        self.requests.append(request)
        step = next(self._steps, self._last)
        if isinstance(step, Exception):
            raise step
        return httpx.Response(step.status_code, headers=step.headers, content=step.content)

    @property
    def keys(self) -> list[str | None]:
        return [request.headers.get("Idempotency-Key") for request in self.requests]


class PassingTime:
    """A clock that only sleeping moves."""

    def __init__(self) -> None:
        self.now = 0.0
        self.pauses: list[float] = []

    def read(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds
        self.pauses.append(seconds)


def connect(*steps: Step, patience_s: float = 60.0) -> tuple[httpx.Client, ScriptedServer, PassingTime]:
    server, time = ScriptedServer(*steps), PassingTime()
    transport = RetryingTransport(server, policy=RetryPolicy(patience_s=patience_s), clock=time.read, sleep=time.sleep)
    return httpx.Client(base_url=URL, transport=transport), server, time


def cut() -> Exception:
    return httpx.ReadError("cut")


def test_a_write_whose_answers_are_lost_is_repeated_with_one_key_and_the_same_body() -> None:
    client, server, _ = connect(
        cut(), httpx.ConnectError("refused"), httpx.RemoteProtocolError("cut"), httpx.Response(201)
    )
    assert client.post("/members", json={"a": 1}).status_code == 201
    assert len(server.requests) == 4
    assert len(set(server.keys)) == 1
    assert server.keys[0]
    assert {request.content for request in server.requests} == {b'{"a":1}'}


def test_every_call_has_a_key_of_its_own() -> None:
    client, server, _ = connect(httpx.Response(201))
    for _ in range(50):
        client.post("/members", json={})
    assert len(set(server.keys)) == 50


def test_a_key_that_the_caller_chose_is_kept() -> None:
    client, server, _ = connect(cut(), httpx.Response(201))
    client.post("/members", json={}, headers={"Idempotency-Key": "mine"})
    assert server.keys == ["mine", "mine"]


def test_a_read_is_repeated_without_a_key() -> None:
    client, server, _ = connect(cut(), httpx.Response(200))
    assert client.get("/members").status_code == 200
    assert server.keys == [None, None]


@pytest.mark.parametrize("status", [429, 503])
def test_the_time_that_the_service_names_is_waited_for(status: int) -> None:
    client, server, time = connect(httpx.Response(status, headers={"Retry-After": "12"}), httpx.Response(200))
    assert client.get("/members").status_code == 200
    assert len(server.requests) == 2
    assert 12.0 <= time.pauses[0] < 12.2


def test_a_first_request_that_still_runs_is_waited_for_and_other_conflicts_are_answers() -> None:
    running = httpx.Response(409, json=RUNNING, headers={"Retry-After": "2"})
    client, server, _ = connect(running, httpx.Response(201))
    assert client.post("/members", json={}).status_code == 201
    taken = httpx.Response(409, json={"type": "urn:interdomestik:problem:email-taken"})
    client, server, _ = connect(taken)
    assert (client.post("/members", json={}).status_code, len(server.requests)) == (409, 1)


@pytest.mark.parametrize("status", [400, 401, 403, 404, 412, 413, 415, 422, 428])
def test_an_answer_that_a_repeat_would_not_change_is_returned_at_once(status: int) -> None:
    client, server, _ = connect(httpx.Response(status))
    assert (client.post("/members", json={}).status_code, len(server.requests)) == (status, 1)


def test_patience_ends_with_the_last_answer_or_the_last_error() -> None:
    client, _, time = connect(httpx.Response(503, headers={"Retry-After": "1"}), patience_s=10)
    assert client.get("/members").status_code == 503
    assert 8 <= time.now < 10
    client, _, time = connect(cut(), patience_s=10)
    with pytest.raises(httpx.ReadError):
        client.get("/members")
    assert time.now < 10


def test_a_wait_longer_than_the_patience_is_not_begun() -> None:
    client, _, time = connect(httpx.Response(429, headers={"Retry-After": "3600"}))
    assert (client.get("/members").status_code, time.pauses) == (429, [])


def test_an_answer_that_is_cut_in_the_middle_is_lost() -> None:
    class CutStream(httpx.SyncByteStream):
        def __iter__(self) -> Iterator[bytes]:
            yield b'{"id":'
            raise httpx.ReadError("cut")

    class CuttingServer(ScriptedServer):
        def handle_request(self, request: httpx.Request) -> httpx.Response:
            response = super().handle_request(request)
            return response if len(self.requests) > 1 else httpx.Response(201, stream=CutStream())

    server = CuttingServer(httpx.Response(201, json={"id": 1}))
    client = httpx.Client(base_url=URL, transport=RetryingTransport(server, sleep=lambda _seconds: None))
    assert client.post("/members", json={}).json() == {"id": 1}
    assert len(set(server.keys)) == 1


CHANGES: list[tuple[str, Callable[[httpx.Client], httpx.Response]]] = [
    ("/members/m", lambda client: client.patch("/members/m", json={})),
    ("/agents/a", lambda client: client.patch("/agents/a", json={})),
    ("/claims/c", lambda client: client.post("/claims/c/transitions", json={})),
    ("/claims/c", lambda client: client.put("/claims/c/assignee", json={})),
]


@pytest.mark.parametrize(("record", "change"), CHANGES)
def test_a_change_names_the_version_that_was_last_seen(record: str, change: Any) -> None:
    """The one read first, then the one that the change itself made."""
    client, server, _ = connect(
        httpx.Response(200, headers={"ETag": '"3"'}), httpx.Response(200, headers={"ETag": '"4"'})
    )
    client.get(record)
    change(client)
    change(client)
    assert [request.headers.get("If-Match") for request in server.requests] == [None, '"3"', '"4"']


def test_a_record_that_was_just_made_is_changed_without_reading_it() -> None:
    """Its path is the Location of the answer."""
    made = httpx.Response(201, headers={"ETag": '"1"', "Location": "/api/claims/c"})
    client, server, _ = connect(made, httpx.Response(200))
    client.post("/claims", json={})
    client.post("/claims/c/transitions", json={})
    assert server.requests[1].headers["If-Match"] == '"1"'


def test_what_was_never_seen_is_not_guessed() -> None:
    """428 then says that If-Match is required: a version that nobody looked at would overwrite what others did."""
    client, server, _ = connect(httpx.Response(428))
    client.patch("/members/m", json={})
    assert "If-Match" not in server.requests[0].headers


def test_a_version_that_the_caller_names_is_kept() -> None:
    client, server, _ = connect(httpx.Response(200, headers={"ETag": '"3"'}))
    client.get("/members/m")
    client.patch("/members/m", json={}, headers={"If-Match": '"1"'})
    assert server.requests[1].headers["If-Match"] == '"1"'


@given(st.integers(0, 60), st.floats(0, 1))
def test_a_pause_is_never_shorter_than_asked_for_nor_longer_than_the_cap(attempt: int, drawn: float) -> None:
    policy = RetryPolicy()
    assert policy.choose_pause(attempt, "7", lambda: drawn) >= 7
    assert 0 <= policy.choose_pause(attempt, None, lambda: drawn) <= policy.cap_s
    assert 0 <= policy.choose_pause(attempt, "Fri, 27 Nov 2026 12:00:00 GMT", lambda: drawn) <= policy.cap_s


@pytest.mark.parametrize("body", [b"", b"[]", b"{", b"null", json.dumps({"type": 7}).encode()])
def test_a_conflict_that_can_not_be_read_is_an_answer(body: bytes) -> None:
    assert not is_repeated(409, body, 0)


def test_a_fault_of_the_service_is_repeated_twice_and_then_returned() -> None:
    client, server, _ = connect(httpx.Response(500))
    assert (client.post("/members", json={}).status_code, len(server.requests)) == (500, 3)
    assert len(set(server.keys)) == 1
