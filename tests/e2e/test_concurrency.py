"""Many at the same instant: each accepted call has its rows and mails, each refused one none."""

import json
import threading
import time
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from functools import partial
from http.client import HTTPConnection
from typing import Any

import httpx
import pytest

from tests.e2e.cloud import RunningCloud, get_next_serial, read_problem, wait_until
from tests.e2e.cloud_users import CloudUsers, add_key
from tests.measurements import record
from tests.sample_people import make_applicant, make_claim_body, make_person

BURST = 50  # calls at once of a method (template.yaml)
RATE = 50.0  # calls a second by which it comes back


def run_at_once(calls: Sequence[Callable[[], httpx.Response]]) -> list[httpx.Response]:
    """Let go of all calls together; return their answers."""
    start = threading.Barrier(len(calls))

    def go(call: Callable[[], httpx.Response]) -> httpx.Response:
        start.wait()
        return call()

    with ThreadPoolExecutor(len(calls)) as pool:
        return list(pool.map(go, calls))


def send_together(
    base: httpx.URL, addresses: Sequence[str], path: str, bodies: Sequence[object]
) -> list[httpx.Response]:
    """Post each body from its address at one instant, and return the replies in the same order.

    All connections stand before the first byte leaves and one thread writes all requests, so that they arrive within
    milliseconds. With a thread for each call, a slow machine spreads them over seconds.
    """
    connections = [HTTPConnection(base.host, base.port, timeout=60, source_address=(a, 0)) for a in addresses]
    payloads = [json.dumps(body) for body in bodies]
    for connection in connections:
        connection.connect()
    for connection, payload in zip(connections, payloads, strict=True):
        connection.request(
            "POST", base.path.rstrip("/") + path, payload, {**add_key(), "Content-Type": "application/json"}
        )
    replies = []
    for connection in connections:
        with closing(connection):
            got = connection.getresponse()
            replies.append(httpx.Response(got.status, headers=got.getheaders(), content=got.read()))
    return replies


def count_seconds_of_arrival(replies: Sequence[httpx.Response]) -> int:
    """Return how many whole seconds the gateway's receiving of the calls may have taken, by their trace ids."""
    seconds = [int(reply.headers["X-Amzn-Trace-Id"].split("-")[1], 16) for reply in replies]
    return max(seconds) - min(seconds) + 1


def prepare_post(
    client: httpx.Client, path: str, body: dict[str, Any], key: str | None = None
) -> Callable[[], httpx.Response]:
    """Prepare a call to be let go."""
    return lambda: client.post(path, json=body, headers=add_key(key))


def count_statuses(replies: Sequence[httpx.Response]) -> dict[int, int]:
    """Return how many replies had which status."""
    return dict(Counter(reply.status_code for reply in replies))


def test_twenty_applications_from_twenty_addresses_are_twenty_agents(cloud: RunningCloud) -> None:
    """All 20 are created with 20 different codes, though the applicants have the same name."""
    clients = [cloud.make_client(f"127.0.0.{n}") for n in range(2, 22)]
    replies = run_at_once([prepare_post(client, "/agents", make_applicant()) for client in clients])
    assert count_statuses(replies) == {201: 20}
    assert len({reply.json()["referral_code"] for reply in replies}) == 20


# The gateway's own answer where a method is asked for more than it lets in.
SERVED_OR_ASKED_TO_WAIT = {201, 429}


@pytest.mark.parametrize("count", [21, 50])
@pytest.mark.parametrize(("path", "body"), [("/agents", make_applicant), ("/members", make_person)])
def test_fifty_at_one_instant_are_served(
    cloud: RunningCloud, path: str, body: Callable[[], dict[str, Any]], count: int
) -> None:
    """Each call has its own address, the settings are the deployed ones, and all environments may have to start."""
    clients = [cloud.make_client(f"127.0.{100 + get_next_serial() % 100}.{n}") for n in range(2, count + 2)]
    replies = run_at_once([prepare_post(client, path, body()) for client in clients])

    record("at_one_instant", path=path, callers=count, served=count_statuses(replies).get(201, 0))
    assert count_statuses(replies) == {201: count}
    time.sleep(count / RATE)  # the method's burst is whole again for the next test


def test_fifty_claims_at_one_instant_are_served(cloud: RunningCloud, users: CloudUsers) -> None:
    """Fifty members submit a claim each."""
    with ThreadPoolExecutor(8) as pool:
        members = list(pool.map(lambda _: users.make_member(), range(50)))
    time.sleep(50 / RATE)
    replies = run_at_once([prepare_post(client, "/claims", make_claim_body()) for _, client in members])

    record("at_one_instant", path="/claims", callers=50, served=count_statuses(replies).get(201, 0))
    assert count_statuses(replies) == {201: 50}


def test_two_hundred_calls_at_one_instant_are_served_or_asked_to_wait(cloud: RunningCloud) -> None:
    """Calls beyond the capacity get a 429 with Retry-After from the gateway; none ends in an unexplained 5xx.

    On a machine so slow that the gateway reads 50 calls a second, nobody has to be refused.
    """
    bodies = [make_person() for _ in range(200)]
    replies = send_together(httpx.URL(cloud.url), [f"127.0.200.{n + 2}" for n in range(200)], "/members", bodies)
    let_in = BURST + RATE * count_seconds_of_arrival(replies)  # the bucket refills while the gateway reads

    served, asked = count_statuses(replies).get(201, 0), count_statuses(replies).get(429, 0)
    record("two_hundred_at_one_instant", callers=200, served=served, told_to_wait=asked, other=200 - served - asked)
    assert set(count_statuses(replies)) <= SERVED_OR_ASKED_TO_WAIT
    assert BURST <= served <= let_in
    refused = [reply for reply in replies if reply.status_code == 429]
    assert {read_problem(reply) for reply in refused} <= {"too-many-requests"}
    assert all(int(reply.headers["Retry-After"]) >= 1 for reply in refused)
    registered = cloud.query_rows(
        "SELECT email FROM accounts WHERE email = ANY(%s)", [body["email"] for body in bodies]
    )
    assert len(registered) == served


