"""OPTIONS: what a browser asks before a script's call, and what anybody else may ask."""

from importlib import import_module
from typing import Any
from uuid import UUID

import pytest

from shared.api.auth.caller import STAFF
from shared.api.call import Call
from shared.api.cors import EXPOSED
from shared.api.operation import NoInput
from shared.api.responses import SECURITY_HEADERS, Answer, make_answer
from shared.api.router import Api
from shared.fields import ResponseModel
from shared.settings import Settings
from tests.api_client import ApiClient, ApiReply, make_container
from tests.fakes.database import run_nothing
from tests.settings.test_limits import APPS

ORIGIN = "https://app.example.test"
ASKED = {
    "Origin": ORIGIN,
    "Access-Control-Request-Method": "PATCH",
    "Access-Control-Request-Headers": "authorization,content-type,idempotency-key,if-match",
}
METHODS = {"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"}
SENDABLE = {"Authorization", "Content-Type", "Idempotency-Key", "If-Match", "Traceparent"}


class Thing(ResponseModel):
    name: str


api = Api()


@api.get("/things/{thing_id}", summary="Read", answer=Thing, access=STAFF)
def read(call: Call[NoInput]) -> Answer:
    """Read a thing from the database."""
    return make_answer(Thing(**call.read(run_nothing)))


@api.post("/things", summary="Make", answer=Thing, sign_in="none", limit="read", key="required")
def make(call: Call[NoInput]) -> Answer:
    """Write a thing to the database."""
    return make_answer(Thing(**call.run_once(run_nothing, call.input)))


class Untouchable:
    """Fail the test at whatever is asked of it."""

    def __getattr__(self, name: str) -> Any:
        raise AssertionError(f"a preflight asked for {name}")


def make_client(own: Api[Any] = api, origins: str = ORIGIN) -> ApiClient:
    """Return a client of a service none of whose parts may be used."""
    parts = dict.fromkeys(("database", "admission_store", "queues", "document_store"), Untouchable())
    return ApiClient(own, make_container(Settings(cursor_secret="x", allowed_origins=origins), **parts))


def ask(path: str = "/things", own: Api[Any] = api, origins: str = ORIGIN, **headers: str) -> ApiReply:
    """Send a preflight; `headers` replace those of a browser, with _ for each dash."""
    sent = {**ASKED, **{name.replace("_", "-"): value for name, value in headers.items()}}
    return make_client(own, origins).call("OPTIONS", path, headers=sent)


def list_members(reply: ApiReply, name: str) -> set[str]:
    """Return the members of a header that is a list."""
    return set(reply.headers[name].split(","))


@pytest.mark.parametrize("path", ["/things", "/things/{thing_id}", "/", "/{proxy+}"])
def test_a_preflight_is_answered_before_anything_that_costs(path: str) -> None:
    """Alike on every path, the unknown ones too: a script has to be able to read the 404 and the 405 that follow."""
    reply = ask(path)
    assert (reply.status, reply.body) == (204, "")
    assert reply.headers["Access-Control-Allow-Origin"] == ORIGIN
    assert list_members(reply, "Access-Control-Allow-Methods") == METHODS
    assert list_members(reply, "Access-Control-Allow-Headers") == SENDABLE
    assert reply.headers["Access-Control-Max-Age"] == "7200"
    assert reply.headers["Access-Control-Expose-Headers"] == EXPOSED


@pytest.mark.parametrize("origin", [ORIGIN, "https://elsewhere.example.test", ""])
def test_a_preflight_carries_what_every_answer_carries(origin: str) -> None:
    """Its answer has a request id, HSTS and nosniff, for any origin."""
    reply = ask(Origin=origin)
    assert reply.status == 204
    assert UUID(reply.headers["X-Request-Id"])
    assert SECURITY_HEADERS.items() <= reply.headers.items()
    assert (reply.headers["Cache-Control"], reply.headers["Vary"]) == ("no-store", "Origin")


