"""Execution environments at work, and clients that repeat each call until they have an answer."""

import heapq
import itertools
import random
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from claims.app import api as claims_api
from members.app import api as members_api
from shared.api.router import Api
from shared.aws.dynamodb_shared_state import BackgroundCounter
from shared.settings import Settings
from tests.api_client import ApiClient, ApiReply, make_container
from tests.failover.client_calls import CallSource, ClientCall, Effects
from tests.failover.servers import wait_until
from tests.fakes.admission import InMemoryAdmissionStore
from tests.fakes.relay_waker import FakeRelayWaker
from tests.integration.function_client import GENEROUS

APIS: dict[str, Api[Any]] = {"members": members_api, "claims": claims_api}

# An environment's pause after a call, at most: new calls come also while others wait for their Retry-After.
PAUSE_S = 0.03
# An impatient client sends one call in this many: twice at once, to whichever environments are free.
IMPATIENT = 8
DRAIN_S = 30.0


@dataclass(frozen=True, slots=True)
class Attempt:
    """A call sent once, and what came of it; times in epoch seconds."""

    call: ClientCall
    reply: ApiReply
    sent_at: float
    answered_at: float

    @property
    def is_answered(self) -> bool:
        """Return whether this was the call's answer."""
        return self.reply.status in (200, 201)

    @property
    def is_retryable(self) -> bool:
        """Return whether the answer asks the client to repeat the call."""
        named = {503: "unavailable", 409: "request-in-progress"}.get(self.reply.status)
        return named is not None and self.reply.problem == named and int(self.reply.headers["Retry-After"]) >= 1


class ClientEnvironment:
    """The functions on a database connection of their own."""

    def __init__(self, settings: Settings, state: InMemoryAdmissionStore) -> None:
        container = make_container(
            settings,
            admission_store=state,
            queues=FakeRelayWaker(),
            _retry_counter=BackgroundCounter(lambda _count: None),
        )
        self._clients = {function: ApiClient(api, container) for function, api in APIS.items()}

    def send(self, call: ClientCall) -> Attempt:
        """Send a call once."""
        sent_at, client = time.time(), self._clients[call.function].sign_in_as(call.who)
        sent: dict[str, Any] = {"key": call.key, "if_match": call.version, **call.ids}
        reply = client.call("POST", call.resource, call.body, **sent)
        return Attempt(call, reply, sent_at, time.time())


class ClientFleet:
    """Environments that take calls: those that are due to be repeated first, then new ones."""

    def __init__(self, settings: Settings, work: CallSource, *, environments: int, seed: int) -> None:
        settings = settings.model_copy(update={"limits": GENEROUS})
        state = InMemoryAdmissionStore()
        self.attempts: list[Attempt] = []
        self._work = work
        self._random = random.Random(seed)
        self._order = itertools.count()
        self._lock = threading.Lock()
        self._waiting: list[tuple[float, int, ClientCall]] = []
        self._under_way = 0
        self._flowing, self._over = True, False
        self._failures: list[BaseException] = []
        self._threads = [
            threading.Thread(target=self._serve, args=(ClientEnvironment(settings, state),), name=f"environment-{n}")
            for n in range(environments)
        ]

    def resume(self) -> None:
        """Let new calls come."""
        self._flowing = True

    def drain(self) -> None:
        """Let no new calls come, and wait until every client has its answer."""
        self._flowing = False
        wait_until(lambda: bool(self._failures) or self._is_idle(), "a client never got its answer", within_s=DRAIN_S)
        for failure in self._failures:
            raise failure

    def count_expected(self) -> Effects:
        """Return the effects that the answers confirm."""
        answers = {attempt.call.key: attempt for attempt in self.attempts if attempt.is_answered}
        found: Effects = Counter()
        for attempt in answers.values():
            found.update(attempt.call.count_effects(attempt.reply.json))
        return found

    def list_surprises(self) -> list[str]:
        """Return the answers that are neither expected nor a problem to repeat, and those that differ from their key's
        first one.
        """
        odd = [a for a in self.attempts if not a.is_answered and not a.is_retryable]
        return [f"{a.call.kind} {a.reply.status} {a.reply.body}" for a in odd] + self._list_differing()

    def _list_differing(self) -> list[str]:
        first: dict[str, str] = {}
        ended = [attempt for attempt in self.attempts if attempt.is_answered]
        return [a.call.key for a in ended if first.setdefault(a.call.key, a.reply.body) != a.reply.body]

    def _is_idle(self) -> bool:
        with self._lock:
            return not self._waiting and self._under_way == 0

    def _serve(self, environment: ClientEnvironment) -> None:
        try:
            while not self._over:
                call = self._take()
                if call is not None:
                    self._note(environment.send(call))
                time.sleep(self._random.uniform(0, PAUSE_S))
        except BaseException as failure:  # raised by `drain`
            self._failures.append(failure)
            raise

    def _take(self) -> ClientCall | None:
        with self._lock:
            if self._waiting and self._waiting[0][0] <= time.time():
                call = heapq.heappop(self._waiting)[2]
            elif self._flowing:
                call = self._work.make_call()
                if self._random.randrange(IMPATIENT) == 0:
                    self._schedule_repeat(call, 0.0)
            else:
                return None
            self._under_way += 1
            return call

    def _note(self, attempt: Attempt) -> None:
        if attempt.is_answered:
            self._work.note_answer(attempt.call, attempt.reply.json)
        with self._lock:
            self.attempts.append(attempt)
            self._under_way -= 1
            if attempt.is_retryable:
                self._schedule_repeat(attempt.call, float(attempt.reply.headers["Retry-After"]))

    def _schedule_repeat(self, call: ClientCall, after_s: float) -> None:
        heapq.heappush(self._waiting, (time.time() + after_s, next(self._order), call))

    @contextmanager
    def run(self) -> Iterator["ClientFleet"]:
        """Within the block."""
        for thread in self._threads:
            thread.start()
        try:
            yield self
        finally:
            self._over = True
            for thread in self._threads:
                thread.join()
