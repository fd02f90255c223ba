"""A state machine of circuit breakers on one table, each of which may pause at any request and go on later.

Every request to the table runs on its own, so any number of things happen between what an environment saw and what
it writes. Answers are lost, environments are killed with a write on the wire, operators interfere.
"""

from collections import Counter
from dataclasses import dataclass, field
from typing import ClassVar, Literal

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from shared.circuit.breaker import CircuitBreaker, CircuitOpen
from shared.circuit.local_view import CallPermit
from shared.circuit.state import CircuitPolicy, CircuitSnapshot, Command, FailureBucket
from shared.circuit.store import Request, WriteResult, force_circuit, send
from shared.units import SECOND
from tests.breakers import ManualTime, make_breaker
from tests.fakes.circuits import InMemoryCircuitStore, SteppedClient

POLICY = CircuitPolicy(
    name="email", failures=3, window_s=8, open_s=5, probe_lease_s=4, refresh_s=1, blind_s=6, slow_s=2
)
ENVIRONMENTS = 4
LEGAL = {
    ("closed", "open"),
    ("open", "half_open"),
    ("half_open", "half_open"),
    ("half_open", "closed"),
    ("half_open", "open"),
}
End = Literal["well", "failed", "slow"]


@dataclass
class BreakerEnvironment:
    """A breaker, its client of the table, and the calls it has permitted and not yet heard of."""

    breaker: CircuitBreaker
    client: SteppedClient
    permits: list[CallPermit] = field(default_factory=list)


class CheckedStore(InMemoryCircuitStore):
    """The table; every write that is made is held against what may happen."""

    def __init__(self, time: ManualTime, seen: Counter[str]) -> None:
        super().__init__()
        self.time = time
        self.happened = seen
        self.operator = False
        self.ended: Counter[tuple[int | None, End]] = Counter()
        self.probed: dict[int, End] = {}
        self.written_twice = 0

    def change(self, name: str, seen: CircuitSnapshot, to: CircuitSnapshot) -> WriteResult:
        held = self._circuits.get(name, CircuitSnapshot())
        written = super().change(name, seen, to)
        if not written.done:
            assert written.now == held, "a lost write shows what is there"
            self.happened["stale transition refused" if to.generation > seen.generation else "stale count refused"] += 1
            return written
        if to.generation == held.generation:
            self._check_count(held, to)
            return written
        assert to.generation == held.generation + 1
        assert (to.bucket, to.revision) == (FailureBucket(), 0)
        if not self.operator:
            self._check(held, to)
        return written

    def _check(self, before: CircuitSnapshot, to: CircuitSnapshot) -> None:
        assert not before.forced
        assert not to.forced
        assert (before.state, to.state) in LEGAL
        if to.state == "half_open":
            assert self.time() >= (before.open_until if before.state == "open" else before.lease_until)
        elif before.state == "half_open":
            assert (self.probed[before.generation] == "well") == (to.state == "closed"), (
                "by its probe's end, and no other's"
            )
        else:
            assert self._count_bad(before.generation) + self.written_twice >= POLICY.failures
        self.happened[f"{before.state} to {to.state}"] += 1

    def _check_count(self, before: CircuitSnapshot, to: CircuitSnapshot) -> None:
        assert (before.state, before.forced) == ("closed", False)
        assert (to.state, to.forced, to.since, to.revision) == ("closed", False, before.since, before.revision + 1)
        assert len(to.bucket.failures) <= self._count_bad(before.generation) + self.written_twice
        assert not to.bucket.is_full(POLICY), "the failure that fills it opens it"
        self.happened["counted"] += 1

    def _count_ended(self, generation: int, end: End) -> int:
        return self.ended[generation, end] + self.ended[None, end]

    def _count_bad(self, generation: int) -> int:
        return self._count_ended(generation, "failed") + self._count_ended(generation, "slow")


