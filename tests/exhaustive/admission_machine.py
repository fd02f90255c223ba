"""The shipped admission of requests, by Idempotency-Key and by rate limit, as two machines to be searched.

KeyMachine: whole calls with one key, from the admission to the stored answer (shared.api.execution, shared.database's
run_once, shared.aws's DynamoDbAdmissionStore), and relays that keep their answers (relay.answers, shared.aws's
DynamoDbAnswerKeeper). LimitMachine: calls of one client that are charged to a limit, with and
without a key (DynamoDbAdmissionStore, shared.admission.gcra). The table evaluates the shipped condition expressions
(state_table.py), the database runs the shipped statements (key_table.py).

Times are microseconds relative to now. A process may outlast its lease.
"""

import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any, NamedTuple
from unittest import mock

from botocore.exceptions import ClientError, ConnectTimeoutError, ReadTimeoutError

from relay import answers as relay_answers
from shared.admission.gcra import compute_quota
from shared.admission.ports import (
    Admitted,
    InProgress,
    KeyUse,
    LimitCharge,
    OverLimit,
    RateLimit,
    StoredAnswer,
    WorkDone,
)
from shared.api import execution
from shared.api.call import Call
from shared.api.responses import Answer
from shared.aws import dynamodb_admission
from shared.aws import dynamodb_admission_items as items
from shared.aws.dynamodb_admission import DynamoDbAdmissionStore
from shared.aws.dynamodb_answer_keeper import DynamoDbAnswerKeeper
from shared.database.pipeline import Database
from shared.database.transaction import Committed
from shared.deadline import Deadline
from shared.errors import Refusal, Unavailable
from shared.retry.backoff import Backoff
from shared.retry.budget import RetryBudget
from tests.exhaustive.key_table import FIRST_USED_AT, Duplicate, KeyRow, KeyTable
from tests.exhaustive.replay import LOST, Failure, Outside, PlayedConnection, Player
from tests.exhaustive.search import Move
from tests.exhaustive.state_table import TableInMemory

TICK = 1_000_000
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
NOW = 1_000_000 * TICK
OLDEST = -1 * TICK  # as long ago as a process that goes on began
SECONDS_LEFT = LEASE_MARGIN_S = 0.5  # of an invocation when it takes the key: together a unit of time
LEASE_S = 1.0  # of the calls that only the limit is searched with
RECORD_LIFE_S = 2.0  # longer than a lease: a key may be known and nobody's
RELAY = "the relay"
RELAY_S = 10.0  # that a relay has left: more than it needs to begin a write
LIMIT = RateLimit("write", burst=2, period_s=2)
CHARGE = LimitCharge("client", LIMIT)

TWO_EFFECTS = "two effects for one key"
NO_EFFECT = "answered as done without an effect"
OTHERS_ANSWER = "another request was answered with the key's answer"
OVERWRITTEN = "an answer was overwritten or removed before its time"
STOLEN = "a key was taken from its holder before the lease had expired"
FORGOTTEN = "nobody will keep the answer that a key's record waits for"
WRONG_ANSWER = "an answer was stored that is not the one of the key's row"
TOLD_TO_WAIT = "a client was told to wait though its work was done before it asked"
PASSED = "more requests passed in a window than the limit allows"
NOT_CHARGED = "a request passed as charged and was not"
NOT_ATOMIC = "a key was taken and nothing charged, or the other way round"
CRASHED = "the code raised an error that it does not handle"
REFUSED = "a request was refused although the bucket was full"


class Shared(NamedTuple):
    """The two items of the table, the key's row with its effects, and when the charged requests were asked.

    The row's `holder` is "other" if it is the record's, "gone" if that is another by now.
    """

    record: tuple[tuple[str, Any], ...] | None = None
    row: KeyRow | None = None
    effects: int = 0
    tat: int | None = None
    charged: tuple[int, ...] = ()


class IdleCaller(NamedTuple):
    """An environment without a call; it remembers a bucket's TAT, and that the table was out of reach."""

    tat: int | None = None
    paused_until: int | None = None


class CallRun(NamedTuple):
    """A call: what it asks, its environment when it began, the answers it has had, and whether it holds the key."""

    asks: str
    environment: IdleCaller
    began: int = 0
    script: tuple[tuple[int, Any], ...] = ()
    holds: bool = False
    was_done: bool = False  # when the call began
    is_charged: bool = False
    has_conflicted: bool = False
    has_overstepped: bool = False  # changed the record with the token of a call that is not its holder


