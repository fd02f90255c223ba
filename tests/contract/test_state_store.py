"""The contract of AdmissionStore: one suite over the fake that tests use and the table that production uses."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from shared.admission.ports import (
    AdmissionDecision,
    AdmissionStore,
    Admitted,
    InProgress,
    KeyReused,
    KeyUse,
    LimitCharge,
    OverLimit,
    RateLimit,
    Replay,
    StoredAnswer,
)
from shared.aws.dynamodb_admission import DynamoDbAdmissionStore
from shared.aws.dynamodb_admission_items import make_record_key
from tests.contract.dynamodb_clients import FIVE_A_MINUTE, LEASE_S, make_charge, make_use, read_items, read_token
from tests.fakes.admission import InMemoryAdmissionStore
from tests.fakes.clock import ManualClock

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

CREATED = StoredAnswer(201, {"Content-Type": "application/json", "ETag": '"1"'}, '{"name": "Shqipërí, Ѓорѓи"}')
OTHER = StoredAnswer(409, {}, "")
DAY_S = 24 * 3600


@dataclass(frozen=True, slots=True)
class AdmissionStoreSubject:
    """A store to hold to the contract, the clock it looks at, and what it reported."""

    store: AdmissionStore
    clock: ManualClock
    events: list[tuple[str, Mapping[str, object]]]

    def admit(
        self, charge: LimitCharge | None = None, use: KeyUse | None = None, *, take_from: str = ""
    ) -> AdmissionDecision:
        return self.store.admit(charge=charge, use=use, lease_s=LEASE_S, take_from=take_from)

    def take_lapsed(self, charge: LimitCharge | None = None) -> AdmissionDecision:
        """Meet the key of a call whose lease is over and whose work is not done, and take it from that call."""
        met = self.admit(charge, make_use())
        assert isinstance(met, InProgress)
        assert met.has_lapsed
        return self.admit(charge, make_use(), take_from=met.holder)

    def complete_use(self, use: KeyUse, answer: StoredAnswer = CREATED) -> None:
        self.store.complete(use, read_token(self.admit(use=use)), answer)

    def spend(self, count: int) -> None:
        for _ in range(count):
            assert isinstance(self.admit(make_charge()), Admitted)

    def count_left(self) -> int:
        """Return how many requests the client has left now; spends them."""
        for spent in range(FIVE_A_MINUTE.burst + 1):
            if isinstance(self.admit(make_charge()), OverLimit):
                return spent
        raise AssertionError("no limit")


def make_fake_subject() -> AdmissionStoreSubject:
    """Return the fake."""
    clock = ManualClock()
    store = InMemoryAdmissionStore(clock)
    return AdmissionStoreSubject(store, clock, store.events)


def make_table_subject(client: "DynamoDBClient", table: str, clock: ManualClock) -> AdmissionStoreSubject:
    """Return the real store; each has its own memory, like an execution environment."""
    events: list[tuple[str, Mapping[str, object]]] = []

    def observe(event: str, facts: Mapping[str, object]) -> None:
        events.append((event, facts))

    return AdmissionStoreSubject(DynamoDbAdmissionStore(client, table, now=clock, observer=observe), clock, events)


@pytest.fixture(params=["fake", "table"])
def subject(request: pytest.FixtureRequest) -> AdmissionStoreSubject:
    if request.param == "fake":
        return make_fake_subject()
    table = request.getfixturevalue("state_table")
    return make_table_subject(request.getfixturevalue("dynamodb"), table, ManualClock())


def test_new_work_is_admitted_with_a_token_and_what_is_left(subject: AdmissionStoreSubject) -> None:
    """A first call takes its key and one of five requests; the burst is whole again 12 s later."""
    decision = subject.admit(make_charge(), make_use())
    assert read_token(decision)
    assert isinstance(decision, Admitted)
    assert decision.quota
    assert (decision.quota.limit, decision.quota.remaining, decision.quota.reset_s) == (FIVE_A_MINUTE, 4, 12.0)


def test_a_call_without_limit_and_key_is_admitted(subject: AdmissionStoreSubject) -> None:
    """A call without limit and key leaves nothing to decide."""
    assert subject.admit() == Admitted(quota=None, token=None)


def test_a_call_without_a_key_holds_none(subject: AdmissionStoreSubject) -> None:
    """A charge alone gives a quota and no token."""
    decision = subject.admit(make_charge())
    assert isinstance(decision, Admitted)
    assert decision.token is None
    assert decision.quota


def test_a_call_without_a_limit_has_no_quota(subject: AdmissionStoreSubject) -> None:
    """A key alone gives a token and no quota."""
    decision = subject.admit(use=make_use())
    assert read_token(decision)
    assert decision == Admitted(quota=None, token=read_token(decision))


@pytest.mark.parametrize("with_key", [False, True])
def test_a_limit_is_exact_and_so_is_its_retry_after(subject: AdmissionStoreSubject, with_key: bool) -> None:
    """Five are admitted; the sixth waits 12 s: a microsecond earlier it is refused, then it is admitted."""

    def ask(n: int) -> AdmissionDecision:
        return subject.admit(make_charge(), make_use(f"key-{n}") if with_key else None)

    admitted = [ask(n) for n in range(5)]
    assert [v.quota.remaining for v in admitted if isinstance(v, Admitted) and v.quota] == [4, 3, 2, 1, 0]
    refused = ask(5)
    assert isinstance(refused, OverLimit)
    assert (refused.retry_after_s, refused.quota.remaining, refused.quota.reset_s) == (12.0, 0, 60.0)
    assert refused.quota.next_s == refused.retry_after_s
    subject.clock.advance_micros(11_999_999)
    early = ask(6)
    assert isinstance(early, OverLimit)
    assert early.retry_after_s == 1e-6
    subject.clock.advance_micros(1)
    assert isinstance(ask(7), Admitted)
    assert isinstance(ask(8), OverLimit)


def test_an_idle_client_has_the_whole_burst_again(subject: AdmissionStoreSubject) -> None:
    """A minute after spending all five, all five are back, and no more."""
    subject.spend(5)
    subject.clock.advance(3600)
    assert subject.count_left() == 5


def test_clients_and_limits_are_counted_apart(subject: AdmissionStoreSubject) -> None:
    """Neither another client nor another limit of the same client is charged."""
    subject.spend(5)
    assert isinstance(subject.admit(make_charge("other")), Admitted)
    assert isinstance(subject.admit(make_charge(limit=RateLimit("claims", 5, 60))), Admitted)


def test_a_changed_limit_counts_from_what_was_spent(subject: AdmissionStoreSubject) -> None:
    """After a deploy that lowers the burst, a client that had spent more is refused."""
    subject.spend(3)
    assert isinstance(subject.admit(make_charge(limit=RateLimit(FIVE_A_MINUTE.name, 2, 24))), OverLimit)


def test_a_repeated_call_gets_the_first_answer_again(subject: AdmissionStoreSubject) -> None:
    """Status, headers and body come back as they were, letters of every alphabet included."""
    subject.complete_use(make_use())
    assert subject.admit(make_charge(), make_use()) == Replay(CREATED)


def test_what_an_answer_is_made_from_is_kept_with_it(subject: AdmissionStoreSubject) -> None:
    """The facts of the part that expires come back as they were; an answer without such a part has none."""
    announced = replace(CREATED, facts={"object_key": "uploads/é", "size": 7, "nested": [None, True]})
    subject.complete_use(make_use(), announced)
    assert subject.admit(make_charge(), make_use()) == Replay(announced)


def test_code_that_does_not_know_facts_leaves_an_answer_with_facts_to_the_database(
    dynamodb: "DynamoDBClient", state_table: str
) -> None:
    """While two versions run side by side, the older one must not replay an answer without its expiring part."""
    subject = make_table_subject(dynamodb, state_table, ManualClock())
    own = make_use("renewable", scope="of a deploy")
    subject.complete_use(own, replace(CREATED, facts={"size": 7}))
    item = dynamodb.get_item(TableName=state_table, Key={"pk": {"S": make_record_key(own)}})["Item"]
    assert "answer" not in item
    assert item["renewable"]["M"]["body"] == {"S": CREATED.body}


def test_an_empty_answer_is_an_answer(subject: AdmissionStoreSubject) -> None:
    """No body and no headers are replayed as just that."""
    subject.complete_use(make_use(), OTHER)
    assert subject.admit(make_charge(), make_use()) == Replay(OTHER)


def test_a_repeated_call_is_answered_that_the_first_is_running(subject: AdmissionStoreSubject) -> None:
    """Until the first call ends, others with its key are asked to come back in a second or more."""
    subject.admit(use=make_use())
    decision = subject.admit(make_charge(), make_use())
    assert isinstance(decision, InProgress)
    assert 1 <= decision.retry_after_s <= LEASE_S


@pytest.mark.parametrize("done", [False, True])
def test_a_key_used_for_another_request_is_refused(subject: AdmissionStoreSubject, done: bool) -> None:
    """Another fingerprint is refused, whether the first call runs or has ended."""
    if done:
        subject.complete_use(make_use())
    else:
        subject.admit(use=make_use())
    assert subject.admit(make_charge(), make_use(fingerprint="another")) == KeyReused()


def test_only_new_work_is_charged(subject: AdmissionStoreSubject) -> None:
    """Replays, calls while the first runs and reused keys leave the client all its requests."""
    subject.complete_use(make_use("answered"))
    subject.admit(use=make_use("running"))
    for _ in range(3):
        assert isinstance(subject.admit(make_charge(), make_use("answered")), Replay)
        assert isinstance(subject.admit(make_charge(), make_use("running")), InProgress)
        assert isinstance(subject.admit(make_charge(), make_use("answered", "another")), KeyReused)
    assert subject.count_left() == 5


def test_a_limited_client_still_gets_its_answers(subject: AdmissionStoreSubject) -> None:
    """A known key is answered as ever while the client's bucket is empty."""
    subject.complete_use(make_use("answered"))
    subject.admit(use=make_use("running"))
    subject.spend(5)
    assert isinstance(subject.admit(make_charge(), make_use("new")), OverLimit)
    assert subject.admit(make_charge(), make_use("answered")) == Replay(CREATED)
    assert isinstance(subject.admit(make_charge(), make_use("running")), InProgress)
    assert subject.admit(make_charge(), make_use("running", "another")) == KeyReused()


