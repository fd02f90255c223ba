"""The shipped circuit breaker, its client and its conditional writes as a machine to be searched.

Each environment has shared.circuit's CircuitBreaker, LocalView and CircuitStoreClient, and shared.aws's
DynamoDbCircuitStore on a table in memory; clock, thread and event are passed in. An environment stands still while a
request to the table is on its way, and while its call of the dependency lasts.

All times are units of a second relative to now, generations and revisions relative to the table's. What is longer ago
than any rule looks back is one time, and so are generations that are gone.
"""

from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple
from unittest import mock

from shared.aws.dynamodb_circuits import DynamoDbCircuitStore, _build_attributes, make_circuit_key, read_circuit
from shared.circuit import client as client_module
from shared.circuit import local_view as local_view_module
from shared.circuit.breaker import CircuitBreaker, CircuitOpen
from shared.circuit.client import CircuitStoreClient, First, Learn
from shared.circuit.local_view import CallPermit
from shared.circuit.state import CallOutcome, CircuitPolicy, CircuitSnapshot, FailureBucket
from shared.circuit.store import Request, StoreUnavailable, WriteResult
from shared.units import SECOND
from tests.exhaustive.search import Move
from tests.exhaustive.state_table import TableInMemory

POLICY = CircuitPolicy(
    name="email",
    failures=2,
    successes_per_failure=1,
    window_s=2,
    open_s=1,
    probe_lease_s=1,
    refresh_s=1,
    blind_s=1,
    slow_s=100,
)
NOW = 1_000_000 * SECOND
LONGEST_CALL = 1  # as long as the lease of a probe, so that another may take it over
MOST_OUTCOMES = 2  # kept of an environment's outcomes: what changes a bucket of this policy
OLDEST = -2 * SECOND  # as long ago as the window, and longer ago than the other times
# The beginning of a call or of an environment counts as earlier than all else in the same unit of time.
BEFORE = -1
STALE, GONE = -1, -9
OLD = 10  # stands for any generation or revision but the first

ILLEGAL = "a transition that the page of state machines does not show"
TWICE = "a write on account of a state that was gone"
EARLY = "half open before its time was over"
NOT_BY_PROBE = "the state after half open is not what the probe's end says"
NOT_FULL = "opened before so many calls had failed, or not then"
PASSED = "a call passed a circuit that was known not to be closed"


class Snapshot(NamedTuple):
    """A circuit, with times relative to now, and generation and revision to those of the table."""

    state: str
    generation: int
    since: int | None
    open_until: int | None
    holder: str | None
    lease_until: int | None
    failures: tuple[int, ...]
    leaked: int
    revision: int


class Table(NamedTuple):
    """The circuit in the table. `first` says that no generation, or no revision, came before it."""

    circuit: Snapshot | None
    is_first_generation: bool
    is_first_revision: bool
    has_failed: bool  # whether a call has failed in this generation
    faults: int = 0  # of the table that have happened, if their number is bounded


class Permit(NamedTuple):
    """Permission for a call; see CallPermit."""

    generation: int | None
    began: int
    until: int
    probe: bool
    local: bool


# Whatever becomes of a call of a generation that is gone changes nothing.
ENDED = Permit(GONE, 0, 0, probe=False, local=False)


class InCall(NamedTuple):
    """The environment calls the dependency."""

    permit: Permit
    began: int


class Waiting(NamedTuple):
    """A call waits for the table before it begins (no permit), or at its end; `done` are the waits that are over."""

    permit: Permit | None
    now: int
    failed: bool
    wait: str
    is_own: bool
    done: frozenset[str]


class RequestValue(NamedTuple):
    """A request on its way. What a write on account of a state that is gone would write does not matter."""

    asked: int
    kind: Literal["read", "write", "stale"]
    to: Snapshot | None
    outcomes: tuple[int, ...]