class Finished(NamedTuple):
    """A part of a call that is over, the admission or the work, and its result: what led to it matters no more."""

    part: str
    result: Any


class Item(NamedTuple):
    """An item that an answer shows."""

    attributes: tuple[tuple[str, Any], ...]


class RefusedWrite(NamedTuple):
    """A write whose conditions failed: the code, and for each of its items the reason and the item."""

    code: str
    reasons: tuple[tuple[str, Item | None], ...]
    is_transaction: bool


_TIMES = frozenset({"free_at", "known_until", "tat"})
# A token of another call, as an item shows it, and what stands for it once that call is no longer the key's holder; so
# it is with the token of a row that a relay has read.
_OTHER, _GONE = json.dumps({"S": "other"}), json.dumps({"S": "gone"})
_UNREACHABLE = Failure(lambda: ConnectTimeoutError(endpoint_url="https://dynamodb.example.test"))
_UNANSWERED = Failure(lambda: ReadTimeoutError(endpoint_url="https://dynamodb.example.test"))


def _ignore(*_arguments: Any, **_more: Any) -> None:
    """Do nothing."""


@contextmanager
def use_few_retries() -> Iterator[None]:
    """Within the block a conflict is tried again once, and a table out of reach is left alone for one unit of time."""
    with (
        mock.patch.object(dynamodb_admission, "CONTENTION_BACKOFF", Backoff(retries=1, base_s=0.1, cap_s=0.1)),
        mock.patch.object(dynamodb_admission, "UNAVAILABLE_PAUSE_S", 1.0),
        mock.patch.object(relay_answers, "observe"),
        mock.patch.object(execution, "LEASE_MARGIN_S", LEASE_MARGIN_S),
        mock.patch.object(execution, "build_problem_answer", return_value=StoredAnswer(503, {}, "")),
    ):
        yield


def freeze(item: Mapping[str, Any]) -> tuple[tuple[str, Any], ...]:
    """Return an item as a value, its times relative to now; of its expiry nothing depends."""
    return tuple(
        (name, max(int(value["N"]) - NOW, OLDEST) if name in _TIMES else json.dumps(value, sort_keys=True))
        for name, value in sorted(item.items())
        if name not in {"pk", "expires_at"}
    )


def thaw(value: tuple[tuple[str, Any], ...], **changes: Any) -> dict[str, Any]:
    """Return an item as the table has it."""
    item = {name: {"N": str(NOW + each)} if name in _TIMES else json.loads(each) for name, each in value}
    return item | changes


def _age_item(value: tuple[tuple[str, Any], ...] | None) -> Any:
    if value is None:
        return None
    return tuple((name, max(each - TICK, OLDEST) if name in _TIMES else each) for name, each in value)


class Parts:
    """The parts of a call that are over: they are not run again."""

    def __init__(self, player: Player, results: Mapping[str, Any]) -> None:
        self.new: list[tuple[str, int, Any]] = []
        self.answered = 0
        self.kept = IdleCaller()
        self.store: Any = None
        self.bucket = ""
        self._player = player
        self._results = results

    def run(self, part: str, run: Callable[[], Any]) -> Any:
        """Return a part's result, or raise it."""
        if part not in self._results:
            try:
                result = run()
            except (Refusal, Unavailable) as error:
                result = error
            self.new.append((part, self._player.time, _freeze_result(result)))
            self.answered = self._player.answered
            self.kept = self.read_kept()
        else:
            result = _thaw_result(self._results[part])
        if isinstance(result, Exception):
            raise result
        return result

    def read_kept(self) -> IdleCaller:
        """Return what the environment remembers."""
        tat, paused = self.store._tats.get(self.bucket), self.store._paused_until - NOW
        return IdleCaller(None if tat is None or tat <= NOW else tat - NOW, paused if paused > 0 else None)


def _freeze_result(result: Any) -> Any:
    match result:
        case Refusal():
            return ("refusal", result.name)
        case Unavailable():
            return ("unavailable",)
        case Admitted():
            return ("admitted", result.quota is not None, result.token)
        case Answer():
            return ("answer", result.raw)
        case _:
            return ("decision", result)


