"""Repeats of a call: answered from its key's row until an answer is stored, done anew only if the work is not done."""

from typing import Any

import pytest

from shared.admission.ports import Admitted, InProgress, Replay
from shared.api.auth.caller import MEMBER, STAFF
from shared.api.call import Call
from shared.api.responses import Answer, make_answer
from shared.api.router import Api
from shared.database.transaction import Committed
from shared.errors import Refusal, Unavailable
from shared.fields import RequestModel, ResponseModel
from shared.settings import Settings
from tests.api_client import STAFF as STAFF_CLAIMS
from tests.api_client import ApiClient, make_claims, make_container
from tests.fakes.admission import InMemoryAdmissionStore
from tests.fakes.clock import ManualClock
from tests.fakes.database import ScriptedDatabase, run_nothing

# The lease of a call of these tests, which has ten seconds.
LEASE_S = 11.0
BODY = {"text": "a"}
SETTINGS = Settings(address_secret="secret")  # the environments of one stack


class RepeatedOrder(RequestModel):
    text: str


class RepeatedReceipt(ResponseModel):
    text: str


api = Api()


@api.post(
    "/orders",
    summary="Order",
    input=RepeatedOrder,
    answer=RepeatedReceipt,
    status=201,
    sign_in="none",
    key="required",
    limit="member-registration",
)
def order(call: Call[RepeatedOrder]) -> Answer:
    """Makes its answer of its facts."""
    return make_answer(RepeatedReceipt(**call.run_once(run_nothing)), status=201, location="/orders/1")


@api.post("/reviews", summary="Review", input=RepeatedOrder, answer=RepeatedReceipt, access=STAFF, key="required")
def review(call: Call[RepeatedOrder]) -> Answer:
    """Is for staff alone."""
    return make_answer(RepeatedReceipt(**call.run_once(run_nothing)))


@api.post(
    "/complaints",
    summary="Complain",
    input=RepeatedOrder,
    answer=RepeatedReceipt,
    access=MEMBER | STAFF,
    key="required",
)
def complain(call: Call[RepeatedOrder]) -> Answer:
    """Is for members, and for staff about any of them."""
    return make_answer(RepeatedReceipt(**call.run_once(run_nothing)))


@api.post(
    "/deliveries",
    summary="Deliver",
    input=RepeatedOrder,
    answer=RepeatedReceipt,
    sign_in="none",
    stores_answer=True,
)
def deliver(call: Call[RepeatedOrder]) -> Answer:
    """Does more than one transaction."""
    return make_answer(RepeatedReceipt(**call.run_once(run_nothing)))


class RepeatingClient:
    """A client that repeats one call, in environments that share a store and a database."""

    def __init__(self, resource: str = "/orders") -> None:
        self.clock = ManualClock()
        self.store = InMemoryAdmissionStore(self.clock)
        self.failing: Exception | None = None
        self.database = ScriptedDatabase(self._answer)
        self._resource = resource

    def _answer(self) -> Any:
        if self.failing is not None:
            raise self.failing
        return {"text": "kept"}

    def call(self, key: str = "k", who: Any = None) -> Any:
        """Send the call to an environment that has not met it."""
        container = make_container(SETTINGS, database=self.database, admission_store=self.store)
        return ApiClient(api, container, who).call("POST", self._resource, BODY, key=key)

    def run_relay(self) -> None:
        """Let the relay keep the answer."""
        self.store.keep_as_relay(self.database.uses[0], {"text": "kept"})

    def die(self, key: str = "k") -> None:
        """Send the call to an environment that takes the key and dies in its transaction."""

        def end_process() -> Any:
            raise KeyboardInterrupt

        dying = ScriptedDatabase(end_process)
        container = make_container(SETTINGS, database=dying, admission_store=self.store)
        with pytest.raises(KeyboardInterrupt):
            ApiClient(api, container).call("POST", self._resource, BODY, key=key)
        self.use = dying.uses[0]

    def read_record(self) -> object:
        """What the store knows of the key."""
        [use, *_] = self.database.uses
        return self.store.admit(charge=None, use=use, lease_s=1)


@pytest.fixture
def client() -> RepeatingClient:
    """Return a client of the operation that makes its answer of its facts."""
    return RepeatingClient()


def test_the_log_names_the_record_that_a_call_has_made(
    client: RepeatingClient, caplog: pytest.LogCaptureFixture
) -> None:
    """The path names it, without people's data: no answer is stored that could tell it after a restore."""
    with caplog.at_level("INFO"):
        client.call()
    [line] = [each for each in caplog.records if each.getMessage() == "request"]
    assert line.__dict__["location_header"] == "/api/orders/1"


def test_a_call_ends_with_its_transaction(client: RepeatingClient) -> None:
    """Its answer is stored nowhere but in its key's row."""
    assert client.call().status == 201
    assert isinstance(client.read_record(), InProgress)


def test_the_first_repeat_answers_from_the_row_and_stores_the_answer(client: RepeatingClient) -> None:
    """The next ones get it from the store, also while the database is away."""
    first, second = client.call(), client.call()
    assert (second.status, second.body, second.headers["Idempotency-Replayed"]) == (201, first.body, "true")
    assert isinstance(client.read_record(), Replay)
    third = client.call()
    assert (third.body, third.headers["Idempotency-Replayed"]) == (first.body, "true")
    assert (len(client.database.uses), len(client.database.asked)) == (1, 1)