def test_a_limited_client_is_limited_where_its_key_has_lapsed(subject: AdmissionStoreSubject) -> None:
    """At the very end of a lease the key may be taken from its holder, and taking it is new work."""
    subject.admit(use=make_use())
    subject.clock.advance(LEASE_S)
    subject.spend(5)
    assert isinstance(subject.take_lapsed(make_charge()), OverLimit)
    subject.clock.advance(12)
    assert read_token(subject.take_lapsed(make_charge()))
    assert subject.count_left() == 0


def test_a_refused_call_leaves_no_key_behind(subject: AdmissionStoreSubject) -> None:
    """A client that was limited may come again with the same key, or use it for something else."""
    subject.spend(5)
    assert isinstance(subject.admit(make_charge(), make_use()), OverLimit)
    subject.clock.advance(12)
    assert read_token(subject.admit(make_charge(), make_use(fingerprint="another")))


def test_keys_of_different_callers_are_apart(subject: AdmissionStoreSubject) -> None:
    """A key belongs to its scope, and no pair of scope and key reads like another pair."""
    subject.complete_use(make_use(scope="ab", key="c"))
    assert read_token(subject.admit(use=make_use(scope="a", key="bc")))
    assert read_token(subject.admit(use=make_use(scope="ab c", key="c")))