def _thaw_result(frozen: Any) -> Any:
    match frozen:
        case ("refusal", name):
            return Refusal(name)
        case ("unavailable",):
            return Unavailable("database")
        case ("admitted", has_quota, token):
            return Admitted(compute_quota(LIMIT, NOW, NOW) if has_quota else None, token)
        case ("answer", raw):
            return Answer(200, raw=raw)
        case _:
            return frozen[1]


class AdmissionMachine:
    """The part that both machines have in common."""

    asks: tuple[str, ...] = ()
    longest_run = 1
    _parts: Parts
    is_answer_an_effect = False

    def begin(self) -> tuple[Shared, IdleCaller]:
        """Return an empty table, and an environment without a call."""
        return Shared(), IdleCaller()

    def list_moves(self, environment: IdleCaller | CallRun, shared: Shared) -> Iterator[Move]:
        """Return each step that the environment can take next."""
        if isinstance(environment, IdleCaller):
            # A relay needs an answer to read, and an environment of its own, which remembers no calls.
            is_relay = environment == IdleCaller() and shared.row is not None and shared.row.holder is not None
            for asks in (each for each in self.asks if each != RELAY or is_relay):
                yield self._begin_call(self._make_run(asks, environment, shared), shared)
            return
        yield self._make_move("is killed", IdleCaller(), shared, shared, environment, fault=True)
        yield from self._list_answers(environment, shared)

    def _make_run(self, asks: str, environment: IdleCaller, shared: Shared) -> CallRun:
        run = CallRun(asks, environment)
        is_done = shared.row is not None and shared.row.fingerprint == self._make_use(run).fingerprint
        return run._replace(was_done=is_done and asks != RELAY)

    def _begin_call(self, run: CallRun, shared: Shared) -> Move:
        label, ended = f"begins: {run.asks}", self._play(run)
        if isinstance(ended, Outside):
            return self._make_move(label, run, shared, shared, None)
        result, environment = ended
        problem = self._check_end(run, result, shared)
        return self._make_move(f"{label}: {_name_result(result)}", environment, shared, shared, None, problem=problem)

    def _list_answers(self, run: CallRun, shared: Shared) -> Iterator[Move]:
        """Return the steps that follow from the call outside that a run waits for."""
        waiting = self._play(run)
        assert isinstance(waiting, Outside)
        if waiting.kind == "transaction":
            yield from self._list_commits(run, shared, waiting.details)
            return
        method, request = waiting.details
        name = _name_request(method, request)
        after, answer, holder = self._send(run, shared, method, request)
        yield self._go_on(holder, shared, after, f"gets the answer to {name}", answer, held=run.holds)
        yield self._go_on(run, shared, shared, f"can't send {name}", _UNREACHABLE, fault=True)
        if method == "get_item":
            return
        yield self._go_on(holder, shared, after, f"loses the answer to {name}", _UNANSWERED, fault=True, held=run.holds)
        yield self._make_move(f"is killed right after {name}", IdleCaller(), shared, after, run, fault=True)
        if after != shared:
            again, second, holder_again = self._send(holder, after, method, request)
            label = f"loses the answer to {name}, which its client sends again"
            yield self._go_on(holder_again, shared, again, label, second, fault=True, held=run.holds)
        if method != "get_item":
            conflicted = run._replace(has_conflicted=True)
            yield self._go_on(
                conflicted,
                shared,
                shared,
                f"is told of a conflict by {name}",
                _make_conflict(method, request),
                fault=True,
            )

    def _list_commits(self, run: CallRun, shared: Shared, statements: Any) -> Iterator[Move]:
        raise NotImplementedError

    def _send(self, run: CallRun, shared: Shared, method: str, request: Any) -> tuple[Shared, Any, CallRun]:
        """Carry out a request to the table; return what is there then, the answer, and the run."""
        record_key, bucket_key = items.make_record_key(self._make_use(run)), items.make_bucket_key(CHARGE)
        holder = {"S": "mine" if run.holds else "other"}
        held: dict[str, Any] = {}
        if shared.record is not None:
            held[record_key] = {"pk": {"S": record_key}, **thaw(shared.record, holder=holder)}
        if shared.tat is not None:
            held[bucket_key] = {"pk": {"S": bucket_key}, "tat": {"N": str(NOW + shared.tat)}}
        table = TableInMemory(dict(held))
        answer: Any
        try:
            returned = getattr(table, method)(**request)
            shown = returned.get("Item") or returned.get("Attributes")
            answer = (method, Item(freeze(shown)) if shown else None)
        except ClientError as error:
            answer = _freeze_error(error)
        record = table.items.get(record_key)
        bucket = table.items.get(bucket_key)
        tat = None if bucket is None else max(int(bucket["tat"]["N"]) - NOW, OLDEST)
        charged = shared.charged
        is_charged = bucket is not None and bucket is not held.get(bucket_key)
        if is_charged:
            charged = tuple(sorted((*charged, _find_asked(request))))
        token = request.get("ExpressionAttributeValues", {}).get(":token", holder)
        has_overstepped = token != holder and record is not held.get(record_key)
        value = None if record is None else freeze(record | {"holder": {"S": "other"}})
        after = _outdate_row(shared, shared._replace(record=value, tat=tat, charged=charged))
        holds = record is not None and record.get("holder") == {"S": "mine"}
        sent = run._replace(holds=holds, is_charged=run.is_charged or is_charged, has_overstepped=has_overstepped)
        return after, answer, sent

    def _go_on(
        self,
        run: CallRun,
        before: Shared,
        after: Shared,
        label: str,
        answer: Any,
        *,
        fault: bool = False,
        held: bool | None = None,
    ) -> Move:
        """Return the step in which a run gets an answer, and goes on to its next call outside or to its end.

        `held` says whether it held the key before.
        """
        asker = run if held is None else run._replace(holds=held)
        script = run.script
        while answer is not LOST and script and script[-1][1] is LOST:
            script = script[:-1]
        following = run._replace(script=(*script, (0, answer)))
        ended = self._play(following)
        following = self._forget(following)
        if isinstance(ended, Outside):
            return self._make_move(label, following, before, after, asker, fault=fault)
        result, environment = ended
        problem = CRASHED if result == CRASHED else self._check_end(following, result, after)
        return self._make_move(
            f"{label}: {_name_result(result)}", environment, before, after, asker, fault=fault, problem=problem
        )

    def _make_move(
        self,
        label: str,
        environment: Any,
        before: Shared,
        after: Shared,
        run: CallRun | None,
        *,
        fault: bool = False,
        problem: str | None = None,
    ) -> Move:
        problem = problem or self._check(before, after, run)
        # A key that was taken or given back has no holder but this environment any more.
        shift = "key" if after.record != before.record and not _has_answer(after) else None
        return Move(label, environment, after, fault, problem, shift)

    def _check(self, before: Shared, after: Shared, run: CallRun | None) -> str | None:
        """Return the invariant that a step breaks."""
        if after.effects > 1:
            return TWO_EFFECTS
        if self.is_answer_an_effect and not after.effects and _has_answer(after):
            return NO_EFFECT
        if self.is_answer_an_effect and not _is_answer_of_row(after):
            return WRONG_ANSWER
        if before.record != after.record and (problem := _check_record(before, after, run)):
            return problem
        is_waiting = after.record is not None and not _has_answer(after)
        if before.row and before.row.holder == "other" and after.row and not after.row.holder and is_waiting:
            return FORGOTTEN
        return PASSED if _has_passed_limit(after.charged) else None

    def _check_end(self, run: CallRun, result: Any, shared: Shared) -> str | None:
        """Return the invariant that the end of a call breaks."""
        raise NotImplementedError

    def _play(self, run: CallRun) -> Any:
        """Run a call with the answers it has had; return its next call outside, or its result and its environment."""
        finished = [each for each in run.script if isinstance(each[1], Finished)]
        began = finished[-1][0] if finished else run.began
        player = Player(began, [(time, _thaw_answer(answer)) for time, answer in run.script[len(finished) :]])
        self._parts = Parts(player, {each.part: each.result for _, each in finished})
        client: Any = SimpleNamespace(
            **{
                method: lambda _method=method, **request: player.call("table", (_method, request))
                for method in ("get_item", "put_item", "update_item", "delete_item", "transact_write_items")
            }
        )
        store = DynamoDbAdmissionStore(
            client, "state", observer=_ignore, now=lambda: EPOCH + timedelta(microseconds=NOW + player.time),
            new_token=lambda: "mine", uniform=lambda a, _b: a, sleep=_ignore, record_life_s=RECORD_LIFE_S,
        )  # fmt: skip
        kept = run.environment
        bucket = items.make_bucket_key(CHARGE)
        store._tats.learn(bucket, None if kept.tat is None else NOW + kept.tat)
        self._parts.store, self._parts.bucket = store, bucket
        store._paused_until = 0 if kept.paused_until is None else NOW + kept.paused_until
        try:
            result = self._run(run, store, player)
        except Outside as waiting:
            return waiting
        except Exception:  # noqa: BLE001 - whatever the code raises here, no client would get an answer
            return CRASHED, IdleCaller()
        return result, self._parts.read_kept()

    def _run(self, run: CallRun, store: DynamoDbAdmissionStore, player: Player) -> Any:
        raise NotImplementedError

    def _forget(self, run: CallRun) -> CallRun:
        """Return a run without what led to the parts of it that are over."""
        parts = self._parts
        if not parts.new:
            return run
        old = tuple(each for each in run.script if isinstance(each[1], Finished))
        added = tuple((time, Finished(part, result)) for part, time, result in parts.new)
        rest = run.script[len(old) + parts.answered :]
        return run._replace(script=(*old, *added, *rest), environment=parts.kept)

    def _make_use(self, run: CallRun) -> KeyUse:
        return KeyUse("scope", "key", "other" if run.asks.startswith("another") else "first")

    # ---- time and others ---------------------------------------------------------------------------------------------
    def apply_shift(self, environment: IdleCaller | CallRun, shift: str) -> IdleCaller | CallRun:
        """Return an environment after another one has changed the key's record."""
        if isinstance(environment, IdleCaller):
            return environment
        script = tuple((time, _rename_holder(answer)) for time, answer in environment.script)
        return environment._replace(holds=False, script=script)

    def pass_time(self, environment: IdleCaller | CallRun) -> IdleCaller | CallRun | None:
        """Return the environment a unit of time later; the runtime ends a call that takes too long."""
        if isinstance(environment, IdleCaller):
            return _age_idle(environment)
        if environment.asks == RELAY:
            return environment  # it looks at no clock, and may be as slow as it likes
        if environment.began <= -self.longest_run * TICK:
            return IdleCaller()
        return environment._replace(
            began=environment.began - TICK,
            environment=_age_kept(environment.environment),
            script=tuple((time - TICK, _age_answer(answer)) for time, answer in environment.script),
        )

    def pass_time_shared(self, shared: Shared) -> Shared:
        """Return the table and the database a unit of time later."""
        record = _age_item(shared.record)
        return shared._replace(
            record=record,
            tat=None if shared.tat is None else max(shared.tat - TICK, OLDEST),
            charged=tuple(each - TICK for each in shared.charged if each > -self.longest_run * TICK),
        )

    def count_holders(self, environment: IdleCaller | CallRun, shared: Shared) -> int:
        """Return 1 for a call that holds the key."""
        return int(isinstance(environment, CallRun) and environment.holds)

    def is_normal(self, environment: IdleCaller | CallRun, shared: Shared) -> bool:
        """Return whether no call runs, the key is free or answered, its answer kept, and the bucket is full."""
        record = dict(shared.record or ())
        is_settled = not record or record["free_at"] <= 0 or json.loads(record["phase"])["S"] != items.RUNNING
        is_settled = is_settled and not (shared.row and shared.row.holder)
        return isinstance(environment, IdleCaller) and is_settled and (shared.tat is None or shared.tat <= 0)


