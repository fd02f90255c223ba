"""The breaker of environments that share a store: together they open, probe and close as one."""

from collections.abc import Mapping

import pytest

from shared.circuit.breaker import CircuitBreaker, CircuitOpen
from shared.circuit.state import NEW, CircuitPolicy, replace_bucket
from shared.circuit.store import StoreUnavailable, force_circuit
from shared.settings import Settings
from tests.breakers import (
    EMAIL,
    CallNotMade,
    CountingDependency,
    DependencyDown,
    ManualTime,
    make_breaker,
    raise_down,
    try_call,
)
from tests.fakes.circuits import DirectClient, InMemoryCircuitStore

FAILURES = EMAIL.failures


class BreakerEnvironments:
    """Environments on one store, at one standing time."""

    def __init__(self, policy: CircuitPolicy = EMAIL) -> None:
        self.policy = policy
        self.time = ManualTime()
        self.store = InMemoryCircuitStore()
        self.dependency = CountingDependency()
        self.events: list[tuple[str, Mapping[str, object]]] = []

    def environment(self) -> CircuitBreaker:
        return make_breaker(
            DirectClient(self.store),
            policy=self.policy,
            now=self.time,
            timer=self.time.read_seconds,
            observer=lambda event, facts: self.events.append((event, facts)),
        )

    @property
    def state(self) -> str:
        return self.store.read(self.policy.name).state

    def named(self) -> list[str]:
        """Return the events' names."""
        return [event for event, _ in self.events]


@pytest.fixture
def fleet() -> BreakerEnvironments:
    return BreakerEnvironments()


def slow_down(fleet: BreakerEnvironments, seconds: float) -> None:
    """Let the dependency take `seconds`."""
    fleet.dependency.answer = lambda: fleet.time.advance(seconds)


def count_failures(fleet: BreakerEnvironments) -> int:
    """Return how many failures count."""
    return len(fleet.store.read("email").bucket.failures)


def open_circuit_of(fleet: BreakerEnvironments) -> CircuitBreaker:
    """Return an environment that has just opened the circuit; the dependency has gone well again."""
    fleet.dependency.answer = raise_down
    environment = fleet.environment()
    for _ in range(FAILURES):
        assert try_call(environment, fleet.dependency)
    assert fleet.state == "open"
    fleet.dependency.answer = lambda: None
    return environment


def test_the_fifth_failure_of_the_fleet_opens_the_circuit_for_all(fleet: BreakerEnvironments) -> None:
    """Five environments fail once each, and the others call no more."""
    fleet.dependency.answer = raise_down
    environments = [fleet.environment() for _ in range(20)]
    assert sum(try_call(environment, fleet.dependency) for environment in environments) == FAILURES
    assert fleet.dependency.calls == FAILURES
    assert fleet.events == [("circuit_opened", {"circuit": "email", "generation": 1, "local": False})]


def test_an_open_circuit_says_when_to_come_again(fleet: BreakerEnvironments) -> None:
    """It names the probe's time, and lets no call through before."""
    environment = open_circuit_of(fleet)
    with pytest.raises(CircuitOpen) as refused:
        environment.call(fleet.dependency)
    assert (refused.value.name, refused.value.retry_after_s) == ("email", 30.0)
    assert environment.measure_wait_s() == 30.0
    fleet.time.advance(29.999)
    assert not try_call(environment, fleet.dependency)
    fleet.time.advance(0.001)
    assert environment.measure_wait_s() == 0.0
    assert try_call(environment, fleet.dependency)


def test_what_the_dependency_answers_comes_back_as_it_is(fleet: BreakerEnvironments) -> None:
    """Values and errors; an error that is an answer does not count."""
    environment = fleet.environment()
    assert environment.call(lambda: 7) == 7
    for _ in range(3 * FAILURES):
        with pytest.raises(KeyError):
            environment.call(lambda: dict[str, int]()["no such key"])
    with pytest.raises(DependencyDown):
        environment.call(raise_down)
    assert fleet.state == "closed"
    assert count_failures(fleet) == 1


@pytest.mark.parametrize("seconds", [0.0, 6.0])
def test_settings_can_take_a_circuit_out_of_use(seconds: float) -> None:
    """It stays closed: nobody can make that many failures, and no call is that slow."""
    settings = Settings.from_environ({"CIRCUITS": '{"email": {"failures": 1000000, "slow_s": 1000}}'})
    fleet = BreakerEnvironments(settings.find_circuit_policy("email"))

    def fail_in_time() -> None:
        fleet.time.advance(seconds)
        raise DependencyDown

    fleet.dependency.answer = fail_in_time
    environments = [fleet.environment() for _ in range(10)]
    assert all(try_call(environments[n % 10], fleet.dependency) for n in range(1000))
    assert (fleet.state, fleet.dependency.calls, fleet.events) == ("closed", 1000, [])