def test_a_released_key_may_be_taken_again(subject: AdmissionStoreSubject) -> None:
    """A call that gave up leaves the key to the next, whatever that one asks."""
    subject.store.release(make_use(), read_token(subject.admit(use=make_use())))
    assert read_token(subject.admit(use=make_use(fingerprint="another")))


def test_an_answer_cannot_be_released(subject: AdmissionStoreSubject) -> None:
    """An answer that was stored stays stored."""
    token = read_token(subject.admit(use=make_use()))
    subject.store.complete(make_use(), token, CREATED)
    subject.store.release(make_use(), token)
    assert subject.admit(use=make_use()) == Replay(CREATED)


def test_completing_twice_changes_nothing(subject: AdmissionStoreSubject) -> None:
    """An answer that a lost reply made us send again is the same answer."""
    token = read_token(subject.admit(use=make_use()))
    subject.store.complete(make_use(), token, CREATED)
    subject.store.complete(make_use(), token, CREATED)
    assert (subject.admit(use=make_use()), subject.events) == (Replay(CREATED), [])


def test_a_lease_ends_to_the_microsecond(subject: AdmissionStoreSubject) -> None:
    """A key is held for its lease; at its end a call that asks for it may take it over under another token."""
    first = read_token(subject.admit(use=make_use()))
    subject.clock.advance(LEASE_S)
    subject.clock.advance_micros(-1)
    held = InProgress(1.0, holder=first, has_lapsed=False)
    assert subject.admit(use=make_use()) == held
    assert subject.admit(use=make_use(), take_from=first) == held
    subject.clock.advance_micros(1)
    assert subject.admit(use=make_use()) == replace(held, has_lapsed=True)
    second = read_token(subject.admit(use=make_use(), take_from=first))
    assert second != first
    assert subject.admit(use=make_use(), take_from=first) == replace(held, holder=second)