class KeyMachine(AdmissionMachine):
    """Calls with one Idempotency-Key, of which some ask for something else.

    `stores_answer` is the operation's option: whether the first call stores its answer before it gives it. If relays
    are among those that ask, they keep its answer.
    """

    asks: tuple[str, ...] = ("the call", "another call with the same key")
    is_answer_an_effect = True

    def __init__(self, *, asks: tuple[str, ...] | None = None, stores_answer: bool = False) -> None:
        self.asks = asks or self.asks
        self._stores_answer = stores_answer
        self._table = KeyTable()

    def _run(self, run: CallRun, store: DynamoDbAdmissionStore, player: Player) -> Any:
        database = Database(
            PlayedConnection(player),  # type: ignore[arg-type] # a stand-in
            backoff=Backoff(retries=1),
            budget=RetryBudget(most_saved=9, timer=lambda: 0.0),
            sleep=_ignore,
            uniform=lambda a, _b: a,
        )
        if run.asks == RELAY:
            return _run_relay(database, store)
        request: Any = SimpleNamespace(
            headers={"idempotency-key": "key"}, base_path="", request_id="r",
            deadline=Deadline(at=SECONDS_LEFT, clock=lambda: 0.0),
        )  # fmt: skip
        parts = self._parts
        admission: Any = SimpleNamespace(
            admit=lambda **asked: parts.run(
                "takeover" if asked.get("take_from") else "admission", lambda: store.admit(**asked)
            ),
            complete=store.complete, release=store.release,
        )  # fmt: skip
        runner: Any = SimpleNamespace(
            run_once=database.run_once,
            find_committed=lambda *asked, **more: parts.run(
                "question", lambda: database.find_committed(*asked, **more)
            ),
        )
        services: Any = SimpleNamespace(admission_store=admission, database=runner, wake_relay_soon=_wake_nobody)
        call: Call[Any] = Call(None, {}, None, None, "client", None, request, self._make_use(run), services)
        operation: Any = SimpleNamespace(
            is_write=True,
            limit=None,
            run=lambda call: _answer_work(call, *parts.run("work", lambda: _do_work(call))),
            media_type="application/json",
            stores_answer=self._stores_answer,
        )
        try:
            return execution._admit_call(operation, call).status
        except Refusal as refusal:
            return refusal.name
        except Unavailable:
            return "unavailable"

    def _list_commits(self, run: CallRun, shared: Shared, statements: Any) -> Iterator[Move]:
        (row, effects), answer = self._table.run(shared.row, shared.effects, statements)
        if row is not None and row.holder == "mine":
            holder = "other" if run.holds else "gone"
            row = row._replace(holder=holder if RELAY in self.asks else None)
        changed = shared._replace(row=row, effects=min(effects, 2))
        name = "the transaction" if changed != shared else "a transaction that changes nothing"
        yield self._go_on(run, shared, changed, f"commits {name}", answer)
        yield self._go_on(run, shared, shared, f"loses the connection before {name}", LOST, fault=True)
        if changed == shared:
            return
        if run.asks != RELAY:
            yield self._go_on(
                run, shared, shared, "is refused by a rule", Failure(lambda: Refusal("claim-closed")), fault=True
            )
        yield self._go_on(run, shared, changed, f"loses the connection after {name}", LOST, fault=True)
        yield self._make_move(f"is killed right after {name}", IdleCaller(), shared, changed, run, fault=True)

    def _check_end(self, run: CallRun, result: Any, shared: Shared) -> str | None:
        if result == "request-in-progress" and run.was_done and not self._stores_answer:
            return TOLD_TO_WAIT
        if result != 200:
            return None
        if not shared.effects or shared.row is None:
            return NO_EFFECT
        return OTHERS_ANSWER if shared.row.fingerprint != self._make_use(run).fingerprint else None


