"""Fleets of environments that call one dependency in simulated time, one call at a time in each."""

from random import Random

from shared.circuit.breaker import CircuitBreaker, CircuitOpen
from shared.circuit.local_view import CallPermit
from shared.units import SECOND
from tests.breakers import EMAIL, ManualTime, make_breaker
from tests.fakes.circuits import DirectClient, InMemoryCircuitStore


class SimulatedEnvironments:
    """`reached` counts the calls that were begun, `under_way` has those that have not ended."""

    def __init__(self, size: int) -> None:
        self.time = ManualTime()
        self.store = InMemoryCircuitStore()
        self.environments = [self._make_environment() for _ in range(size)]
        self.under_way: dict[int, tuple[CallPermit, float]] = {}
        self.reached = 0

    def _make_environment(self) -> CircuitBreaker:
        return make_breaker(DirectClient(self.store), now=self.time, timer=self.time.read_seconds)

    @property
    def state(self) -> str:
        """The fleet's circuit."""
        return self.store.read(EMAIL.name).state

    def count_unaware(self) -> int:
        """Count the environments that would call without asking: they saw all well within the refresh interval."""
        return sum(each._view.is_fresh(self.time()) for each in self.environments)

    def begin(self, n: int) -> bool:
        """Begin a call, and return whether the circuit let it pass."""
        try:
            permit = self.environments[n].allow()
        except CircuitOpen:
            return False
        self.under_way[n] = permit, self.time.read_seconds()
        self.reached += 1
        return True

    def end(self, n: int, *, failed: bool) -> None:
        """End the environment's call."""
        permit, began = self.under_way.pop(n)
        self.environments[n].record(permit, failed=failed, seconds=self.time.read_seconds() - began)

    def call(self, n: int, *, failed: bool, lasting_s: float = 0.01) -> bool:
        """Make a whole call, and return whether the circuit let it pass."""
        if not self.begin(n):
            return False
        self.time.advance(lasting_s)
        self.end(n, failed=failed)
        return True

    def serve_for_a_minute(self, successes: int) -> None:
        """Make `successes` good calls, evenly spread over a minute and over the environments."""
        for n in range(successes):
            self.call(n % len(self.environments), failed=False, lasting_s=min(0.01, 30 / successes))
            self.time.advance(60 / successes - min(0.01, 30 / successes))

    def count_calls_until_open(
        self, share: float, calls: int, *, per_s: float, lasting_s: float, random: Random
    ) -> int | None:
        """Make calls of which that share fails, at random times and in random environments; None if it never opens.

        A call for which no environment is free is not made.
        """
        arrival = self.time.read_seconds()
        ends: dict[int, float] = {}
        while self.reached < calls:
            arrival += random.expovariate(per_s)
            for n, at in sorted(ends.items(), key=lambda end: end[1]):
                if at <= arrival:
                    self._move_on(at)
                    self.end(n, failed=random.random() < share)
                    del ends[n]
            self._move_on(arrival)
            free = [n for n in range(len(self.environments)) if n not in ends]
            if free and not self.begin(n := random.choice(free)):
                return self.reached
            if free:
                ends[n] = arrival + lasting_s * random.uniform(0.5, 1.5)
        return None

    def _move_on(self, to_s: float) -> None:
        self.time.micros = max(self.time.micros, round(to_s * SECOND))