def test_a_key_without_an_answer_is_known_for_a_day(subject: AdmissionStoreSubject) -> None:
    """So a repeat is not taken for new work, and a client over its limit gets its answer from the key's row."""
    subject.admit(use=make_use())
    subject.clock.advance(DAY_S)
    subject.clock.advance_micros(-1)
    subject.spend(5)
    assert isinstance(subject.admit(make_charge(), make_use()), InProgress)
    assert subject.admit(make_charge(), make_use(fingerprint="another")) == KeyReused()
    subject.clock.advance_micros(1)
    assert read_token(subject.admit(use=make_use(fingerprint="another")))


def test_whoever_finds_the_work_done_stores_its_answer(subject: AdmissionStoreSubject) -> None:
    """Under the token of the call that did it, which may be over for long; that one releases nothing any more."""
    token = read_token(subject.admit(use=make_use()))
    subject.clock.advance(LEASE_S + 1)
    met = subject.admit(use=make_use())
    assert isinstance(met, InProgress)
    subject.store.complete(make_use(), met.holder, CREATED)
    subject.store.release(make_use(), token)
    assert subject.admit(use=make_use()) == Replay(CREATED)


def test_a_key_that_an_earlier_release_took_is_free_after_its_lease(
    dynamodb: "DynamoDBClient", state_table: str
) -> None:
    """That release stored no day for such a key, and its functions run beside these during a deployment."""
    subject = make_table_subject(dynamodb, state_table, ManualClock())
    own = make_use("taken", scope="of an earlier release")
    token = read_token(subject.admit(use=own))
    dynamodb.update_item(
        TableName=state_table, Key={"pk": {"S": make_record_key(own)}}, UpdateExpression="REMOVE known_until"
    )
    assert subject.admit(use=own) == InProgress(1.0, holder=token)
    subject.clock.advance(LEASE_S)
    assert read_token(subject.admit(make_charge(), own))