class LimitMachine(AdmissionMachine):
    """Calls of one client that are charged to one limit."""

    asks: tuple[str, ...] = ("a charged call", "a charged call with a key")

    def _run(self, run: CallRun, store: DynamoDbAdmissionStore, player: Player) -> Any:
        use = self._make_use(run) if run.asks.endswith("with a key") else None
        asked: dict[str, Any] = {"charge": CHARGE, "use": use, "lease_s": LEASE_S}
        decision = self._parts.run("admission", lambda: store.admit(**asked))
        if isinstance(decision, InProgress) and decision.has_lapsed:
            holder = decision.holder
            decision = self._parts.run("takeover", lambda: store.admit(**asked, take_from=holder))
        if use is not None and isinstance(decision, Admitted) and decision.token is not None:
            store.release(use, decision.token)
        return decision

    def _check_end(self, run: CallRun, result: Any, shared: Shared) -> str | None:
        if isinstance(result, Admitted) and result.quota is not None and not run.is_charged:
            return NOT_CHARGED
        is_full = shared.tat is None or shared.tat <= 0
        return REFUSED if isinstance(result, OverLimit) and is_full and not run.has_conflicted else None

    def _check(self, before: Shared, after: Shared, run: CallRun | None) -> str | None:
        is_taken = before.record != after.record and after.record is not None
        is_charged = before.charged != after.charged
        if run is not None and run.asks.endswith("with a key") and is_taken != is_charged:
            return NOT_ATOMIC
        return super()._check(before, after, run)


