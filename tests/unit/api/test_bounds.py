"""The most that a request may cost, and the greatest length of an answer."""

import json
from itertools import count
from time import process_time
from typing import Any
from uuid import UUID

import pytest

from claims.app import api as claims
from shared.api.body import MAX_BODY_BYTES
from shared.api.call import Call
from shared.api.problem_answers import describe_problem
from shared.api.problems import MAX_ERRORS, MAX_POINTER_LENGTH
from shared.api.responses import Answer, make_answer
from shared.api.router import Api
from shared.clock import read_utc_now
from shared.errors import FieldError, Refusal
from shared.fields import RequestModel, ResponseModel
from shared.settings import Settings
from tests.api_client import STAFF, ApiClient, ApiReply, make_container
from tests.fakes.admission import InMemoryAdmissionStore
from tests.fakes.database import ScriptedDatabase, run_nothing

# Lambda's limit of what a function answers (API Gateway's is 10 MB).
ANSWER_LIMIT = 6 * 1024 * 1024
# Processor time; the worst body takes some 50 ms of it.
READING_LIMIT_S = 0.5


class BoundedNote(RequestModel):
    text: str


class BoundedNoteView(ResponseModel):
    text: str


api = Api()


@api.post("/notes", summary="Note", input=BoundedNote, answer=BoundedNoteView, sign_in="none")
def note(call: Call[BoundedNote]) -> Answer:
    """Keeps a note."""
    return make_answer(BoundedNoteView(**call.run_once(run_nothing)))


def send(raw: str, **headers: str) -> ApiReply:
    container = make_container(
        Settings(), database=ScriptedDatabase(lambda: {"text": "kept"}), admission_store=InMemoryAdmissionStore()
    )
    return ApiClient(api, container).call("POST", "/notes", raw=raw, headers=headers)


def fill_body(piece: str, *, before: str = "", after: str = "") -> str:
    """Return a body of as many pieces as may be sent."""
    free = MAX_BODY_BYTES - len((before + after).encode())
    return before + piece * (free // len(piece.encode())) + after


HOSTILE = {
    "unknown fields": "{" + ",".join(f'"{n}":0' for n in range(20_000)) + "}",
    "an unknown field of 250 KB": fill_body("é", before='{"text": "x", "', after='": 1}'),
    "nested objects": fill_body('{"a":', before='{"text": "x", "b": ', after="1"),
    "a list of objects": fill_body("{},", before='{"text": [', after="1]}"),
    "a list of half pairs": fill_body(r'"\ud800",', before='{"text": [', after="1]}"),
    "a long number": fill_body("9", before='{"text": ', after="}"),
    "a long text": fill_body("x", before='{"text": 1, "t": "', after='"}'),
    "white space": fill_body(" "),
    "one byte more": " " * (MAX_BODY_BYTES + 1),
    "ten million fields": "{" + '"a":0,' * 1_700_000 + "}",
}


@pytest.mark.parametrize("name", HOSTILE)
def test_no_body_costs_much_or_gets_a_long_answer(name: str) -> None:
    """It is refused within half a second of one processor, in a few kilobytes."""
    began = process_time()
    reply = send(HOSTILE[name])
    assert process_time() - began < READING_LIMIT_S
    assert reply.status in {400, 413, 422}
    assert len(reply.body.encode()) < 16 * 1024


def test_a_body_may_be_256_kib_and_no_byte_longer() -> None:
    """The bytes count as they arrive, in any encoding."""
    whole = fill_body("x", before='{"text": "', after='"}')
    assert len(whole) == 256 * 1024
    assert (send(whole).status, send(whole + " ").status) == (200, 413)


def test_of_many_mistakes_twenty_are_listed() -> None:
    """The detail says how many are not listed."""
    errors = tuple(FieldError(f"/field{n}", "is unknown") for n in range(61))
    body = describe_problem(Refusal("invalid-request", errors=errors), "r").body
    assert [error["pointer"] for error in body["errors"]] == [f"/field{n}" for n in range(20)]
    assert body["detail"].endswith(" 41 more errors are not listed.")
    assert "more" not in describe_problem(Refusal("invalid-request", errors=errors[:MAX_ERRORS]), "r").body["detail"]


@pytest.mark.parametrize(("length", "shown_length"), [(200, 200), (201, 200), (100_000, 200)])
def test_a_pointer_is_shown_in_200_characters(length: int, shown_length: int) -> None:
    """A longer one is cut and ends in a mark."""
    pointer = "/" + "x" * (length - 1)
    said = describe_problem(Refusal("invalid-request", errors=(FieldError(pointer, "is unknown"),)), "r").body[
        "errors"
    ][0]
    assert len(said["pointer"]) == shown_length <= MAX_POINTER_LENGTH
    assert said["pointer"].endswith("…") == (length > MAX_POINTER_LENGTH)


@pytest.mark.parametrize(
    ("encoding", "status"),
    [("identity", 200), (" Identity ", 200), ("gzip", 415), ("br", 415), ("gzip, identity", 415)],
)
def test_an_encoded_body_is_not_read(encoding: str, status: int) -> None:
    """A 415 names the encodings that are accepted."""
    reply = send('{"text": "x"}', **{"Content-Encoding": encoding})
    assert reply.status == status
    assert ("Accept-Encoding" in reply.headers) == (status == 415)


def make_longest_claim(number: int) -> dict[str, Any]:
    """Return a claim of the longest texts, in the characters that take most bytes in an answer."""
    facts = {
        "id": str(UUID(int=number)),
        "number": f"CLM-2026-{number:06d}",
        "state": "verification",
        "category": "property",
        "title": '"' * 200,
        "company_name": '"' * 200,
        "description": "\U0001f600" * 5_000 + '"' * 5_000,
        "incident_date": "2026-11-02",
        "incident_country": "XK",
        "amount": "9999999999.99",
        "currency": "EUR",
        "assignee": {"id": str(UUID(int=1)), "full_name": '"' * 200},
        "created_at": read_utc_now().isoformat(),
        "updated_at": read_utc_now().isoformat(),
        "version": 1,
    }
    return {"id": UUID(int=number), "facts": facts}


def test_the_longest_page_fits_into_an_answer() -> None:
    """A hundred claims, each as long as may be: below what Lambda and API Gateway let through."""
    numbers = count(1)
    rows = [make_longest_claim(next(numbers)) for _ in range(101)]
    container = make_container(
        Settings(cursor_secret="x"), database=ScriptedDatabase(lambda: rows), admission_store=InMemoryAdmissionStore()
    )
    reply = ApiClient(claims, container).sign_in_as(STAFF).call("GET", "/claims", query={"limit": "100"})
    answer = {"statusCode": reply.status, "headers": dict(reply.headers), "body": reply.body, "isBase64Encoded": False}
    assert reply.status == 200
    assert 4_000_000 < len(json.dumps(answer, ensure_ascii=False).encode()) < ANSWER_LIMIT
