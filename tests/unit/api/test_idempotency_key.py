"""The Idempotency-Key field, as a quoted string (as the IETF draft writes it) and bare."""

import json
import re
from typing import Any
from urllib.parse import urldefrag, urljoin

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pages.app import api as pages
from shared.admission.ports import KEY_LIFE_S
from shared.api.call import Call
from shared.api.parsing import KEY_PATTERN, read_key
from shared.api.problems import CATALOGUE
from shared.api.responses import Answer, make_answer
from shared.api.router import Api
from shared.errors import Refusal
from shared.fields import RequestModel, ResponseModel
from shared.settings import Settings
from tests.api_client import ApiClient, LambdaContext, make_container
from tests.fakes.admission import InMemoryAdmissionStore
from tests.fakes.database import ScriptedDatabase, run_nothing
from tools.openapi.description import describe

VISIBLE = st.text(st.characters(min_codepoint=0x21, max_codepoint=0x7E), min_size=1, max_size=255)


class KeyedNote(RequestModel):
    text: str


class KeyedNoteView(ResponseModel):
    text: str


api = Api()


@api.post("/notes", summary="Note", input=KeyedNote, answer=KeyedNoteView, sign_in="none", key="required")
@api.post(
    "/notes/{note_id}/copies", summary="Copy", input=KeyedNote, answer=KeyedNoteView, sign_in="none", key="required"
)
def note(call: Call[KeyedNote]) -> Answer:
    """Keep a note."""
    return make_answer(KeyedNoteView(**call.run_once(run_nothing)))


def quote_key(key: str) -> str:
    """Return a key as a string of structured fields (RFC 9651)."""
    return '"' + key.replace("\\", "\\\\").replace('"', '\\"') + '"'


@given(VISIBLE)
def test_a_key_is_the_same_in_quotes_and_bare(key: str) -> None:
    """Both forms allow every visible character, but a bare key can't begin with a quote."""
    assert read_key(quote_key(key)) == key
    assert re.search(KEY_PATTERN, quote_key(key)) or len(key) > 255
    if not key.startswith('"'):
        assert read_key(key) == key
        assert re.search(KEY_PATTERN, key)


@pytest.mark.parametrize(
    ("field", "key"),
    [
        ("k", "k"),
        ('"k"', "k"),
        ('  "k"\t', "k"),
        (" k ", "k"),
        ('"k";v=1', "k"),
        ('"k"; a; b="x y"; c=tok', "k"),
        (r'"a\"b\\c"', r'a"b\c'),
        ('a"b', 'a"b'),
        ("a;b=1", "a;b=1"),
        ('"' + "x" * 255 + '"', "x" * 255),
        (r'"' + r"\"" * 255 + '"', '"' * 255),
    ],
)
def test_a_field_names_its_key(field: str, key: str) -> None:
    """Quotes, escapes, surrounding white space and parameters are no part of the key."""
    assert read_key(field) == key


MALFORMED = [
    '""',
    '"',
    '"k',
    '"k"x',
    '"k" x',
    '"a" , "b"',
    '"a", "b"',
    r'"a\b"',
    '"a b"',
    '"é"',
    '"k";',
    '"k";A=1',
]
MALFORMED += [
    "",
    " ",
    "a b",
    "é",
    "x" * 256,
    '"' + "x" * 256 + '"',
    "a\tb",
    "k\x0b",
    "\u00a0k",
    '"k";v="',
    '"k"; v=a b',
]


@pytest.mark.parametrize("field", MALFORMED)
def test_a_malformed_field_is_refused(field: str) -> None:
    """A key is a quoted string or bare visible characters, 1 to 255 of them; all else is refused with 400."""
    with pytest.raises(Refusal) as caught:
        read_key(field)
    assert caught.value.name == "idempotency-key-malformed"


def make_client() -> tuple[ApiClient, ScriptedDatabase]:
    database = ScriptedDatabase(lambda: {"text": "kept"})
    return ApiClient(
        api, make_container(Settings(), database=database, admission_store=InMemoryAdmissionStore())
    ), database