def _has_answer(shared: Shared) -> bool:
    """Return whether the key's record has an answer."""
    return shared.record is not None and json.loads(dict(shared.record)["phase"])["S"] != items.RUNNING


def _read_stored(shared: Shared) -> Any:
    """Return the answer that the key's record has, None if it has none."""
    record = dict(shared.record or ())
    if "answer" in record:
        return json.loads(record["answer"])["M"]["body"]["S"]
    return json.loads(record["facts"])["S"] if "facts" in record else None


def _is_answer_of_row(shared: Shared) -> bool:
    """Return whether the answer that the key's record has, if it has one, is that of the key's row."""
    stored = _read_stored(shared)
    return stored is None or (shared.row is not None and stored == shared.row.answer)


def _check_record(before: Shared, after: Shared, run: CallRun | None) -> str | None:
    """Return the invariant that a change of the key's record breaks."""
    record = dict(before.record or ())
    if run is not None and run.has_overstepped:
        return STOLEN
    if _has_answer(before):
        if run is not None and run.asks == RELAY:
            return OVERWRITTEN
        is_over = record["known_until"] <= 0 or (_has_answer(after) and _read_stored(before) == _read_stored(after))
        return None if is_over else OVERWRITTEN
    is_anothers = bool(record) and record["free_at"] > 0 and run is not None and not run.holds
    # Whoever has found the row of the holder's work stores its answer, with the holder's token.
    return STOLEN if is_anothers and not _has_answer(after) else None