class BreakerMachine(RuleBasedStateMachine):
    """The schedule."""

    happened: ClassVar[Counter[str]] = Counter()

    @initialize()
    def begin(self) -> None:
        """Four environments that know nothing."""
        self.happened["schedules"] += 1
        self.time = ManualTime()
        self.table = CheckedStore(self.time, self.happened)
        self.environments = [self.start_environment() for _ in range(ENVIRONMENTS)]
        self.wire: list[Request] = []
        self.probes: set[int | None] = set()
        self.generation = 0

    def start_environment(self) -> BreakerEnvironment:
        """Return an environment that has just started."""
        client = SteppedClient(self.table)
        return BreakerEnvironment(
            make_breaker(client, policy=POLICY, now=self.time, timer=self.time.read_seconds), client
        )

    @rule(n=st.integers(0, ENVIRONMENTS - 1))
    def allow(self, n: int) -> None:
        """A call begins, or is refused."""
        environment = self.environments[n]
        try:
            permit = environment.breaker.allow()
        except CircuitOpen:
            return
        environment.permits.append(permit)
        if permit.probe and not permit.local:
            assert permit.generation not in self.probes, "each lease is one probe's"
            self.probes.add(permit.generation)
            circuit = self.table.read("email")
            assert circuit.generation != permit.generation or self.time() < circuit.lease_until, "a probe has a lease"

    @rule(n=st.integers(0, ENVIRONMENTS - 1), which=st.integers(0, 3), end=st.sampled_from(["well", "failed", "slow"]))
    def end(self, n: int, which: int, end: End) -> None:
        """A call ends, however long ago it was begun."""
        environment = self.environments[n]
        if environment.permits:
            self.report_end(environment, environment.permits.pop(which % len(environment.permits)), end)

    def report_end(self, environment: BreakerEnvironment, permit: CallPermit, end: End) -> None:
        """Report to the breaker, and note it."""
        late = (
            permit.generation is not None
            and not permit.local
            and permit.generation != self.table.read("email").generation
        )
        self.happened["late result"] += late
        if not permit.local:
            self.table.ended[permit.generation, end] += 1
        if permit.probe and not permit.local and permit.generation is not None:
            self.table.probed[permit.generation] = end
        environment.breaker.record(permit, failed=end == "failed", seconds=POLICY.slow_s if end == "slow" else 0.1)

    @rule(n=st.integers(0, ENVIRONMENTS - 1), count=st.integers(1, 3), end=st.sampled_from(["well", "failed"]))
    def make_calls(self, n: int, count: int, end: End) -> None:
        """Whole calls without a pause in between."""
        environment = self.environments[n]
        for _ in range(count):
            before = len(environment.permits)
            self.allow(n)
            environment.client.finish()
            if len(environment.permits) > before:
                self.report_end(environment, environment.permits.pop(), end)
                environment.client.finish()

    @rule(n=st.integers(0, ENVIRONMENTS - 1))
    def fail_until_open(self, n: int) -> None:
        """Make one environment fail until a closed circuit opens."""
        self.environments[n].client.finish()
        self.make_calls(n, POLICY.failures, "failed")

    @rule(n=st.integers(0, ENVIRONMENTS - 1), end=st.sampled_from(["well", "failed", None, None]))
    def probe(self, n: int, end: End | None) -> None:
        """Let one environment wait until a probe is due and begin it; the probe ends at once, or later."""
        due = self.table.read("email").probe_due
        if due is None:
            return
        self.time.advance(max(0, due - self.time()) / SECOND)
        environment = self.environments[n]
        before = len(environment.permits)
        for _ in range(3):
            if len(environment.permits) == before:
                environment.client.finish()
                self.allow(n)
        if end is not None and len(environment.permits) > before:
            self.report_end(environment, environment.permits.pop(), end)
            environment.client.finish()

    @rule(n=st.integers(0, ENVIRONMENTS - 1))
    def run_step(self, n: int) -> None:
        """Carry out one request of one environment."""
        self.environments[n].client.run_request()

    @rule(n=st.integers(0, ENVIRONMENTS - 1), made=st.booleans())
    def lose(self, n: int, made: bool) -> None:
        """The answer to a request is lost."""
        client = self.environments[n].client
        if client.request is not None:
            before = len(self.table.read("email").bucket.failures)
            client.lose(made=made)
            after = len(self.table.read("email").bucket.failures)
            # What was added and not acknowledged is written again.
            self.table.written_twice += max(0, after - before)

    @rule(n=st.integers(0, ENVIRONMENTS - 1))
    def kill(self, n: int) -> None:
        """An environment is gone; its write may still be on the wire."""
        request = self.environments[n].client.request
        if request is not None:
            self.wire.append(request)
        self.environments[n] = self.start_environment()

    @precondition(lambda self: self.wire)
    @rule(which=st.integers(0, 3))
    def apply_late_write(self, which: int) -> None:
        """A dead environment's write arrives."""
        send(self.wire.pop(which % len(self.wire)), self.table)

    @rule(seconds=st.sampled_from([0.5, 1.0, 3.0, 4.0, 5.0, 13.0]))
    def wait(self, seconds: float) -> None:
        """Time passes."""
        self.time.advance(seconds)

    @rule(command=st.sampled_from(["open", "closed", "auto", "auto"]))
    def command(self, command: Command) -> None:
        """Operators interfere."""
        self.table.operator = True
        force_circuit(self.table, POLICY, command, self.time())
        self.table.operator = False

    @invariant()
    def check_generations(self) -> None:
        """Generations only grow, and no two probes live."""
        circuit = self.table.read("email")
        assert circuit.generation >= self.generation
        self.generation = circuit.generation
        live = [
            permit
            for environment in self.environments
            for permit in environment.permits
            if permit.probe and not permit.local and permit.generation == circuit.generation
        ]
        assert len(live) <= (1 if circuit.state == "half_open" else 0)


# What a campaign must have met: schedules in which nothing happens prove nothing.
MET = (
    "closed to open", "open to half_open", "half_open to half_open", "half_open to closed", "half_open to open",
    "stale transition refused", "counted", "stale count refused", "late result",
)  # fmt: skip