def test_one_failure_in_a_hundred_never_opens_it(fleet: BreakerEnvironments) -> None:
    """Ten environments make two thousand calls, of which twenty fail."""
    environments = [fleet.environment() for _ in range(10)]
    for n in range(2000):
        fleet.dependency.answer = raise_down if n % 100 == 99 else lambda: None
        assert try_call(environments[n % 10], fleet.dependency)
    assert fleet.state == "closed"
    assert count_failures(fleet) == 1, "the last call was a failure; the others are forgotten"


@pytest.mark.parametrize("environments", [1, 3, 10])
def test_half_of_the_calls_failing_opens_it(fleet: BreakerEnvironments, environments: int) -> None:
    """It opens though a success follows every failure."""
    fleet_of = [fleet.environment() for _ in range(environments)]
    for n in range(4 * FAILURES):
        fleet.dependency.answer = raise_down if n % 2 else lambda: None
        try_call(fleet_of[n % environments], fleet.dependency)
    assert fleet.state == "open"
    assert fleet.dependency.calls <= 4 * FAILURES - 2


def test_slow_calls_open_it(fleet: BreakerEnvironments) -> None:
    """It opens though all calls succeed; slightly faster calls do not open it."""
    environment = fleet.environment()
    slow_down(fleet, EMAIL.slow_s - 0.001)
    for _ in range(3 * FAILURES):
        assert try_call(environment, fleet.dependency)
    other = BreakerEnvironments()
    environment = other.environment()
    slow_down(other, EMAIL.slow_s)
    calls = sum(try_call(environment, other.dependency) for _ in range(3 * FAILURES))
    assert (fleet.state, other.state, calls) == ("closed", "open", FAILURES)


@pytest.mark.parametrize("successes", [60, 600, 6000])
def test_slow_calls_open_the_circuit_after_any_number_of_quick_ones(fleet: BreakerEnvironments, successes: int) -> None:
    """Slow ones and failing ones count together."""
    environment = fleet.environment()
    for _ in range(successes):
        assert try_call(environment, fleet.dependency)
        fleet.time.advance(60 / successes)
    slow_down(fleet, EMAIL.slow_s)
    assert [try_call(environment, fleet.dependency) for _ in range(3)] == [True] * 3
    fleet.dependency.answer = raise_down
    assert [try_call(environment, fleet.dependency) for _ in range(3)] == [True, True, False]


def test_failures_that_are_far_apart_do_not_open_it(fleet: BreakerEnvironments) -> None:
    """A window's worth of time between them."""
    fleet.dependency.answer = raise_down
    environment = fleet.environment()
    for _ in range(3 * FAILURES):
        assert try_call(environment, fleet.dependency)
        fleet.time.advance(EMAIL.window_s / 2)
    assert fleet.state == "closed"


def test_while_all_is_well_nothing_is_written_and_little_is_read(fleet: BreakerEnvironments) -> None:
    """A thousand calls over ten seconds: a read a second, and no write at all."""
    environment = fleet.environment()
    for _ in range(1000):
        assert try_call(environment, fleet.dependency)
        fleet.time.advance(0.01)
    assert set(fleet.store.calls) == {"read"}
    assert len(fleet.store.calls) <= 10 / EMAIL.refresh_s


def test_an_environment_in_which_all_is_well_writes_only_while_others_have_trouble(fleet: BreakerEnvironments) -> None:
    """Two successes after a failure make it forgotten, none before it does; then it is silent again."""
    well, troubled = fleet.environment(), fleet.environment()
    for _ in range(20):
        assert try_call(well, fleet.dependency)
    fleet.dependency.answer = raise_down
    assert try_call(troubled, fleet.dependency)
    fleet.dependency.answer = lambda: None
    assert count_failures(fleet) == 1
    fleet.time.advance(1)
    left = []
    for _ in range(2):
        assert try_call(well, fleet.dependency)
        left.append(fleet.store.read("email").bucket)
    assert [(len(bucket.failures), bucket.leaked) for bucket in left] == [(1, 1), (0, 0)]
    fleet.store.calls.clear()
    for _ in range(10):
        assert try_call(well, fleet.dependency)
        fleet.time.advance(1)
    assert set(fleet.store.calls) == {"read"}


