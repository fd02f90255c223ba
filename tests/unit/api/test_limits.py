"""Limits count by caller, answer with the wait, and charge a call that can't be read."""

import re
from ipaddress import ip_address
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.api.call import Call
from shared.api.client_address import hash_address, normalise_address
from shared.api.responses import Answer, make_answer
from shared.api.router import Api
from shared.fields import RequestModel, ResponseModel
from shared.fields.pagination import PageQuery
from shared.settings import Settings
from tests.api_client import ApiClient, ApiReply, make_claims, make_container
from tests.fakes.admission import InMemoryAdmissionStore
from tests.fakes.clock import ManualClock
from tests.fakes.database import ScriptedDatabase, run_nothing


class FormInput(RequestModel):
    name: str


class DoneView(ResponseModel):
    name: str


api = Api()


@api.post(
    "/forms",
    summary="Send a form",
    input=FormInput,
    answer=DoneView,
    sign_in="none",
    key="required",
    limit="member-registration",
)
def send(call: Call[FormInput]) -> Answer:
    """Takes a form."""
    return make_answer(DoneView(**call.run_once(run_nothing)))


@api.put("/forms", summary="Change a form", input=FormInput, answer=DoneView, if_match=True, limit="claim-work")
def change(call: Call[FormInput]) -> Answer:
    """Changes a form."""
    return make_answer(DoneView(**call.run_once(run_nothing)))


@api.get("/forms", summary="List forms", input=PageQuery, answer=DoneView)
def listing(call: Call[PageQuery]) -> Answer:
    """Lists forms."""
    return make_answer(DoneView(**call.read(run_nothing)))


def build(**settings: Any) -> tuple[ApiClient, InMemoryAdmissionStore, ManualClock]:
    clock = ManualClock()
    state = InMemoryAdmissionStore(clock)
    database = ScriptedDatabase(lambda: {"name": "x"})
    return ApiClient(api, make_container(Settings(**settings), database=database, admission_store=state)), state, clock


_serial = iter(range(1_000_000))


def call_well(client: ApiClient) -> ApiReply:
    return client.call("POST", "/forms", {"name": "x"}, key=f"k{next(_serial)}")


def call_badly(client: ApiClient) -> ApiReply:
    return client.call("POST", "/forms", {"nam": "x"}, key=f"k{next(_serial)}")


# ---- what the fields say
def fields(reply: ApiReply) -> tuple[int, int]:
    """`r` and `t` of a RateLimit field that is an Item of a String and Integers (RFC 9651)."""
    found = re.fullmatch(r'"[a-z-]+";r=(\d+);t=(\d+)', reply.headers["RateLimit"])
    assert found, reply.headers["RateLimit"]
    return int(found[1]), int(found[2])


def test_t_is_when_more_is_there_and_retry_after_never_before_it() -> None:
    """5 / 60: with some left and with none, one more comes 12 s after the first was spent."""
    client, _, clock = build()
    seen = []
    for _ in range(6):
        seen.append(fields(last := call_well(client)))
        clock.advance(1.5)
    assert seen == [(4, 12), (3, 11), (2, 9), (1, 8), (0, 6), (0, 5)]
    assert (last.status, last.headers["Retry-After"]) == (429, "5")
    clock.advance(int(last.headers["Retry-After"]) - 1.5)
    assert call_well(client).status == 200


# ---- by what they count
@pytest.mark.parametrize(
    ("address", "counted"),
    [
        ("192.0.2.7", "192.0.2.7"),
        ("::ffff:192.0.2.7", "192.0.2.7"),
        ("::ffff:c000:207", "192.0.2.7"),
        ("2002:c000:207::1", "192.0.2.7"),
        ("64:ff9b::192.0.2.7", "192.0.2.7"),
        ("2001:db8:1:2::", "2001:db8:1:2::/64"),
        ("2001:DB8:1:2:ffff:ffff:ffff:ffff", "2001:db8:1:2::/64"),
        ("2001:db8:1:3::1", "2001:db8:1:3::/64"),
        ("fe80::1%eth0", "fe80::/64"),
        (" 192.0.2.7 ", "192.0.2.7"),
        *[(malformed, "unknown") for malformed in ("", "localhost", "192.0.2.7, 10.0.0.1", "1.2.3", "::1::", "%", "é")],
    ],
)
def test_an_address_counts_as_its_network(address: str, counted: str) -> None:
    """A /64 is one client's, and an IPv4 address is the same in any of its spellings."""
    assert normalise_address(address) == counted