def test_a_key_is_taken_from_nobody_but_its_holder(subject: AdmissionStoreSubject) -> None:
    """Of two calls that meet a lapsed key one gets it; a key with an answer is never taken."""
    first = read_token(subject.admit(use=make_use()))
    subject.clock.advance(LEASE_S)
    assert isinstance(subject.admit(use=make_use(), take_from="another"), InProgress)
    winner = read_token(subject.admit(use=make_use(), take_from=first))
    assert isinstance(subject.admit(use=make_use(), take_from=first), InProgress)
    subject.store.complete(make_use(), winner, CREATED)
    subject.clock.advance(LEASE_S)
    assert subject.admit(use=make_use(), take_from=winner) == Replay(CREATED)


def test_a_zombie_cannot_answer_for_its_successor(subject: AdmissionStoreSubject) -> None:
    """A call whose lease ran out and whose key was taken over completes nothing, and that is reported."""
    zombie = read_token(subject.admit(use=make_use()))
    subject.clock.advance(LEASE_S)
    successor = read_token(subject.take_lapsed())
    subject.store.complete(make_use(), zombie, OTHER)
    assert isinstance(subject.admit(use=make_use()), InProgress)
    subject.store.complete(make_use(), successor, CREATED)
    subject.store.complete(make_use(), zombie, OTHER)
    assert subject.admit(use=make_use()) == Replay(CREATED)
    assert subject.events == [("stale_token_ignored", {"operation": "complete"})] * 2


def test_a_zombie_cannot_release_its_successors_key(subject: AdmissionStoreSubject) -> None:
    """A call whose key was taken over gives nothing back, and that is reported."""
    zombie = read_token(subject.admit(use=make_use()))
    subject.clock.advance(LEASE_S)
    subject.take_lapsed()
    subject.store.release(make_use(), zombie)
    assert isinstance(subject.admit(use=make_use()), InProgress)
    assert subject.events == [("stale_token_ignored", {"operation": "release"})]


def test_a_late_answer_counts_where_nobody_took_over(subject: AdmissionStoreSubject) -> None:
    """A call that outlived its lease without a successor still has the key."""
    token = read_token(subject.admit(use=make_use()))
    subject.clock.advance(LEASE_S + 5)
    subject.store.complete(make_use(), token, CREATED)
    assert subject.admit(use=make_use()) == Replay(CREATED)


def test_an_answer_lives_a_day(subject: AdmissionStoreSubject) -> None:
    """It is replayed for 24 hours from when it was given; then the key is free for anything."""
    subject.complete_use(make_use())
    subject.clock.advance(DAY_S)
    subject.clock.advance_micros(-1)
    assert subject.admit(use=make_use()) == Replay(CREATED)
    subject.clock.advance_micros(1)
    assert read_token(subject.admit(use=make_use(fingerprint="another")))


def test_a_repeated_answer_lives_no_longer_than_the_first(subject: AdmissionStoreSubject) -> None:
    """Its day is that of the key's row in the database, by which a lost write is told from one that is there."""
    token, first_used_at = read_token(subject.admit(use=make_use())), subject.clock()
    subject.clock.advance(5 * 3600)
    subject.store.complete(make_use(), token, CREATED, first_used_at=first_used_at)
    subject.clock.advance(DAY_S - 5 * 3600)
    subject.clock.advance_micros(-1)
    assert subject.admit(use=make_use()) == Replay(CREATED)
    subject.clock.advance_micros(1)
    assert read_token(subject.admit(use=make_use()))


def test_a_successor_does_not_inherit_an_old_answer(subject: AdmissionStoreSubject) -> None:
    """A key taken again after its day is running, and shows nothing of its former answer."""
    subject.complete_use(make_use())
    subject.clock.advance(DAY_S)
    subject.admit(use=make_use())
    assert isinstance(subject.admit(use=make_use()), InProgress)