def test_one_probe_decides_and_the_others_wait(fleet: BreakerEnvironments) -> None:
    """A success closes the circuit for all."""
    open_circuit_of(fleet)
    fleet.time.advance(30)
    prober, other = fleet.environment(), fleet.environment()
    permit = prober.allow()
    assert permit.probe
    with pytest.raises(CircuitOpen) as refused:
        other.allow()
    assert refused.value.retry_after_s == 5.0
    assert other.measure_wait_s() == 5.0  # not for all of the lease, which outlasts the longest call
    assert fleet.state == "half_open"
    prober.record(permit, failed=False, seconds=0.1)
    assert fleet.state == "closed"
    fleet.time.advance(1)
    assert try_call(other, fleet.dependency)
    assert fleet.named() == ["circuit_opened", "circuit_half_opened", "circuit_closed"]


@pytest.mark.parametrize(("failed", "seconds"), [(True, 0.1), (False, EMAIL.slow_s)])
def test_a_probe_that_fails_or_is_slow_opens_it_again_for_the_full_time(
    fleet: BreakerEnvironments, failed: bool, seconds: float
) -> None:
    """The time begins at the end of the probe."""
    open_circuit_of(fleet)
    fleet.time.advance(30)
    environment = fleet.environment()
    permit = environment.allow()
    fleet.time.advance(7)
    environment.record(permit, failed=failed, seconds=seconds)
    assert fleet.state == "open"
    assert environment.measure_wait_s() == 30.0


def test_a_probe_that_is_refused_was_answered(fleet: BreakerEnvironments) -> None:
    """A refusal shows that the service works."""
    open_circuit_of(fleet)
    fleet.time.advance(30)
    with pytest.raises(ValueError, match="no such address"):
        fleet.environment().call(lambda: (_ for _ in ()).throw(ValueError("no such address")))
    assert fleet.state == "closed"


def raise_not_made() -> None:
    raise CallNotMade


def test_a_call_that_was_not_made_says_nothing_of_the_dependency(fleet: BreakerEnvironments) -> None:
    """The caller's own time was up: it opens nothing, and as a probe closes nothing; the next one has its lease."""
    environment = fleet.environment()
    for _ in range(3 * FAILURES):
        with pytest.raises(CallNotMade):
            environment.call(raise_not_made)
    assert (fleet.state, count_failures(fleet)) == ("closed", 0)
    open_circuit_of(fleet)
    fleet.time.advance(30)
    with pytest.raises(CallNotMade):
        fleet.environment().call(raise_not_made)
    assert fleet.state == "half_open"
    fleet.time.advance(EMAIL.probe_lease_s)
    assert try_call(fleet.environment(), fleet.dependency)
    assert fleet.state == "closed"


def test_a_lease_that_ran_out_is_taken_over_and_the_zombie_changes_nothing(fleet: BreakerEnvironments) -> None:
    """The former holder's success or failure does not count, and its write is refused."""
    open_circuit_of(fleet)
    fleet.time.advance(30)
    zombies, successor = [fleet.environment(), fleet.environment()], fleet.environment()
    permits = []
    for zombie in zombies:
        permits.append(zombie.allow())
        fleet.time.advance(EMAIL.probe_lease_s)
    permit = successor.allow()
    held = fleet.store.read("email")
    for zombie, old, failed in zip(zombies, permits, (True, False), strict=True):
        zombie.record(old, failed=failed, seconds=0.1)
    assert fleet.store.read("email") == held
    successor.record(permit, failed=False, seconds=0.1)
    assert fleet.state == "closed"


def test_a_result_from_before_the_circuit_opened_does_not_count_after_it_has_closed(fleet: BreakerEnvironments) -> None:
    """The call takes until the circuit has opened, tried a probe and closed."""
    late = fleet.environment()
    permits = [late.allow() for _ in range(2 * FAILURES)]
    environment = open_circuit_of(fleet)
    fleet.time.advance(30)
    assert try_call(environment, fleet.dependency)
    assert fleet.state == "closed"
    fleet.time.advance(1)
    assert try_call(late, fleet.dependency)
    for permit in permits:
        late.record(permit, failed=True, seconds=0.1)
    assert fleet.state == "closed"
    assert count_failures(fleet) == 0
    assert fleet.named().count("circuit_result_ignored") == 2 * FAILURES


def test_successes_from_before_the_circuit_opened_do_not_count_after_it_has_closed(fleet: BreakerEnvironments) -> None:
    """They were never written, and would hide a new outage."""
    well = fleet.environment()
    for _ in range(50):
        assert try_call(well, fleet.dependency)
    environment = open_circuit_of(fleet)
    fleet.time.advance(30)
    assert try_call(environment, fleet.dependency)
    fleet.time.advance(1)
    fleet.dependency.answer = raise_down
    assert try_call(well, fleet.dependency)
    assert count_failures(fleet) == 1