def test_a_repeat_after_the_relay_needs_no_database(client: RepeatingClient) -> None:
    """It makes its answer of the facts, and stores it: later ones are the same, whatever a release makes of facts."""
    first = client.call()
    client.run_relay()
    second = client.call()
    assert (second.status, second.body, second.headers["Idempotency-Replayed"]) == (201, first.body, "true")
    assert (len(client.database.uses), client.database.asked, client.database.reads) == (1, [], 0)
    assert isinstance(client.read_record(), Replay)


def test_what_the_relay_has_kept_is_for_staff_who_still_work_here() -> None:
    """It is about other people; their account is asked for, as before any stored answer."""
    client = RepeatingClient("/reviews")
    client.call(who=STAFF_CLAIMS)
    client.run_relay()
    assert client.call(who=STAFF_CLAIMS).status == 200
    assert client.database.reads == 1
    client.failing = Refusal("forbidden")
    assert client.call(who=STAFF_CLAIMS).status == 403


@pytest.mark.parametrize("repeats", [0, 1])
def test_an_answer_given_to_staff_is_not_repeated_to_the_same_person_as_a_member(repeats: int) -> None:
    """Their token is of both groups, and their account has lost the role: neither the facts nor the stored answer."""
    client = RepeatingClient("/complaints")
    both, role = make_claims("both", "staff", "member"), ["staff"]

    def read_account(_use_case: Any, _deadline: Any) -> Committed[Any]:
        client.database.reads += 1
        if client.database.reads % 2 and role == ["former"]:  # the role is asked first, then the access required
            return Committed("former", frozenset())
        if role == ["former"]:
            raise Refusal("forbidden")
        return Committed("staff", frozenset())

    client.database.run = read_account  # type: ignore[method-assign]
    client.call(who=both)
    client.run_relay()
    for _ in range(repeats):
        assert client.call(who=both).status == 200
    client.database.reads, role[0] = 0, "former"
    assert client.call(who=both).problem == "forbidden"


def test_a_stored_answer_ends_with_its_row(client: RepeatingClient) -> None:
    """It ends a day after the first call, however late its repeat came."""
    client.call()
    client.clock.advance(20 * 3600)
    client.call()
    client.clock.advance(4 * 3600)
    assert isinstance(client.read_record(), Admitted)


@pytest.mark.parametrize("after_s", [0.0, LEASE_S, 23 * 3600.0])
def test_a_repeat_costs_nothing_whenever_it_comes(client: RepeatingClient, after_s: float) -> None:
    """Also if the client has no requests left, and the first call's lease is over."""
    first = client.call()
    client.clock.advance(after_s)
    others = [client.call(f"other-{n}").status for n in range(6)]
    assert others[-1] == 429
    assert (client.call().body, client.call("new").status) == (first.body, 429)


def test_a_call_whose_first_one_runs_has_to_wait(client: RepeatingClient) -> None:
    """The database was asked, and has no row yet; no limit is charged for it, nor that of invalid requests."""
    client.die()
    waits = SETTINGS.find_limit("invalid-request").burst + 1
    replies = [client.call() for _ in range(waits)]
    assert {(reply.status, reply.problem, reply.headers["Retry-After"]) for reply in replies} == {
        (409, "request-in-progress", "1")
    }
    assert (client.database.uses, len(client.database.asked)) == ([], waits)


def test_what_a_dead_call_has_not_done_is_done_by_the_repeat_after_its_lease(client: RepeatingClient) -> None:
    """It is new work, and charged like the call that died."""
    client.die()
    client.clock.advance(LEASE_S)
    reply = client.call()
    assert (reply.status, "Idempotency-Replayed" in reply.headers) == (201, False)
    assert reply.headers["RateLimit"].startswith('"member-registration";r=3;')
    assert len(client.database.uses) == 1
    assert client.call().headers["Idempotency-Replayed"] == "true"


def test_a_dead_calls_key_does_not_pass_its_clients_limit(client: RepeatingClient) -> None:
    """Taking it over is refused like any new work."""
    client.die()
    client.clock.advance(LEASE_S)
    for n in range(6):
        client.call(f"other-{n}")
    assert client.call().status == 429
    assert len(client.database.uses) == 4, "the dead call was charged as well"


def test_a_row_that_cannot_be_looked_up_is_no_reason_to_do_the_work_again(client: RepeatingClient) -> None:
    """503, whether the lease lasts or not; the key stays its holder's."""
    client.die()
    client.clock.advance(LEASE_S)

    def find_nothing(*_arguments: Any, **_more: Any) -> Any:
        raise Unavailable("database")

    found = client.database.find_committed
    client.database.find_committed = find_nothing  # type: ignore[method-assign]
    assert (client.call().problem, client.database.uses) == ("unavailable", [])
    client.database.find_committed = found  # type: ignore[method-assign]
    assert client.call().status == 201


def test_a_refusal_gives_the_key_back_at_once(client: RepeatingClient) -> None:
    """Nobody has to wait for a lease."""
    client.failing = Refusal("email-taken")
    assert client.call().problem == "email-taken"
    client.failing = None
    assert client.call().status == 201
    assert client.database.asked == []


def test_an_operation_that_does_more_than_one_transaction_stores_its_answer() -> None:
    """Its repeats are never answered from the row, which does not know what else was to be done."""
    client = RepeatingClient("/deliveries")
    first = client.call()
    assert isinstance(client.read_record(), Replay)
    assert client.call().body == first.body
    dead = RepeatingClient("/deliveries")
    dead.die()
    assert dead.call().problem == "request-in-progress"
    dead.clock.advance(LEASE_S)
    assert (dead.call().status, dead.database.asked, len(dead.database.uses)) == (200, [], 1)