def _rename_holder(answer: Any) -> Any:
    """Return an answer that a call has had, after its key's holder is no longer the one that it shows."""
    match answer:
        case RefusedWrite():
            reasons = tuple((code, _rename_in_item(item)) for code, item in answer.reasons)
            return answer._replace(reasons=reasons)
        case (method, Item() as item):
            return (method, _rename_in_item(item))
        case Finished(part, ("decision", InProgress(retry_after_s, "other", has_lapsed))):
            return Finished(part, ("decision", InProgress(retry_after_s, "gone", has_lapsed)))
        case Finished(part, ("decision", WorkDone(_, _, "other") as decision)):
            return Finished(part, ("decision", replace(decision, holder="gone")))
        case ((((_, _), *_), *_), *_):
            return tuple(tuple(tuple(_rename_in_row(row)) for row in rows) for rows in answer)
        case _:
            return answer


def _rename_in_row(row: Any) -> Iterator[tuple[str, Any]]:
    return ((name, "gone" if (name, value) == ("holder", "other") else value) for name, value in row)


def _outdate_row(before: Shared, after: Shared) -> Shared:
    """Return what is there after a step: if the record is another call's, or gone, the row's holder is gone too."""
    row = after.row
    if row is None or row.holder is None or after.record == before.record or _has_answer(after):
        return after
    return after._replace(row=row._replace(holder="gone"))


def _rename_in_item(item: Item | None) -> Item | None:
    if item is None:
        return None
    return Item(tuple((name, _GONE if (name, each) == ("holder", _OTHER) else each) for name, each in item.attributes))