def test_a_bucket_left_full_by_a_dead_environment_is_judged_by_the_next(fleet: BreakerEnvironments) -> None:
    """Its threshold was higher, as in a deploy that lowers it."""
    first = fleet.environment()
    fleet.dependency.answer = raise_down
    for _ in range(FAILURES - 1):
        try_call(first, fleet.dependency)
    seen = fleet.store.read("email")
    fleet.store.change("email", seen, replace_bucket(seen, seen.bucket.add(fleet.time())))
    assert fleet.state == "closed"
    assert not try_call(fleet.environment(), fleet.dependency)
    assert fleet.state == "open"


def test_operators_hold_it_open_and_closed(fleet: BreakerEnvironments) -> None:
    """Calls don't change that; environments know it within the refresh interval."""
    environment = fleet.environment()
    assert try_call(environment, fleet.dependency)
    force_circuit(fleet.store, EMAIL, "open", fleet.time())
    fleet.time.advance(EMAIL.refresh_s)
    assert not try_call(environment, fleet.dependency)
    fleet.time.advance(10 * EMAIL.open_s)
    assert not try_call(environment, fleet.dependency)
    assert environment.measure_wait_s() == EMAIL.open_s
    force_circuit(fleet.store, EMAIL, "closed", fleet.time())
    fleet.time.advance(EMAIL.refresh_s)
    fleet.dependency.answer = raise_down
    fleet.store.calls.clear()
    for _ in range(10 * FAILURES):
        assert try_call(environment, fleet.dependency)
    assert set(fleet.store.calls) == {"read"}
    force_circuit(fleet.store, EMAIL, "auto", fleet.time())
    fleet.time.advance(EMAIL.refresh_s)
    assert sum(try_call(environment, fleet.dependency) for _ in range(10 * FAILURES)) <= FAILURES


# ---- the store out of reach -----------------------------------------------------------------------------------------
def test_a_closed_circuit_goes_on_serving_without_its_store(fleet: BreakerEnvironments) -> None:
    """Known or not known before."""
    known = fleet.environment()
    assert try_call(known, fleet.dependency)
    fleet.store.reachable = False
    for environment in (known, fleet.environment()):
        for _ in range(100):
            assert try_call(environment, fleet.dependency)
            fleet.time.advance(0.1)
    assert "circuit_store_unavailable" in fleet.named()


@pytest.mark.parametrize("successes", [0, 60, 600, 6000])
def test_an_environment_on_its_own_still_stops_at_the_threshold(fleet: BreakerEnvironments, successes: int) -> None:
    """It stops for the open time, whatever went well before; then it probes by itself and goes by the result."""
    fleet.store.reachable = False
    environment = fleet.environment()
    for _ in range(successes):
        assert try_call(environment, fleet.dependency)
        fleet.time.advance(60 / successes)
    fleet.dependency.answer = raise_down
    assert sum(try_call(environment, fleet.dependency) for _ in range(20)) == FAILURES
    assert environment.measure_wait_s() == 30.0
    for _ in range(3):
        fleet.time.advance(30)
        assert sum(try_call(environment, fleet.dependency) for _ in range(20)) == 1
    fleet.dependency.answer = lambda: None
    fleet.time.advance(30)
    assert all(try_call(environment, fleet.dependency) for _ in range(20))
    assert fleet.store.transitions == []


def test_failures_that_are_far_apart_do_not_open_it_without_its_store(fleet: BreakerEnvironments) -> None:
    """They are forgotten here as they are in the store."""
    fleet.store.reachable = False
    fleet.dependency.answer = raise_down
    environment = fleet.environment()
    for _ in range(3 * FAILURES):
        assert try_call(environment, fleet.dependency)
        fleet.time.advance(EMAIL.window_s / 2)


def test_the_breaker_writes_what_it_saw_alone_when_the_store_is_back(fleet: BreakerEnvironments) -> None:
    """Its failures open the circuit for all."""
    fleet.store.reachable = False
    fleet.dependency.answer = raise_down
    environment = fleet.environment()
    for _ in range(FAILURES):
        try_call(environment, fleet.dependency)
    fleet.store.reachable = True
    fleet.time.advance(1)
    assert not try_call(environment, fleet.dependency)
    assert fleet.state == "open"
    assert not try_call(fleet.environment(), fleet.dependency)