def test_both_forms_are_one_key_of_a_call() -> None:
    """The second call is a replay of the first."""
    own, database = make_client()
    own.call("POST", "/notes", {"text": "a"}, key="k")
    assert own.call("POST", "/notes", {"text": "a"}, key='"k"').headers["Idempotency-Replayed"] == "true"
    assert [use.key for use in database.uses] == ["k"]


def test_two_keys_in_one_request_are_refused() -> None:
    """The keys come as two header fields; a server that takes the last one would ignore the first."""
    event = {
        "httpMethod": "POST",
        "resource": "/notes",
        "multiValueHeaders": {"Idempotency-Key": ['"a"', '"b"'], "Content-Type": ["application/json"]},
        "headers": {"Idempotency-Key": '"b"', "Content-Type": "application/json"},
        "body": '{"text": "a"}',
        "requestContext": {},
    }
    own, _ = make_client()
    answer = api.handle(event, LambdaContext(), own.container)
    assert (answer["statusCode"], json.loads(answer["body"])["status"]) == (400, 400)


# ---- the page about keys
def cause_problems(base: str, resource: str = "/notes", **ids: str) -> list[dict[str, Any]]:
    """Return the answers to three requests below a base path, each with another problem about keys."""
    own, _ = make_client()
    path = base + resource.format(**ids)

    def call(body: object, headers: dict[str, str]) -> dict[str, Any]:
        event = {
            "httpMethod": "POST",
            "resource": resource,
            "pathParameters": ids or None,
            "headers": {"Content-Type": "application/json", **headers},
            "body": json.dumps(body),
            "requestContext": {"path": path, "stage": "api"},
        }
        return api.handle(event, LambdaContext(), own.container)

    call({"text": "a"}, {"Idempotency-Key": "k"})
    reused = call({"text": "b"}, {"Idempotency-Key": "k"})
    return [call({"text": "a"}, {}), call({"text": "a"}, {"Idempotency-Key": "a b"}), reused]


@pytest.mark.parametrize("base", ["/api", "", "/v1/interdomestik"])
@pytest.mark.parametrize(
    ("resource", "ids"),
    [("/notes", {}), ("/notes/{note_id}/copies", {"note_id": "01a20ba6-afb6-76d1-9556-a703ff01d17a"})],
)
def test_problems_about_keys_link_to_a_page_that_exists(base: str, resource: str, ids: dict[str, str]) -> None:
    """The link is below the base path by which the API was called, so it works behind any custom domain."""
    answers = cause_problems(base, resource, **ids)
    assert [answer["statusCode"] for answer in answers] == [400, 400, 422]
    for answer in answers:
        links = re.findall(r'<([^>]+)>; rel="(\w+)"; type="text/html"', answer["headers"]["Link"])
        name = answer["body"].partition("problem:")[2].partition('"')[0]
        assert [relation for _, relation in links] == ["describedby", "help"]
        targets = [urldefrag(urljoin("https://api.example.test" + base + "/x", link)) for link, _ in links]
        assert [target for target, _ in targets] == [f"https://api.example.test{base}/docs"] * 2
        assert [anchor for _, anchor in targets] == [f"problem-{name}", "idempotency-keys"]
        page = (
            ApiClient(pages, make_container(Settings(), admission_store=InMemoryAdmissionStore()))
            .call("GET", "/docs")
            .body
        )
        assert [anchor for _, anchor in targets if f'id="{anchor}"' not in page] == []
        assert "expires 24 hours" in page


def test_every_problem_about_keys_says_where_to_read_more() -> None:
    """They link to the page about keys, besides their own page."""
    about = {name for name in CATALOGUE if "idempotency-key" in name} | {"request-in-progress"}
    assert {name for name, kind in CATALOGUE.items() if kind.docs_path} == about


def test_the_description_says_when_a_key_expires() -> None:
    """A key expires after 24 hours, wherever it is kept."""
    description = describe(api.operations.values(), version="1")
    operation = description["paths"]["/notes"]["post"]
    [header] = [p for p in description["components"]["parameters"].values() if p["name"] == "Idempotency-Key"]
    assert operation["parameters"] == [{"$ref": "#/components/parameters/IdempotencyKey"}]
    assert KEY_LIFE_S == 24 * 3600
    assert "expires 24 hours" in header["description"]
    assert "Link" in operation["responses"]["422"]["headers"]
