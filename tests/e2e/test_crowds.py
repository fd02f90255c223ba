"""Many at the same instant: each accepted call has its rows and mails, each refused one none."""

import threading
import time
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx

from tests.e2e.cloud import Cloud, eventually, problem
from tests.e2e.people import People, keyed
from tests.people import applicant, person, trouble


def at_once(calls: Sequence[Callable[[], httpx.Response]]) -> list[httpx.Response]:
    """All calls, let go together."""
    start = threading.Barrier(len(calls))

    def go(call: Callable[[], httpx.Response]) -> httpx.Response:
        start.wait()
        return call()

    with ThreadPoolExecutor(len(calls)) as pool:
        return list(pool.map(go, calls))


def posting(
    client: httpx.Client, path: str, body: dict[str, Any], key: str | None = None
) -> Callable[[], httpx.Response]:
    """A call to be let go."""
    return lambda: client.post(path, json=body, headers=keyed(key))


def statuses(replies: Sequence[httpx.Response]) -> dict[int, int]:
    """How many replies had which status."""
    return dict(Counter(reply.status_code for reply in replies))


def test_twenty_applications_from_twenty_addresses_are_twenty_agents(cloud: Cloud) -> None:
    """20 created, 20 different codes, though they share their name."""
    clients = [cloud.client(f"127.0.0.{n}") for n in range(2, 22)]
    replies = at_once([posting(client, "/agents", applicant()) for client in clients])
    assert statuses(replies) == {201: 20}
    assert len({reply.json()["referral_code"] for reply in replies}) == 20


def test_twenty_applications_from_one_address_are_five(cloud: Cloud) -> None:
    """5 created, 15 refused; one more after the time it was told, five after a minute."""
    bodies = [applicant() for _ in range(20)]
    clients = [cloud.client("127.0.9.9") for _ in bodies]
    replies = at_once([posting(client, "/agents", body) for client, body in zip(clients, bodies, strict=True)])
    assert statuses(replies) == {201: 5, 429: 15}
    refused = [reply for reply in replies if reply.status_code == 429]
    assert {problem(reply) for reply in refused} == {"too-many-requests"}
    emails = [body["email"] for body in bodies]
    assert len(cloud.rows("SELECT id FROM accounts WHERE email = ANY(%s)", emails)) == 5

    time.sleep(max(int(reply.headers["Retry-After"]) for reply in refused))
    one_more = at_once([posting(clients[n], "/agents", applicant()) for n in range(3)])
    assert statuses(one_more) == {201: 1, 429: 2}
    time.sleep(60)
    five_more = at_once([posting(clients[n], "/agents", applicant()) for n in range(7)])
    assert statuses(five_more) == {201: 5, 429: 2}


def test_twenty_members_with_one_email_are_one(cloud: Cloud) -> None:
    """1 created, 19 times 409, one account, one member, one welcome."""
    body = person()
    replies = at_once([posting(cloud.client(), "/members", body) for _ in range(20)])
    assert statuses(replies) == {201: 1, 409: 19}
    assert {problem(reply) for reply in replies if reply.status_code == 409} == {"email-taken"}
    assert len(cloud.rows("SELECT id FROM accounts WHERE email = %s", body["email"])) == 1
    eventually(lambda: cloud.mails(body["email"]), "the welcome mail")


def test_twenty_calls_with_one_key_are_one_member_and_one_answer(cloud: Cloud) -> None:
    """All from one address, and no 429: each gets the answer, or 409 while the first runs, and then the answer."""
    body, key, address = person(), f"one-key-{time.time_ns()}", "127.0.8.8"
    calls = [posting(cloud.client(address), "/members", body, key) for _ in range(20)]
    replies = at_once(calls)
    assert set(statuses(replies)) <= {201, 409}
    assert {problem(r) for r in replies if r.status_code == 409} <= {"request-in-progress"}
    assert all(int(r.headers["Retry-After"]) >= 1 for r in replies if r.status_code == 409)
    later = [call() for call in calls]
    answers = {r.content for r in [*replies, *later] if r.status_code == 201}
    assert (statuses(later), len(answers)) == ({201: 20}, 1)
    assert {r.headers.get("Idempotency-Replayed") for r in later} == {"true"}
    assert len(cloud.rows("SELECT id FROM accounts WHERE email = %s", body["email"])) == 1


def test_fifteen_claims_at_once_are_fifteen_cases(cloud: Cloud, people: People) -> None:
    """15 claims, 15 numbers, 15 first history rows, 15 mails."""
    with ThreadPoolExecutor(15) as pool:
        members = list(pool.map(lambda _: people.member(language="en"), range(15)))
    replies = at_once([posting(client, "/claims", trouble()) for _, client in members])
    assert statuses(replies) == {201: 15}
    claims = [reply.json() for reply in replies]
    assert len({claim["number"] for claim in claims}) == 15
    ids = [claim["id"] for claim in claims]
    first = cloud.rows("SELECT claim_id, from_state, to_state FROM claim_history WHERE claim_id = ANY(%s::uuid[])", ids)
    assert sorted(str(row["claim_id"]) for row in first) == sorted(ids)
    assert {(row["from_state"], row["to_state"]) for row in first} == {(None, "submitted")}

    def confirmations() -> list[str]:
        inbox = cloud.mails()
        return [c["number"] for c, (m, _) in zip(claims, members, strict=True) for mail in inbox
                if m["email"] in str(mail["to"]) and c["number"] in mail["text"]]  # fmt: skip

    arrived = eventually(lambda: found if len(found := confirmations()) >= 15 else None, "fifteen confirmations")
    assert sorted(arrived) == sorted(claim["number"] for claim in claims)