@pytest.mark.parametrize("origin", ["https://elsewhere.example.test", "null", "", f"{ORIGIN}, {ORIGIN}", f"{ORIGIN}/"])
def test_another_origin_is_allowed_nothing(origin: str) -> None:
    """The browser sees no Access-Control header at all, and sends nothing."""
    assert [name for name in ask(Origin=origin).headers if name.startswith("Access-Control")] == []


@pytest.mark.parametrize("origin", [ORIGIN, "null"])
def test_any_origin_may_call_where_the_setting_says_so(origin: str) -> None:
    """`*` stays `*`, as on other answers."""
    reply = ask(origins="*", Origin=origin)
    assert reply.headers["Access-Control-Allow-Origin"] == "*"
    assert list_members(reply, "Access-Control-Allow-Methods") == METHODS


def test_a_script_may_read_which_methods_there_are() -> None:
    """The 405 after a preflight that names more than the path has: Allow is one of the headers that are shown."""
    refused = make_client().call("DELETE", "/things", headers={"Origin": ORIGIN})
    assert (refused.status, refused.headers["Allow"]) == (405, "POST, OPTIONS")
    assert "Allow" in refused.headers["Access-Control-Expose-Headers"].split(", ")


@pytest.mark.parametrize("asked", ["DELETE", "PURGE", "x" * 4000])
def test_a_preflights_answer_does_not_repeat_what_was_asked_for(asked: str) -> None:
    """The answer names what there is; the browser compares."""
    reply = ask(Access_Control_Request_Method=asked, Access_Control_Request_Headers=asked)
    assert (reply.status, list_members(reply, "Access-Control-Allow-Methods")) == (204, METHODS)
    assert list_members(reply, "Access-Control-Allow-Headers") == SENDABLE


def test_options_by_itself_names_the_methods_of_its_path() -> None:
    """It is no preflight without Origin and Access-Control-Request-Method, and has Allow alone."""
    for headers in ({}, {"Origin": ORIGIN}, {"Access-Control-Request-Method": "POST"}):
        reply = make_client().call("OPTIONS", "/things/{thing_id}", headers=headers)
        assert (reply.status, reply.body, reply.headers["Allow"]) == (204, "", "GET, HEAD, OPTIONS")
        assert "Access-Control-Allow-Methods" not in reply.headers
        assert UUID(reply.headers["X-Request-Id"])


def test_options_by_itself_of_no_path_is_not_found() -> None:
    """There is nothing whose methods could be named."""
    reply = make_client().call("OPTIONS", "/{proxy+}")
    assert (reply.status, reply.problem) == (404, "not-found")


@pytest.mark.parametrize("app", APPS)
def test_every_function_answers_preflights_of_its_paths(app: str) -> None:
    """It answers OPTIONS alone too, with the same Allow as its 405."""
    own: Api = import_module(app).api
    for path in {path for _, path in own.operations}:
        preflight = ask(path, own)
        assert (preflight.status, preflight.headers["Access-Control-Allow-Origin"]) == (204, ORIGIN)
        refused = make_client(own).call("TRACE", path)
        assert make_client(own).call("OPTIONS", path).headers["Allow"] == refused.headers["Allow"]


@pytest.mark.parametrize(
    "sent", [{"Authorization": "Bearer nonsense"}, {"Content-Type": "text/plain"}, {"Idempotency-Key": "a b"}]
)
def test_nothing_else_of_a_preflight_is_read(sent: dict[str, str]) -> None:
    """Its token and body are ignored: a browser sends none, and a stranger's cost nothing."""
    assert make_client().call("OPTIONS", "/things", raw="{", headers={**ASKED, **sent}).status == 204


def test_every_preflight_is_answered_however_many_there_are() -> None:
    """No limit is charged."""
    asking = make_client()
    assert {asking.call("OPTIONS", "/things", headers=ASKED).status for _ in range(200)} == {204}