def test_fifteen_deep_health_checks_at_one_instant_are_answered(cloud: RunningCloud) -> None:
    """From fifteen addresses none is refused, and none ends in a 5xx of the gateway."""
    clients = [cloud.make_client(f"127.0.7.{n}") for n in range(2, 17)]
    replies = run_at_once([partial(client.get, "/health/deep") for client in clients])

    assert count_statuses(replies) == {200: 15}


def test_a_flood_of_unknown_addresses_leaves_health_alone(cloud: RunningCloud) -> None:
    """A hundred clients call paths that do not exist, and the health check is still answered."""
    clients = [cloud.make_client(f"127.0.6.{n}") for n in range(2, 102)]
    with ThreadPoolExecutor(len(clients)) as pool:
        flood = [pool.submit(client.get, "/wp-login.php") for client in clients]
        beside = cloud.make_client("127.0.6.200").get("/health/deep")

    assert beside.status_code == 200
    assert {reply.result().status_code for reply in flood} <= {404, 429}


def test_twenty_applications_from_one_address_are_five(cloud: RunningCloud) -> None:
    """Of 20, 5 are created and 15 refused; after Retry-After one more is admitted, after a minute five."""
    bodies = [make_applicant() for _ in range(20)]
    clients = [cloud.make_client("127.0.9.9") for _ in bodies]
    replies = run_at_once([prepare_post(client, "/agents", body) for client, body in zip(clients, bodies, strict=True)])
    assert count_statuses(replies) == {201: 5, 429: 15}
    refused = [reply for reply in replies if reply.status_code == 429]
    assert {read_problem(reply) for reply in refused} == {"too-many-requests"}
    emails = [body["email"] for body in bodies]
    assert len(cloud.query_rows("SELECT id FROM accounts WHERE email = ANY(%s)", emails)) == 5

    time.sleep(max(int(reply.headers["Retry-After"]) for reply in refused))
    one_more = run_at_once([prepare_post(clients[n], "/agents", make_applicant()) for n in range(3)])
    assert count_statuses(one_more) == {201: 1, 429: 2}
    time.sleep(60)
    five_more = run_at_once([prepare_post(clients[n], "/agents", make_applicant()) for n in range(7)])
    assert count_statuses(five_more) == {201: 5, 429: 2}


def test_twenty_members_with_one_email_are_one(cloud: RunningCloud) -> None:
    """One call is answered 201 and 19 are 409; there is one account, one member and one welcome mail."""
    body = make_person()
    replies = run_at_once([prepare_post(cloud.make_client(), "/members", body) for _ in range(20)])
    assert count_statuses(replies) == {201: 1, 409: 19}
    assert {read_problem(reply) for reply in replies if reply.status_code == 409} == {"email-taken"}
    assert len(cloud.query_rows("SELECT id FROM accounts WHERE email = %s", body["email"])) == 1
    wait_until(lambda: cloud.list_mails(body["email"]), "the welcome mail")


def test_twenty_calls_with_one_key_are_one_member_and_one_answer(cloud: RunningCloud) -> None:
    """All come from one address and none gets a 429: each gets the answer, or a 409 while the first one runs."""
    body, key, address = make_person(), f"one-key-{time.time_ns()}", "127.0.8.8"
    calls = [prepare_post(cloud.make_client(address), "/members", body, key) for _ in range(20)]
    replies = run_at_once(calls)
    assert set(count_statuses(replies)) <= {201, 409}
    assert {read_problem(r) for r in replies if r.status_code == 409} <= {"request-in-progress"}
    assert all(int(r.headers["Retry-After"]) >= 1 for r in replies if r.status_code == 409)
    later = [call() for call in calls]
    answers = {r.content for r in [*replies, *later] if r.status_code == 201}
    assert (count_statuses(later), len(answers)) == ({201: 20}, 1)
    assert {r.headers.get("Idempotency-Replayed") for r in later} == {"true"}
    assert len(cloud.query_rows("SELECT id FROM accounts WHERE email = %s", body["email"])) == 1


def test_fifteen_claims_at_once_are_fifteen_cases(cloud: RunningCloud, users: CloudUsers) -> None:
    """There are 15 claims with 15 numbers, 15 first history rows and 15 mails."""
    with ThreadPoolExecutor(15) as pool:
        members = list(pool.map(lambda _: users.make_member(language="en"), range(15)))
    replies = run_at_once([prepare_post(client, "/claims", make_claim_body()) for _, client in members])
    assert count_statuses(replies) == {201: 15}
    claims = [reply.json() for reply in replies]
    assert len({claim["number"] for claim in claims}) == 15
    ids = [claim["id"] for claim in claims]
    first = cloud.query_rows(
        "SELECT claim_id, from_state, to_state FROM claim_history WHERE claim_id = ANY(%s::uuid[])", ids
    )
    assert sorted(str(row["claim_id"]) for row in first) == sorted(ids)
    assert {(row["from_state"], row["to_state"]) for row in first} == {(None, "submitted")}

    def confirmations() -> list[str]:
        inbox = cloud.list_mails()
        return [c["number"] for c, (m, _) in zip(claims, members, strict=True) for mail in inbox
                if m["email"] in str(mail["to"]) and c["number"] in mail["text"]]  # fmt: skip

    arrived = wait_until(lambda: found if len(found := confirmations()) >= 15 else None, "fifteen confirmations")
    assert sorted(arrived) == sorted(claim["number"] for claim in claims)
