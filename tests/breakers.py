"""Circuit breakers as execution environments have them, and dependencies that fail when a test asks for it."""

import itertools
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from threading import Lock

from shared.aws.circuit_protected import FAILURES, NO_CALLS
from shared.circuit.breaker import CircuitBreaker, CircuitOpen
from shared.circuit.client import CircuitStoreClient, StoreClient
from shared.circuit.state import CircuitPolicy
from shared.circuit.store import CircuitStore
from shared.clock import read_epoch_micros, read_monotonic
from shared.units import SECOND
from tests.fakes.circuits import DirectClient

EMAIL = CircuitPolicy(name="email", open_s=30.0)
# A machine that runs other tests beside is slower than any table: what is counted here is not how soon it answers.
GENEROUS_S = 20.0
START = 1_795_000_000 * SECOND

_tokens = itertools.count(1)


class DependencyDown(Exception):
    """The dependency does not answer."""


class CallNotMade(Exception):
    """The dependency was not called after all."""


class ManualTime:
    """Epoch microseconds, and seconds for a timer, that stand still until a test advances them."""

    def __init__(self, micros: int = START) -> None:
        self.micros = micros

    def __call__(self) -> int:
        return self.micros

    def read_seconds(self) -> float:
        return self.micros / SECOND

    def advance(self, seconds: float) -> None:
        """Advance the time."""
        self.micros += round(seconds * SECOND)


@dataclass
class CountingDependency:
    """Counts the calls that reach it; `answer` is called for each and may raise."""

    answer: Callable[[], None] = lambda: None
    calls: int = 0
    _lock: Lock = field(default_factory=Lock)

    def __call__(self) -> None:
        with self._lock:
            self.calls += 1
        self.answer()


def raise_down() -> None:
    """Fail as a dead dependency does."""
    raise DependencyDown


def ignore_event(event: str, facts: Mapping[str, object]) -> None:
    """An observer that looks away."""


def make_breaker(
    client: StoreClient,
    *,
    policy: CircuitPolicy = EMAIL,
    now: Callable[[], int] = read_epoch_micros,
    timer: Callable[[], float] = read_monotonic,
    observer: Callable[[str, Mapping[str, object]], None] = ignore_event,
    failures: tuple[type[Exception], ...] = (DependencyDown,),
    no_calls: tuple[type[Exception], ...] = (CallNotMade,),
) -> CircuitBreaker:
    """Return an environment's breaker; tokens differ by number."""
    return CircuitBreaker(
        policy,
        client,
        observer=observer,
        now=now,
        timer=timer,
        new_token=lambda: f"token-{next(_tokens)}",
        failures=failures,
        no_calls=no_calls,
    )


def make_service_breaker(store: CircuitStore, time: ManualTime, policy: CircuitPolicy) -> CircuitBreaker:
    """Return a breaker for a service of AWS as production wires it, but for its clock and its store."""
    client = DirectClient(store)
    return make_breaker(client, policy=policy, now=time, timer=time.read_seconds, failures=FAILURES, no_calls=NO_CALLS)


def make_environment(
    store: CircuitStore, *, policy: CircuitPolicy = EMAIL, patience_s: float = GENEROUS_S
) -> CircuitBreaker:
    """Return a breaker as production wires it, in real time, that waits for its store as long as the machine needs."""
    return make_breaker(CircuitStoreClient(store, timer=read_monotonic, patience_s=patience_s), policy=policy)


def try_call(breaker: CircuitBreaker, dependency: Callable[[], None]) -> bool:
    """Make a call; whether it was let through."""
    try:
        with suppress(DependencyDown):
            breaker.call(dependency)
    except CircuitOpen:
        return False
    return True