def test_an_open_circuit_stays_open_without_its_store_for_a_stated_time(fleet: BreakerEnvironments) -> None:
    """Beyond the probe's time, counted from when the store was first missed; then one probe in each open time."""
    environment = open_circuit_of(fleet)
    fleet.dependency = CountingDependency(raise_down)
    fleet.store.reachable = False
    fleet.time.advance(EMAIL.open_s + 100)
    assert not try_call(environment, fleet.dependency)
    fleet.time.advance(EMAIL.blind_s - 0.001)
    assert not try_call(environment, fleet.dependency)
    fleet.time.advance(0.001)
    for probes in (1, 2, 3):
        assert sum(try_call(environment, fleet.dependency) for _ in range(20)) == 1
        assert fleet.dependency.calls == probes
        fleet.time.advance(EMAIL.open_s)


def test_a_store_that_was_late_once_is_asked_again_soon(fleet: BreakerEnvironments) -> None:
    """A store that was late once is back at once: what waits must not wait for as long as one that is gone."""
    environment = open_circuit_of(fleet)
    fleet.store.reachable = False
    fleet.time.advance(1)
    assert not try_call(environment, fleet.dependency)
    assert environment.measure_wait_s() == EMAIL.open_s - 1
    fleet.time.advance(EMAIL.open_s - 1)
    assert environment.measure_wait_s() == 5.0
    fleet.store.reachable = True
    fleet.time.advance(1)
    assert environment.measure_wait_s() == 0.0


def test_a_probe_that_succeeds_without_the_store_serves_this_environment(fleet: BreakerEnvironments) -> None:
    """The fleet's circuit counts again when the store is back."""
    environment = open_circuit_of(fleet)
    fleet.store.reachable = False
    assert not try_call(environment, fleet.dependency)
    fleet.time.advance(EMAIL.open_s + EMAIL.blind_s)
    assert not try_call(environment, fleet.dependency)
    fleet.time.advance(EMAIL.blind_s)
    assert all(try_call(environment, fleet.dependency) for _ in range(10))
    fleet.store.reachable = True
    assert try_call(environment, fleet.dependency), "as the fleet's one probe, which is due"
    assert fleet.state == "closed"


def test_a_circuit_that_operators_hold_open_stays_open_without_its_store(fleet: BreakerEnvironments) -> None:
    """No time ends it: only they do."""
    environment = fleet.environment()
    force_circuit(fleet.store, EMAIL, "open", fleet.time())
    assert not try_call(environment, fleet.dependency)
    fleet.store.reachable = False
    for _ in range(20):
        fleet.time.advance(100)
        assert not try_call(environment, fleet.dependency)


def test_a_probes_success_that_could_not_be_written_serves_this_environment(fleet: BreakerEnvironments) -> None:
    """The fleet's lease runs out, and another probes."""
    open_circuit_of(fleet)
    fleet.time.advance(30)
    environment = fleet.environment()
    permit = environment.allow()
    fleet.store.reachable = False
    environment.record(permit, failed=False, seconds=0.1)
    assert try_call(environment, fleet.dependency)
    fleet.store.reachable = True
    assert fleet.state == "half_open"
    assert not try_call(fleet.environment(), fleet.dependency)
    fleet.time.advance(EMAIL.probe_lease_s)
    assert try_call(fleet.environment(), fleet.dependency)
    assert fleet.state == "closed"


def test_a_lease_whose_answer_was_lost_is_used_by_the_next_call(
    fleet: BreakerEnvironments, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The write was made: the circuit would otherwise wait for a probe that nobody makes."""
    environment = open_circuit_of(fleet)
    fleet.time.advance(30)
    change = fleet.store.change

    def deaf(*arguments: object) -> object:
        change(*arguments)  # type: ignore[arg-type]
        raise StoreUnavailable("ReadTimeoutError")

    monkeypatch.setattr(fleet.store, "change", deaf)
    assert not try_call(environment, fleet.dependency)
    assert fleet.state == "half_open"
    monkeypatch.setattr(fleet.store, "change", change)
    fleet.time.advance(1)
    assert environment.measure_wait_s() == 0.0
    assert try_call(environment, fleet.dependency)
    assert fleet.state == "closed"


def test_a_table_that_was_lost_is_a_closed_circuit(fleet: BreakerEnvironments) -> None:
    """States are allowed to be lost: the fleet counts anew."""
    environment = open_circuit_of(fleet)
    fleet.store._circuits.clear()
    fleet.time.advance(1)
    assert try_call(environment, fleet.dependency)
    assert fleet.store.read("email") == NEW
