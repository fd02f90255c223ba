"""Idempotency keys: whose they are, and what a refusal does to them."""

from collections.abc import Callable
from typing import Any

import pytest

from shared.api.call import Call
from shared.api.final_problems import BEFORE_THE_KEY, FINAL, LIFTABLE, OF_THE_GATEWAY
from shared.api.problems import CATALOGUE
from shared.api.responses import Answer, make_answer
from shared.api.router import Api
from shared.errors import Refusal
from shared.fields import RequestModel, ResponseModel
from shared.settings import Settings
from tests.api_client import ApiClient, make_claims, make_container
from tests.fakes.admission import InMemoryAdmissionStore
from tests.fakes.clock import ManualClock
from tests.fakes.database import ScriptedDatabase, run_nothing


class RepeatedNote(RequestModel):
    text: str


class RepeatedNoteView(ResponseModel):
    text: str


api = Api()


@api.post(
    "/notes",
    summary="Note",
    input=RepeatedNote,
    answer=RepeatedNoteView,
    sign_in="none",
    key="required",
    limit="claim-work",
)
def note_anonymously(call: Call[RepeatedNote]) -> Answer:
    """Keeps a note of anyone's."""
    return make_answer(RepeatedNoteView(**call.run_once(run_nothing)))


@api.post("/my-notes", summary="Note", input=RepeatedNote, answer=RepeatedNoteView, limit="claim-work")
def note(call: Call[RepeatedNote]) -> Answer:
    """Keeps a note."""
    return make_answer(RepeatedNoteView(**call.run_once(run_nothing)))


def build(answer: Callable[[], Any] = lambda: {"text": "kept"}) -> tuple[ApiClient, ScriptedDatabase]:
    database = ScriptedDatabase(answer)
    return ApiClient(
        api, make_container(Settings(), database=database, admission_store=InMemoryAdmissionStore(ManualClock()))
    ), database


def raising(name: str) -> Callable[[], Any]:
    def answer() -> Any:
        raise Refusal(name)

    return answer


def test_a_phone_that_changed_its_network_gets_its_first_answer() -> None:
    """The key and the body say who asks again; the address only counts for limits."""
    client, database = build()
    first = client.call("POST", "/notes", {"text": "a"}, key="k")
    client.source_ip = "2001:db8:1:2::3"
    again = client.call("POST", "/notes", {"text": "a"}, key="k")
    assert (again.status, again.body, again.headers["Idempotency-Replayed"]) == (200, first.body, "true")
    assert len(database.uses) == 1


def test_a_strangers_key_with_another_body_asks_for_a_fresh_random_one() -> None:
    """A person who guesses a key learns nothing without the whole request."""
    client, database = build()
    client.call("POST", "/notes", {"text": "a"}, key="k")
    client.source_ip = "198.51.100.7"
    reply = client.call("POST", "/notes", {"text": "b"}, key="k")
    assert (reply.status, reply.problem) == (422, "idempotency-key-reused")
    assert "fresh random key" in reply.json["detail"]
    assert len(database.uses) == 1


def test_an_accounts_keys_are_its_own() -> None:
    """One account's key says nothing about another's, whatever the address."""
    client, database = build()
    for sub in ("one", "two"):
        assert client.sign_in_as(make_claims(sub)).call("POST", "/my-notes", {"text": "a"}, key="k").status == 200
    assert len({(use.scope, use.key) for use in database.uses}) == 2


def test_a_call_without_a_key_can_meet_no_key() -> None:
    """It can't meet a key that has the value of its request id."""
    client, database = build()
    client = client.sign_in_as(make_claims("one"))
    request_id = client.call("POST", "/my-notes", {"text": "a"}).headers["X-Request-Id"]
    client.call("POST", "/my-notes", {"text": "a"}, key=request_id)
    keyless, keyed = database.uses
    assert keyless.key == keyed.key == request_id
    assert keyless.scope != keyed.scope


def test_every_problem_is_decided_once() -> None:
    """Final for its key, lifted by a change of state, refused before a key is taken, or not a function's answer."""
    decided = [*FINAL, *LIFTABLE, *BEFORE_THE_KEY, *OF_THE_GATEWAY]
    assert sorted(decided) == sorted(CATALOGUE)


@pytest.mark.parametrize("name", FINAL)
def test_a_final_refusal_is_kept_and_asks_for_a_new_key(name: str) -> None:
    """The repeat gets the first instance's problem, and needs no work."""
    client, database = build(raising(name))
    first = client.call("POST", "/notes", {"text": "a"}, key="k")
    again = client.call("POST", "/notes", {"text": "a"}, key="k")
    assert (again.body, again.headers["Idempotency-Replayed"]) == (first.body, "true")
    assert len(database.uses) == 1
    assert "new Idempotency-Key" in first.json["detail"]


@pytest.mark.parametrize("name", sorted(set(CATALOGUE) - set(FINAL)))
def test_any_other_refusal_gives_its_key_back(name: str) -> None:
    """The same key does the work once the cause is gone, and then stands for that work."""
    refusals = iter([Refusal(name)])

    def answer() -> Any:
        for refusal in refusals:
            raise refusal
        return {"text": "kept"}

    client, database = build(answer)
    replies = [client.call("POST", "/notes", {"text": "a"}, key="k") for _ in range(3)]
    assert [reply.status for reply in replies] == [CATALOGUE[name].status, 200, 200]
    assert replies[2].body == replies[1].body
    assert len(database.uses) == 2