class Environment(NamedTuple):
    """All that an environment remembers."""

    seen: Snapshot
    local: Snapshot | None = None
    asked: bool = False
    fresh_until: int | None = None
    unreachable_since: int | None = None
    has_token: bool = False
    outcomes: tuple[tuple[int, int, bool], ...] = ()
    last_failure: int | None = None
    began: int | None = BEFORE
    cached: Permit | None = None
    pending: RequestValue | None = None
    is_exchange_new: bool = False
    failed_at: int | None = None
    call: InCall | Waiting | None = None
    owns_lease: bool = False
    probe_end: str | None = None


UNKNOWN = Snapshot("closed", STALE, None, None, None, None, (), 0, 0)


class CircuitShift(NamedTuple):
    """A write of another environment, by what it adds to the generation and the revision."""

    generations: int
    revisions: int


class Pause(BaseException):
    """The code would wait here."""


class SteppedEvent:
    """An Event whose wait is not over yet, unless the search says so."""

    def __init__(self) -> None:
        self.is_set = False

    def wait(self, timeout: float) -> bool:
        """Pause the caller."""
        raise Pause

    def set(self) -> None:
        """Note that the exchange has ended."""
        self.is_set = True


class SteppedThread:
    """A Thread that begins when the search says so."""

    started: "SteppedThread | None" = None

    def __init__(self, *, target: Callable[..., None], args: tuple[Any, ...], **_more: Any) -> None:
        self.arguments = args

    def start(self) -> None:
        """Note that it has begun."""
        SteppedThread.started = self


class OneAnswer:
    """A CircuitStore that answers one request; the code pauses at the next."""

    def __init__(self, store: DynamoDbCircuitStore, answer: Literal["given", "lost", "never arrived"]) -> None:
        self._store = store
        self._answer = answer
        self._is_used = False

    def read(self, name: str) -> CircuitSnapshot:
        """See CircuitStore.read."""
        seen: CircuitSnapshot = self._run(lambda: self._store.read(name))
        return seen

    def change(self, name: str, seen: CircuitSnapshot, to: CircuitSnapshot) -> WriteResult:
        """See CircuitStore.change."""
        written: WriteResult = self._run(lambda: self._store.change(name, seen, to))
        return written

    def _run(self, request: Callable[[], Any]) -> Any:
        if self._is_used:
            raise Pause
        self._is_used = True
        answer = request() if self._answer != "never arrived" else None
        if self._answer != "given":
            raise StoreUnavailable("ReadTimeoutError")
        return answer


class Rejoined:
    """A StoreClient for code that is run again from a wait: waits that are over are not begun again."""

    def __init__(self, client: CircuitStoreClient, done: frozenset[str], is_report: bool) -> None:
        self.patience_s = client.patience_s
        self.wait = ""
        self._client = client
        self._done = done
        self._is_report = is_report

    def exchange(self, first: First, learn: Learn, within_s: float) -> float:
        """See StoreClient.exchange."""
        request = first()
        is_lease = request is not None and request.to is not None and request.to.state == "half_open"
        self.wait = "report" if self._is_report else "lease" if is_lease else "refresh"
        return 0.0 if self.wait in self._done else self._client.exchange(first, learn, within_s)


@contextmanager
def use_stepped_client() -> Iterator[None]:
    """Within the block the client's threads and waits are steps, and few outcomes are kept."""
    with (
        mock.patch.object(client_module, "Thread", SteppedThread),
        mock.patch.object(client_module, "Event", SteppedEvent),
        mock.patch.object(local_view_module, "MOST_OUTCOMES", MOST_OUTCOMES),
    ):
        yield


def _relate(micros: int) -> int:
    return max(micros - NOW, OLDEST)


def _relate_or_none(micros: int) -> int | None:
    return _relate(micros) if micros else None


def _place(relative: int | None) -> int:
    return 0 if relative is None else NOW + relative