@given(st.text(max_size=60))
def test_no_text_is_too_strange_to_count(text: str) -> None:
    """It is an address or it counts with all others that are none."""
    counted = normalise_address(text)
    assert counted == "unknown" or ip_address(counted.partition("/")[0])


def test_a_hashed_address_says_nothing_without_the_secret() -> None:
    """A plain hash of an IPv4 address is found by trying all of them."""
    assert hash_address("192.0.2.7", "one") != hash_address("192.0.2.7", "two")
    assert hash_address("2001:db8::1", "one") == hash_address("2001:db8::2", "one")
    assert "192" not in hash_address("192.0.2.7", "one")[:3]


def test_a_client_can_not_spread_its_calls_over_its_own_network() -> None:
    """2^64 addresses of a /64 share one bucket; the neighbours have their own."""
    client, _, _ = build()
    replies = []
    for n in range(7):
        client.source_ip = f"2001:db8:1:2::{n}"
        replies.append(call_well(client).status)
    assert replies == [200] * 5 + [429] * 2
    client.source_ip = "2001:db8:1:3::1"
    assert call_well(client).status == 200


# ---- what can't be read
def test_sixty_invalid_calls_of_one_address_are_refused_after_twenty() -> None:
    """Each costs us its reading; another address is not concerned."""
    client, _, clock = build()
    replies = [call_badly(client) for _ in range(60)]
    assert [reply.status for reply in replies] == [422] * 20 + [429] * 40
    assert replies[0].headers["RateLimit-Policy"] == '"invalid-request";q=20;w=60'
    assert (replies[20].problem, replies[20].headers["Retry-After"]) == ("too-many-requests", "3")
    client.source_ip = "198.51.100.1"
    assert call_badly(client).status == 422
    client.source_ip = "127.0.0.9"
    clock.advance(3)
    assert [call_badly(client).status for _ in range(2)] == [422, 429]


def test_who_mends_a_form_keeps_the_tries_of_the_form() -> None:
    """Nineteen mistakes cost none of the five, and a valid call passes even where no mistake would any more."""
    client, _, _ = build()
    for _ in range(25):
        call_badly(client)
    assert [call_well(client).status for _ in range(6)] == [200] * 5 + [429]


UNREADABLE: list[tuple[int, dict[str, Any]]] = [
    (422, {"body": {"nam": "x"}, "key": "k"}),
    (400, {"raw": "{", "key": "k"}),
    (400, {"body": {"name": "x"}}),
    (400, {"body": {"name": "x"}, "key": "a b"}),
    (413, {"raw": " " * (256 * 1024 + 1), "key": "k"}),
    (415, {"body": {"name": "x"}, "key": "k", "headers": {"Content-Type": "text/plain"}}),
]


@pytest.mark.parametrize(("status", "sent"), UNREADABLE)
def test_whatever_can_not_be_read_is_charged(status: int, sent: dict[str, Any]) -> None:
    """The same limit is charged, however the call is wrong."""
    client, _, _ = build(limits={"invalid-request": (1, 60)})
    assert [client.call("POST", "/forms", **sent).status for _ in range(2)] == [status, 429]


def test_an_account_is_charged_wherever_it_is() -> None:
    """Its sub is charged, on writes and reads alike; another account at the same address is not."""
    client, _, _ = build(limits={"invalid-request": (2, 60)})
    one, two = client.sign_in_as(make_claims("one")), client.sign_in_as(make_claims("two"))
    assert one.call("PUT", "/forms", {"name": "x"}).status == 428
    one.source_ip = "198.51.100.1"
    assert one.call("GET", "/forms", query={"limit": "x"}).status == 422
    assert one.call("GET", "/forms", query={"limit": "x"}).status == 429
    assert two.call("GET", "/forms", query={"limit": "x"}).status == 422


def test_a_refusal_before_the_body_is_read_is_not_charged() -> None:
    """401, 403, 404 and 405 read nothing of the body."""
    client, _, _ = build(limits={"invalid-request": (1, 60)})
    statuses = [client.call("PUT", "/forms", {"name": "x"}).status for _ in range(3)]
    statuses += [client.call("DELETE", "/forms").status for _ in range(3)]
    assert statuses == [401] * 3 + [405] * 3


def test_without_the_state_store_a_mistake_is_answered_as_usual() -> None:
    """The limiter fails open."""
    client, state, _ = build()
    state.reachable = False
    assert {call_badly(client).status for _ in range(30)} == {422}