def _has_passed_limit(times: tuple[int, ...]) -> bool:
    """Return whether more were charged in any window than the burst and what has come back in it."""
    interval = round(LIMIT.interval_s * TICK)
    windows = ((times[m] - first, m - n + 1) for n, first in enumerate(times) for m in range(n, len(times)))
    return any(count > LIMIT.burst + window // interval for window, count in windows)


def _run_relay(database: Database, store: Any) -> int | str:
    """Run a relay's keeping of answers; return how many it has kept."""
    keeper = DynamoDbAnswerKeeper(store._client, "state", record_life_s=RECORD_LIFE_S)
    try:
        return relay_answers.keep_answers(database, keeper, Deadline(at=RELAY_S, clock=lambda: 0.0))
    except Unavailable:
        return "unavailable"


def _wake_nobody(*_jobs: Any, **_delay: Any) -> Callable[[], object]:
    return _ignore


def _do_work(call: Call[Any]) -> tuple[str, bool]:
    """Make the effect: one row, whose number is the answer; return that, and whether it was made before."""

    def use_case(tx: Any) -> Any:
        tx.add("INSERT INTO effects (made) VALUES (1)")
        return tx.fetch_answer("SELECT count(*) AS facts FROM effects")

    facts = call.run_once(use_case)
    return json.dumps(facts), call.replayed


def _answer_work(call: Call[Any], raw: str, is_replayed: bool) -> Answer:
    """Return the answer of work that is done; the call knows of it, though the work's part may not be run again."""
    call.first_used_at = FIRST_USED_AT if is_replayed else None
    call.committed = Committed({}, frozenset(), call.first_used_at)
    return Answer(200, raw=raw)


def _find_asked(request: Any) -> int:
    writes = [write for each in request.get("TransactItems", [{"Update": request}]) for write in each.values()]
    return next(int(w["ExpressionAttributeValues"][":now"]["N"]) - NOW for w in writes if "UpdateExpression" in w)


def _freeze_error(error: ClientError) -> RefusedWrite:
    response: Any = error.response
    cancelled = response.get("CancellationReasons")
    reasons = cancelled or [{"Code": response["Error"]["Code"], "Item": response.get("Item")}]
    frozen = tuple((each["Code"], Item(freeze(each["Item"])) if each.get("Item") else None) for each in reasons)
    return RefusedWrite(response["Error"]["Code"], frozen, bool(cancelled))


def _make_conflict(method: str, request: Any) -> RefusedWrite:
    if method == "transact_write_items":
        reasons = tuple(("TransactionConflict", None) for _ in request["TransactItems"])
        return RefusedWrite("TransactionCanceledException", reasons, is_transaction=True)
    return RefusedWrite("TransactionConflictException", (("TransactionConflictException", None),), is_transaction=False)


def _thaw_answer(answer: Any) -> Any:
    """Return an answer as the code receives it."""
    if isinstance(answer, RefusedWrite):
        reasons = [{"Code": code, **({"Item": thaw(item.attributes)} if item else {})} for code, item in answer.reasons]
        response: Any = {"Error": {"Code": answer.code}}
        response |= {"CancellationReasons": reasons} if answer.is_transaction else reasons[0]
        return Failure(lambda: ClientError(response, "Write"))
    if isinstance(answer, Duplicate):
        return Failure(answer.make)
    if (
        isinstance(answer, tuple)
        and answer
        and answer[0] in {"get_item", "update_item", "put_item", "delete_item", "transact_write_items"}
    ):
        method, item = answer
        return {} if item is None else {"Item" if method == "get_item" else "Attributes": thaw(item.attributes)}
    return [[dict(row) for row in rows] for rows in answer] if isinstance(answer, tuple) else answer


def _age_answer(answer: Any) -> Any:
    if isinstance(answer, RefusedWrite):
        reasons = tuple((code, Item(_age_item(item.attributes)) if item else None) for code, item in answer.reasons)
        return answer._replace(reasons=reasons)
    if isinstance(answer, tuple) and len(answer) == 2 and isinstance(answer[1], Item):
        return (answer[0], Item(_age_item(answer[1].attributes)))
    if isinstance(answer, Finished) and isinstance(answer.result[-1], WorkDone):
        aged = replace(answer.result[-1], first_used_at=answer.result[-1].first_used_at - timedelta(seconds=1))
        return Finished(answer.part, (*answer.result[:-1], aged))
    return answer


def _age_idle(kept: IdleCaller) -> IdleCaller:
    return IdleCaller(
        kept.tat - TICK if kept.tat is not None and kept.tat > TICK else None,
        kept.paused_until - TICK if kept.paused_until is not None and kept.paused_until > TICK else None,
    )


def _age_kept(kept: IdleCaller) -> IdleCaller:
    """Return what an environment knew when its call began, seen from a unit of time later."""
    return IdleCaller(
        None if kept.tat is None else kept.tat - TICK, None if kept.paused_until is None else kept.paused_until - TICK
    )


def _name_request(method: str, request: Any) -> str:
    if method == "update_item" and ":facts" in request["UpdateExpression"]:
        return "its copy of the answer"
    if method == "update_item" and "phase" in request["UpdateExpression"]:
        return "its write of the answer"
    return {
        "get_item": "a read",
        "put_item": "its write of the key",
        "update_item": "its charge",
        "delete_item": "its release",
        "transact_write_items": "its write of key and charge",
    }[method]


def _name_result(result: Any) -> str:
    return str(result) if isinstance(result, int | str) else type(result).__name__