@dataclass
class Bench:
    """An environment and the table, made of their values; run one step and read the values again."""

    environment: Environment
    table: Table

    def __post_init__(self) -> None:
        self.generation = 0 if self.table.is_first_generation else OLD
        self.revision = 0 if self.table.is_first_revision else OLD
        self.items = TableInMemory(self._build_items())
        self.store = DynamoDbCircuitStore(self.items, "state")  # type: ignore[arg-type] # what it calls of a client
        self.client = CircuitStoreClient(self.store, timer=_read_seconds, patience_s=0.5, pause_s=1.0)
        self.rejoined = Rejoined(self.client, frozenset(), is_report=False)
        self.breaker = self._make_breaker()
        self.event: Any = None
        self.request: Request | None = None
        if self.environment.pending is not None:
            self._restore_exchange(self.environment.pending)
        SteppedThread.started = None

    def _build_items(self) -> dict[str, Any]:
        held = self.table.circuit
        if held is None:
            return {}
        circuit = self.place_snapshot(held._replace(holder="mine" if self.environment.owns_lease else held.holder))
        pk = make_circuit_key(POLICY.name)
        return {pk: {"pk": {"S": pk}, **_build_attributes(circuit)}}

    def _make_breaker(self) -> CircuitBreaker:
        value = self.environment
        breaker = CircuitBreaker(
            POLICY, self.rejoined, observer=lambda _event, _facts: None, now=lambda: NOW, timer=_read_seconds,
            new_token=lambda: "mine",
        )  # fmt: skip
        view = breaker._view
        view.seen = self.place_snapshot(value.seen)
        view.local = self.place_snapshot(value.local) if value.local else None
        view._asked, view._fresh_until = int(value.asked), _place(value.fresh_until)
        view._unreachable_since = None if value.unreachable_since is None else NOW + value.unreachable_since
        view._lease_token = "mine" if value.has_token else ""
        view._outcomes = deque(
            (CallOutcome(NOW + began, NOW + ended, failed) for began, ended, failed in value.outcomes), MOST_OUTCOMES
        )
        view._last_failure, view._began = _place(value.last_failure), _place(value.began)
        breaker._permit = self.place_permit(value.cached) if value.cached else None
        self.client._failed_at = None if value.failed_at is None else _read_seconds() + value.failed_at / SECOND
        return breaker

    def _restore_exchange(self, pending: RequestValue) -> None:
        view = self.breaker._view
        to = None
        if pending.kind != "read":
            to = self.place_snapshot(pending.to) if pending.to else CircuitSnapshot("half_open", GONE)
        sent = tuple(view._outcomes[at] for at in pending.outcomes)
        self.request = Request(POLICY.name, NOW + pending.asked, view.seen, to, sent)
        self.event = self.client._under_way = SteppedEvent()  # type: ignore[assignment] # a stand-in
        self.client._began = _read_seconds() - (0 if self.environment.is_exchange_new else 1)

    # ---- values to objects and back ----------------------------------------------------------------------------------
    def place_snapshot(self, value: Snapshot) -> CircuitSnapshot:
        """Return a circuit as the code has it."""
        is_current = value.generation == 0
        return CircuitSnapshot(
            state=value.state,  # type: ignore[arg-type] # one of the three
            generation=self.generation + value.generation,
            since=None if value.since is None else NOW + value.since,
            open_until=_place(value.open_until),
            holder=value.holder,
            lease_until=_place(value.lease_until),
            bucket=FailureBucket(tuple(NOW + each for each in value.failures), value.leaked),
            revision=self.revision + value.revision if is_current else 0,
        )

    def read_snapshot(self, circuit: CircuitSnapshot, generation: int, revision: int) -> Snapshot:
        """Return a circuit as a value, relative to the table's generation and revision."""
        offset = max(circuit.generation - generation, STALE)
        token = self.breaker._view._lease_token
        holder = None if circuit.holder is None else "mine" if token and circuit.holder == token else "other"
        return Snapshot(
            state=circuit.state,
            generation=offset,
            since=None if circuit.since is None else _relate(circuit.since),
            open_until=_relate_or_none(circuit.open_until),
            holder=holder,
            lease_until=_relate_or_none(circuit.lease_until),
            failures=tuple(_relate(each) for each in circuit.bucket.failures),
            leaked=circuit.bucket.leaked,
            revision=max(circuit.revision - revision, STALE) if offset == 0 else 0,
        )

    def place_permit(self, value: Permit) -> CallPermit:
        """Return a permit as the code has it."""
        generation = None if value.generation is None else self.generation + value.generation
        return CallPermit(generation, NOW + value.began, _place(value.until), value.probe, value.local)

    def read_permit(self, permit: CallPermit, generation: int, *, is_kept: bool = False) -> Permit:
        """Return a permit as a value; its time matters only if the circuit was unknown."""
        offset = None if permit.generation is None else permit.generation - generation
        until = permit.until - NOW if is_kept else 0
        began = _relate(permit.began) + BEFORE if permit.generation is None else 0
        return Permit(offset, began, until, permit.probe, permit.local)

    def read_table(self, has_failed: bool) -> tuple[Table, CircuitShift]:
        """Return the table's value, and what the other environments have to learn."""
        item = self.items.items.get(make_circuit_key(POLICY.name))
        if item is None:
            return self.table._replace(has_failed=has_failed), CircuitShift(0, 0)
        circuit = read_circuit(item)
        value = self.read_snapshot(circuit, circuit.generation, circuit.revision)
        shift = CircuitShift(
            circuit.generation - self.generation,
            circuit.revision - self.revision if circuit.generation == self.generation else 0,
        )
        return (
            Table(
                value._replace(holder=None if value.holder is None else "other"),
                circuit.generation == 0, circuit.revision == 0, has_failed and not shift.generations, self.table.faults,
            ),
            shift,
        )  # fmt: skip

    def read_environment(self, call: InCall | Waiting | None, probe_end: str | None) -> Environment:
        """Return the environment's value after the step."""
        view, client = self.breaker._view, self.client
        item = self.items.items.get(make_circuit_key(POLICY.name))
        table = read_circuit(item)
        generation, revision = table.generation, table.revision
        seen = self.read_snapshot(view.seen, generation, revision) if view._asked else UNKNOWN
        if not isinstance(call, InCall | Waiting) or call.permit is None or call.permit.generation is not None:
            seen = _forget_since(seen)
        # Outcomes count under a closed circuit alone, and are dropped when it has moved.
        if view.seen.state != "closed" and (view.local is None or view.local.state != "closed"):
            view._outcomes.clear()
        outcomes = tuple(
            (_relate(each.began) if each.failed else _relate(each.ended), _relate(each.ended), each.failed)
            for each in view._outcomes
        )
        is_missed = view.local is None and view.seen.state != "closed"
        local = (
            self.read_snapshot(view.local, generation, revision)._replace(generation=1, revision=0, since=OLDEST)
            if view.local
            else None
        )
        horizon = NOW - round(POLICY.window_s * SECOND)
        cached = self.breaker._permit
        kept = cached is not None and cached.until > NOW
        return Environment(
            seen=seen,
            local=local,
            asked=bool(view._asked),
            fresh_until=view._fresh_until - NOW if view._fresh_until > NOW else None,
            unreachable_since=None
            if view._unreachable_since is None or not is_missed
            else _relate(view._unreachable_since),
            has_token=bool(view._lease_token),
            outcomes=outcomes,
            last_failure=_relate(view._last_failure) if view._last_failure > horizon else None,
            began=None if view._asked else _relate(view._began),
            cached=self._fix(self.read_permit(cached, generation, is_kept=True), seen, view.local)
            if cached and kept
            else None,
            pending=self._read_pending(seen, generation, revision),
            is_exchange_new=self.request is not None and client._began == _read_seconds(),
            failed_at=None
            if client._failed_at is None
            else round(max(client._failed_at - _read_seconds(), -1)) * SECOND,
            call=self._fix_call(call, seen, view.local),
            owns_lease=bool(view._lease_token) and table.holder == view._lease_token,
            probe_end=probe_end
            if generation == self.generation and (isinstance(call, Waiting) or self.request)
            else None,
        )

    def _read_pending(self, seen: Snapshot, generation: int, revision: int) -> RequestValue | None:
        if self.request is None:
            return None
        positions = {id(each): at for at, each in enumerate(self.breaker._view._outcomes)}
        outcomes = tuple(positions[id(each)] for each in self.request.outcomes if id(each) in positions)
        asked = max(self.request.asked - NOW, -round(POLICY.refresh_s * SECOND))
        if self.request.to is None:
            return RequestValue(asked, "read", None, outcomes)
        if seen.generation < 0 or seen.revision < 0:
            return RequestValue(asked, "stale", None, outcomes)
        return RequestValue(asked, "write", self.read_snapshot(self.request.to, generation, revision), outcomes)

    def _fix_call(self, call: InCall | Waiting | None, seen: Snapshot, local: CircuitSnapshot | None) -> Any:
        if call is None or call.permit is None:
            return call
        permit = self._fix(call.permit, seen, local)
        if permit.generation == GONE and isinstance(call, InCall):
            return InCall(ENDED, 0)
        return call._replace(permit=permit)

    def _fix(self, permit: Permit, seen: Snapshot, local: CircuitSnapshot | None) -> Permit:
        """Return the permit with the generation that it can still be compared with, or with none."""
        if permit.generation is None:
            return permit
        if permit.local:
            is_same = local is not None and permit.generation == local.generation - self.read_generation()
            return permit._replace(generation=1 if is_same else GONE)
        return permit if permit.generation == seen.generation else permit._replace(generation=GONE)

    def read_generation(self) -> int:
        """Return the table's generation."""
        return read_circuit(self.items.items.get(make_circuit_key(POLICY.name))).generation

    # ---- steps of the code -------------------------------------------------------------------------------------------
    def take_started(self) -> None:
        """Take over the exchange that the code has begun."""
        if SteppedThread.started is not None:
            self.request, _, self.event = SteppedThread.started.arguments

    def answer(self, how: Literal["given", "lost", "never arrived"]) -> bool:
        """Let the thread send its request; return whether the exchange has ended."""
        request, learn = self.request, self.breaker._learn
        following: list[Request | None] = []

        def note(sent: Request, answer: Any) -> Request | None:
            following.append(learn(sent, answer))
            return following[-1]

        self.client._store = OneAnswer(self.store, how)
        failed_before, under_way = self.client._failed_at, self.client._under_way
        try:
            self.client._run(request, note, self.event)
        except Pause:
            self.request = following[-1]
            self.client._failed_at, self.client._under_way = failed_before, under_way
            return False
        finally:
            self.client._store = self.store
        self.request = None
        return True