@pytest.mark.parametrize("letter", ["a", "ë"])
def test_answers_of_three_hundred_kilobytes_are_kept(subject: AdmissionStoreSubject, letter: str) -> None:
    """The bound counts bytes, and an answer at the bound fits the table's item."""
    large = StoredAnswer(200, {}, letter * (300 * 1024 // len(letter.encode())))
    subject.complete_use(make_use(), large)
    assert subject.admit(use=make_use()) == Replay(large)
    assert subject.events == []


def test_an_answer_too_large_to_keep_is_left_to_the_database(subject: AdmissionStoreSubject) -> None:
    """The next call is let through uncharged and without a token; the key is still known as used."""
    subject.complete_use(make_use(), StoredAnswer(200, {"X": "y"}, "ë" * (150 * 1024)))
    assert subject.admit(make_charge(), make_use()) == Admitted(quota=None, token=None)
    assert subject.admit(make_charge(), make_use(fingerprint="another")) == KeyReused()
    assert subject.count_left() == 5
    assert subject.events == [("answer_not_kept", {"bytes": 300 * 1024 + 2})]


CALLS = st.one_of(
    st.tuples(
        *(st.just("admit"), st.sampled_from(["a", "b", None]), st.sampled_from("xy"), st.booleans()),
        st.none() | st.integers(0, 9),
    ),
    st.tuples(st.just("complete"), st.sampled_from("ab"), st.integers(0, 9)),
    st.tuples(st.just("release"), st.sampled_from("ab"), st.integers(0, 9)),
    st.tuples(st.just("wait"), st.sampled_from([1, 11_999_999, 12_000_000, 30_000_000, 90_000_000_000])),
)


class StoreScript:
    """Plays the same calls on any store and notes what came of them, in terms that do not name tokens."""

    def __init__(self, clock: ManualClock, environments: list[AdmissionStoreSubject]) -> None:
        self.seen: list[object] = []
        self._clock = clock
        self._environments = environments
        self._tokens: list[str] = []

    def play(self, calls: list[Any]) -> list[object]:
        steps: dict[str, Callable[..., None]] = {
            "admit": self._admit,
            "complete": self._complete,
            "release": self._release,
            "wait": self._clock.advance_micros,
        }
        for turn, (name, *arguments) in enumerate(calls):
            self._store = self._environments[turn % len(self._environments)].store
            steps[name](*arguments)
        return self.seen

    def _admit(self, key: str | None, fingerprint: str, charged: bool, which: int | None) -> None:
        asked = make_use(key, fingerprint) if key else None
        charge = make_charge() if charged else None
        take_from = self._tokens[which % len(self._tokens)] if self._tokens and which is not None else ""
        decision = self._store.admit(charge=charge, use=asked, lease_s=LEASE_S, take_from=take_from)
        if isinstance(decision, Admitted) and decision.token:
            self._tokens.append(decision.token)
        self.seen.append(self._describe(decision))

    def _describe(self, decision: AdmissionDecision) -> object:
        # A transaction does not know what other environments have spent, so quotas are left out.
        match decision:
            case Admitted(quota, token):
                return "admitted", quota is not None, token is not None
            case OverLimit(_, retry_after_s):
                return "limited", retry_after_s
            case InProgress(_, holder, has_lapsed):
                return "running", self._tokens.index(holder), has_lapsed
            case _:
                return decision

    def _complete(self, key: str, which: int) -> None:
        if self._tokens:
            token = which % len(self._tokens)
            self._store.complete(make_use(key), self._tokens[token], StoredAnswer(200, {}, f"answer {token}"))

    def _release(self, key: str, which: int) -> None:
        if self._tokens:
            self._store.release(make_use(key), self._tokens[which % len(self._tokens)])


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(calls=st.lists(CALLS, max_size=25))
def test_the_fake_decides_as_two_environments_on_the_table_do(
    dynamodb: "DynamoDBClient", state_table: str, calls: list[Any]
) -> None:
    """In any order of calls the fake and two environments taking turns give the same answers."""
    for pk in read_items(dynamodb, state_table):
        dynamodb.delete_item(TableName=state_table, Key={"pk": {"S": pk}})
    clock, fake = ManualClock(), make_fake_subject()
    environments = [make_table_subject(dynamodb, state_table, clock) for _ in range(2)]
    assert StoreScript(clock, environments).play(calls) == StoreScript(fake.clock, [fake]).play(calls)
