"""Simulated users of a soak run, who repeat each call with its key until it is answered."""

import queue
import random
import time
import uuid
from collections.abc import Callable
from functools import partial
from threading import Event, Thread
from typing import Any

import httpx

from tests.e2e.cloud import RunningCloud
from tests.e2e.cloud_users import CloudUsers, add_key
from tests.sample_people import make_applicant, make_claim_body, make_person
from tests.soak.ledger import SoakLedger

MEMBERS = 4
VISITORS = 2
STAFF = 2

TRY_S = 35.0  # longer than API Gateway's 29
GIVE_UP_S = 150.0
PAUSE_S = (0.05, 0.4)  # between two calls of one person
RETRY_S = (0.2, 1.0)
# Statuses worth another try with the same key: the gateway's, a dead function's, one that can't now.
PASSING = frozenset({429, 500, 502, 503, 504})
WAY = ("verification", "evaluation", "resolved")


class PatientCaller:
    """Makes calls for one person, and says of each how it went."""

    def __init__(self, client: httpx.Client, ledger: SoakLedger, seed: str) -> None:
        self._client = client
        self._ledger = ledger
        self.random = random.Random(seed)

    def write(self, path: str, body: dict[str, Any] | None = None, **headers: str) -> httpx.Response | None:
        """POST until there is an answer; None where there was none in time."""
        sent = add_key(f"soak-{uuid.UUID(int=self.random.getrandbits(128))}", **headers)
        until = time.monotonic() + GIVE_UP_S
        while time.monotonic() < until:
            reply = self._try(path, body, sent)
            if reply is not None:
                return reply
            time.sleep(self.random.uniform(*RETRY_S))
        self._ledger.note_unanswered(path)
        return None

    def _try(self, path: str, body: dict[str, Any] | None, headers: dict[str, str]) -> httpx.Response | None:
        try:
            reply = self._client.post(path, json=body, headers=headers, timeout=TRY_S)
        except httpx.TransportError as error:
            self._ledger.note_attempt(type(error).__name__)
            return None
        self._ledger.note_attempt(str(reply.status_code))
        in_progress = reply.status_code == 409 and "request-in-progress" in reply.text
        return None if in_progress or reply.status_code in PASSING else reply


def read_acknowledged(reply: httpx.Response | None) -> dict[str, Any] | None:
    """Return the record of an answer that says it was done."""
    if reply is None:
        return None
    assert reply.status_code in (200, 201), (reply.status_code, reply.text)
    record: dict[str, Any] = reply.json()
    return record


class SoakLoad:
    """All of them, each in a thread, until they are asked to stop."""

    def __init__(self, cloud: RunningCloud, *, seed: int) -> None:
        self.ledger = SoakLedger()
        self.failures: list[BaseException] = []
        self._cloud = cloud
        self._seed = seed
        self._people = CloudUsers(cloud)
        self._filed: queue.SimpleQueue[dict[str, Any]] = queue.SimpleQueue()
        self._renewed: set[str] = set()
        self._over = Event()
        self._threads: list[Thread] = []

    def start(self) -> None:
        """Sign the people in, and let them begin."""
        members = [self._people.make_member() for _ in range(MEMBERS)]
        for record, _ in members:
            self.ledger.note("member.registered", record)
        staff = [self._people.make_another_staff() for _ in range(STAFF)]
        for n, (record, client) in enumerate(members):
            self._begin(f"member-{n}", client, partial(self._file_or_renew, member=record))
        for n in range(VISITORS):
            self._begin(f"visitor-{n}", self._cloud.make_client(), self._register)
        for n, client in enumerate(staff):
            self._begin(f"staff-{n}", client, self._finish_claim)

    def stop(self) -> None:
        """Let each finish what they are at, and raise what went wrong with any."""
        self._over.set()
        for thread in self._threads:
            thread.join(GIVE_UP_S + TRY_S)
        assert not any(thread.is_alive() for thread in self._threads)
        if self.failures:
            raise self.failures[0]

    def _begin(self, name: str, client: httpx.Client, act: Callable[[PatientCaller], None]) -> None:
        caller = PatientCaller(client, self.ledger, f"{self._seed} {name}")
        thread = Thread(target=self._run_user, args=(caller, act), name=name, daemon=True)
        self._threads.append(thread)
        thread.start()

    def _run_user(self, caller: PatientCaller, act: Callable[[PatientCaller], None]) -> None:
        try:
            while not self._over.is_set():
                act(caller)
                self._over.wait(caller.random.uniform(*PAUSE_S))
        except BaseException as error:  # noqa: BLE001 - raised to the one who waits
            self.failures.append(error)

    def _register(self, caller: PatientCaller) -> None:
        if caller.random.random() < 0.5:
            path, body, action = "/members", make_person(), "member.registered"
        else:
            path, body, action = "/agents", make_applicant(), "agent.applied"
        if record := read_acknowledged(caller.write(path, body)):
            self.ledger.note(action, record)

    def _file_or_renew(self, caller: PatientCaller, member: dict[str, Any]) -> None:
        if caller.random.random() < 0.2 and member["id"] not in self._renewed:  # a second year would be too early
            self._renewed.add(member["id"])
            if record := read_acknowledged(caller.write(f"/members/{member['id']}/renewals")):
                self.ledger.note("membership.renewed", record)
        elif claim := read_acknowledged(caller.write("/claims", make_claim_body())):
            self.ledger.note("claim.submitted", claim)
            self._filed.put(claim)

    def _finish_claim(self, caller: PatientCaller) -> None:
        try:
            claim = self._filed.get(timeout=0.5)
        except queue.Empty:
            return
        for to in WAY:
            move = {"to": to, "reason": "As agreed."}
            tag = f'"{claim["version"]}"'
            moved = read_acknowledged(caller.write(f"/claims/{claim['id']}/transitions", move, **{"If-Match": tag}))
            if moved is None:
                return
            self.ledger.note("claim.transitioned", moved)
            claim = moved