def _read_seconds() -> float:
    return NOW / SECOND


class CircuitMachine:
    """A fleet of circuit breakers on one table."""

    def __init__(
        self,
        legal: frozenset[tuple[str, str]],
        *,
        longest_call: int = LONGEST_CALL,
        are_requests_short: bool = True,
        most_faults: int | None = None,
    ) -> None:
        self._legal = legal
        self._longest_call = longest_call * SECOND
        self._are_requests_short = are_requests_short
        self._most_faults = most_faults

    def begin(self) -> tuple[Table, Environment]:
        """Return an empty table, and an environment that knows nothing."""
        return Table(None, is_first_generation=True, is_first_revision=True, has_failed=False), self._start()

    def _start(self) -> Environment:
        bench = Bench(Environment(UNKNOWN), Table(None, True, True, has_failed=False))
        return bench.environment

    def list_moves(self, environment: Environment, table: Table) -> Iterator[Move]:
        """Return each step that the environment can take next."""
        if environment.call is None:
            yield self._run_call(environment, table, None, frozenset(), "begins a call")
        if isinstance(environment.call, InCall):
            yield self._end_call(environment, table, environment.call, failed=False)
            yield self._end_call(environment, table, environment.call, failed=True)
        if self._most_faults is not None and table.faults < self._most_faults:
            left = [self._list_faults(environment, table._replace(faults=table.faults + 1))]
        else:
            left = [] if self._most_faults is not None else [self._list_faults(environment, table)]
        for moves in left:
            yield from moves
        if environment.pending is not None:
            yield self._answer(environment, table, "given", f"gets the answer to {_name_request(environment.pending)}")
        yield from self._list_kills(environment, table)

    def _list_faults(self, environment: Environment, table: Table) -> Iterator[Move]:
        """Return the steps in which the table is late or an answer is lost."""
        if isinstance(environment.call, Waiting):
            call = environment.call
            yield self._resume(
                Bench(environment, table), call, "waits no longer for the table", fault=True, give_up=True
            )
        pending = environment.pending
        if pending is not None:
            what = _name_request(pending)
            yield self._answer(environment, table, "never arrived", f"loses {what}")
            if pending.kind == "write":
                yield self._answer(environment, table, "lost", f"loses the answer to {what}, which was made")

    def _list_kills(self, environment: Environment, table: Table) -> Iterator[Move]:
        new = self._start()
        if environment != new:
            yield Move("is killed and started again", new, table, fault=True)
        if environment.pending is not None and environment.pending.kind == "write":
            bench = Bench(environment, table)
            bench.answer("lost")
            yield self._finish(bench, new, "is killed right after its write", fault=True)

    def _run_call(
        self,
        environment: Environment,
        table: Table,
        bench: Bench | None,
        done: frozenset[str],
        label: str,
        *,
        fault: bool = False,
    ) -> Move:
        """Run allow() to its next wait, or to its end."""
        bench = bench or Bench(environment, table)
        bench.rejoined = Rejoined(bench.client, done, is_report=False)
        bench.breaker._client = bench.rejoined
        had = bench.request is not None
        problem = None
        call: InCall | Waiting | None = None
        try:
            permit = bench.breaker.allow()
        except CircuitOpen:
            label += ": refused"
        except Pause:
            call = Waiting(None, 0, False, bench.rejoined.wait, not had, done)
        else:
            view = bench.breaker._view
            if not permit.probe and view.circuit.state != "closed":
                problem = PASSED
            call = InCall(bench.read_permit(permit, bench.read_generation()), 0)
            label += ": a probe begins" if permit.probe else ": passes"
        bench.take_started()
        return self._finish(bench, call, label, fault=fault, problem=problem)

    def _end_call(self, environment: Environment, table: Table, call: InCall, *, failed: bool) -> Move:
        """Run record() to its next wait, or to its end."""
        permit = call.permit
        bench = Bench(environment, table)
        bench.rejoined._is_report = True
        probe_end = environment.probe_end
        bad = table.has_failed
        if permit.probe and not permit.local and permit.generation == 0:
            probe_end = "failed" if failed else "well"
        elif failed and permit.generation != GONE:
            bad = True
        had = bench.request is not None
        after: Waiting | None = None
        try:
            bench.breaker.record(bench.place_permit(permit), failed=failed, seconds=-call.began / SECOND)
        except Pause:
            after = Waiting(permit, 0, failed, "report", not had, frozenset())
        bench.take_started()
        label = f"ends its {'probe' if permit.probe else 'call'} {'with a failure' if failed else 'well'}"
        return self._finish(bench, after, label, fault=failed, probe_end=probe_end, has_failed=bad)

    def _answer(self, environment: Environment, table: Table, how: Any, label: str) -> Move:
        bench = Bench(environment, table)
        has_ended = bench.answer(how)
        call = environment.call
        fault = how != "given"
        if not has_ended or not isinstance(call, Waiting):
            return self._finish(bench, call, label, fault=fault)
        return self._resume(bench, call, label, fault=fault, give_up=call.is_own)

    def _resume(self, bench: Bench, call: Waiting, label: str, *, fault: bool, give_up: bool) -> Move:
        """Run the code on after a wait; one for another exchange is begun again, unless it has taken too long."""
        done = call.done | {call.wait} if give_up else call.done
        if call.permit is None:
            return self._run_call(bench.environment, bench.table, bench, done, label, fault=fault)
        bench.rejoined = Rejoined(bench.client, done, is_report=True)
        bench.breaker._client = bench.rejoined
        had = bench.request is not None
        after: Waiting | None = None
        try:
            bench.breaker._report(bench.place_permit(call.permit), NOW + call.now, failed=call.failed)
        except Pause:
            after = call._replace(is_own=not had, done=done)
        bench.take_started()
        return self._finish(bench, after, label, fault=fault)

    def _finish(
        self,
        bench: Bench,
        after: Any,
        label: str,
        *,
        fault: bool,
        problem: str | None = None,
        probe_end: str | None = None,
        has_failed: bool = False,
    ) -> Move:
        """Return the step that was run; `after` is the call after it, or a whole new environment."""
        before = bench.table
        has_failed = has_failed or before.has_failed
        probe_end = bench.environment.probe_end if probe_end is None else probe_end
        table, shift = bench.read_table(has_failed)
        problem = problem or self._check_write(before, table, shift, probe_end, has_failed)
        if table.circuit == before.circuit and shift == (0, 0):
            table = table._replace(
                is_first_generation=before.is_first_generation, is_first_revision=before.is_first_revision
            )
        if isinstance(after, Environment):
            environment = self.apply_shift(after, shift) if shift != (0, 0) else after
        else:
            if (
                isinstance(after, InCall | Waiting)
                and after.permit is not None
                and shift.generations
                and after is bench.environment.call
            ):
                after = after._replace(permit=_shift_permit(after.permit, shift))
            environment = bench.read_environment(after, probe_end)
        return Move(label, environment, table, fault, problem, None if shift == (0, 0) else shift)

    def _check_write(
        self, before: Table, after: Table, shift: CircuitShift, probe_end: str | None, has_failed: bool
    ) -> str | None:
        """Return the invariant that a write breaks."""
        old, new = before.circuit, after.circuit
        state = old.state if old else "closed"
        if shift == (0, 0) or new is None:
            return TWICE if old is not None and new != old else None
        if shift.generations == 0:
            return None if shift.revisions == 1 and state == new.state == "closed" else ILLEGAL
        return self._check_transition(state, old, new, shift, probe_end, has_failed=has_failed)

    def _check_transition(
        self,
        state: str,
        old: Snapshot | None,
        new: Snapshot,
        shift: CircuitShift,
        probe_end: str | None,
        *,
        has_failed: bool,
    ) -> str | None:
        """Return the invariant that a transition breaks."""
        if shift.generations != 1:
            return TWICE
        if (state, new.state) not in self._legal:
            return ILLEGAL
        if new.state == "half_open" and old is not None and _is_early(old, new):
            return EARLY
        if state == "half_open" and new.state != "half_open":
            return None if probe_end == {"closed": "well", "open": "failed"}[new.state] else NOT_BY_PROBE
        return NOT_FULL if state == "closed" and not has_failed else None

    def apply_shift(self, environment: Environment, shift: CircuitShift) -> Environment:
        """Return an environment after another one's write."""
        pending = environment.pending
        if pending is not None and pending.kind == "write":
            pending = pending._replace(kind="stale", to=None)
        call = environment.call
        if isinstance(call, InCall | Waiting) and call.permit is not None:
            call = call._replace(permit=_shift_permit(call.permit, shift))
        cached = environment.cached
        return environment._replace(
            seen=_shift_snapshot(environment.seen, shift),
            pending=pending,
            call=call,
            cached=_shift_permit(cached, shift) if cached else None,
            owns_lease=environment.owns_lease and not shift.generations,
            probe_end=None if shift.generations else environment.probe_end,
        )

    def pass_time(self, environment: Environment) -> Environment | None:
        """Return the environment a second later; a wait for the table is over before, and a call does not last."""
        call = environment.call
        if isinstance(call, Waiting) or (environment.pending is not None and self._are_requests_short):
            return None
        if isinstance(call, InCall):
            if call.began <= -self._longest_call:
                return None
            call = call._replace(began=call.began - SECOND, permit=_age_permit(call.permit))
        pending = environment.pending
        refresh = round(POLICY.refresh_s * SECOND)
        last = environment.last_failure
        cached = environment.cached
        return environment._replace(
            seen=_age_snapshot(environment.seen),
            local=_age_snapshot(environment.local) if environment.local else None,
            fresh_until=_age_until(environment.fresh_until),
            unreachable_since=_age(environment.unreachable_since),
            outcomes=tuple(
                (max(a - SECOND, OLDEST), max(b - SECOND, OLDEST), failed) for a, b, failed in environment.outcomes
            ),
            last_failure=None if last is None or last - SECOND <= -POLICY.window_s * SECOND else last - SECOND,
            began=_age(environment.began),
            cached=cached._replace(until=cached.until - SECOND) if cached and cached.until > SECOND else None,
            pending=pending._replace(
                asked=max(pending.asked - SECOND, -refresh), to=_age_snapshot(pending.to) if pending.to else None
            )
            if pending
            else None,
            is_exchange_new=False,
            failed_at=None if environment.failed_at is None else -SECOND,
            call=call,
        )

    def pass_time_shared(self, table: Table) -> Table:
        """Return the table a second later."""
        return table._replace(circuit=_age_snapshot(table.circuit)) if table.circuit else table

    def count_holders(self, environment: Environment, table: Table) -> int:
        """Return 1 for an environment whose call is the fleet's probe of this generation."""
        call = environment.call
        if not isinstance(call, InCall) or table.circuit is None or table.circuit.state != "half_open":
            return 0
        return int(call.permit.probe and not call.permit.local and call.permit.generation == 0)

    def is_normal(self, environment: Environment, table: Table) -> bool:
        """Return whether the circuit is closed without failures, and the environment knows it and waits for nothing."""
        circuit = table.circuit
        window = -round(POLICY.window_s * SECOND)
        is_closed = circuit is None or (circuit.state == "closed" and all(each <= window for each in circuit.failures))
        return (
            is_closed
            and environment.call is None
            and environment.pending is None
            and environment.local is None
            and environment.seen.state == "closed"
        )


def _is_early(old: Snapshot, new: Snapshot) -> bool:
    """Return whether a probe took its lease before the circuit's time, or the lease of another, was over."""
    due = old.open_until if old.state == "open" else old.lease_until
    return due is None or new.since is None or new.since < due


def _name_request(pending: RequestValue) -> str:
    if pending.kind == "read":
        return "its read"
    return f"its write ({pending.to.state})" if pending.to else "its stale write"


def _forget_since(value: Snapshot) -> Snapshot:
    """Return a circuit without the time of its beginning, which only calls of an unknown circuit are held against."""
    return value if value.since is None else value._replace(since=OLDEST)


def _age(relative: int | None) -> int | None:
    return None if relative is None else max(relative - SECOND, OLDEST)


def _age_until(relative: int | None) -> int | None:
    return None if relative is None or relative <= SECOND else relative - SECOND


def _age_snapshot(value: Snapshot) -> Snapshot:
    return value._replace(
        since=_age(value.since),
        open_until=_age(value.open_until),
        lease_until=_age(value.lease_until),
        failures=tuple(max(each - SECOND, OLDEST) for each in value.failures),
    )


def _age_permit(permit: Permit) -> Permit:
    return permit._replace(began=max(permit.began - SECOND, OLDEST)) if permit.generation is None else permit


def _shift_snapshot(value: Snapshot, shift: CircuitShift) -> Snapshot:
    if shift.generations:
        return value._replace(generation=max(value.generation - shift.generations, STALE), revision=0)
    return value._replace(revision=max(value.revision - shift.revisions, STALE)) if value.generation == 0 else value


def _shift_permit(permit: Permit, shift: CircuitShift) -> Permit:
    if permit.generation in {None, GONE} or permit.local or not shift.generations:
        return permit
    assert permit.generation is not None
    return permit._replace(generation=max(permit.generation - shift.generations, STALE))
