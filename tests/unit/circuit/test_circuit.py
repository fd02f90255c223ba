"""The circuit as a value: when it opens, and every transition it makes."""

from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.circuit.state import (
    EMPTY,
    MOST_FAILURES,
    NEW,
    CallOutcome,
    CircuitPolicy,
    CircuitSnapshot,
    Command,
    FailureBucket,
    apply_command,
    close_circuit,
    half_open_circuit,
    is_due_to_open,
    is_suspect,
    open_circuit,
)
from shared.units import SECOND

POLICY = CircuitPolicy(name="email", failures=5, successes_per_failure=2, window_s=600, open_s=30, probe_lease_s=20)
NOW = 1_795_000_000 * SECOND
CALL = SECOND // 10


def fill_bucket(ends: str, before: FailureBucket = EMPTY) -> FailureBucket:
    """Return the bucket after calls one after the other: f failed, s succeeded."""
    return before.add_outcomes(POLICY, make_outcomes(ends))


def make_outcomes(ends: str) -> list[CallOutcome]:
    """Calls without a pause in between, from now."""
    return [CallOutcome(NOW + n * CALL, NOW + (n + 1) * CALL, end == "f") for n, end in enumerate(ends)]


def measure_level(bucket: FailureBucket) -> float:
    """Return how many failures count; one against which a success was counted is half a failure."""
    return len(bucket.failures) - bucket.leaked / POLICY.successes_per_failure


@pytest.mark.parametrize(
    ("ends", "expected"),
    [
        ("ffff", 4),
        ("fffff", 5),
        ("ffffss", 3),
        ("ffffsss", 2.5),
        ("fs" * 9, 4.5),
        ("fs" * 8 + "f", 5),
        ("ssfff", 3),
        ("f" + "s" * 19, 0),
        ("f" * 4 + "s" * 100 + "fff", 3),
    ],
)
def test_a_failure_counts_until_two_successes_have_come_after_it(ends: str, expected: float) -> None:
    """No success before it changes that, and no number of them is kept for later."""
    assert measure_level(fill_bucket(ends)) == expected
    assert is_due_to_open(POLICY, fill_bucket(ends), NOW) is (expected >= POLICY.failures)


@pytest.mark.parametrize("successes", [0, 1, 60, 600, 6000])
def test_five_failures_fill_it_whatever_came_before(successes: int) -> None:
    """Four do not."""
    before = fill_bucket("s" * successes)
    assert not is_due_to_open(POLICY, fill_bucket("ffff", before), NOW)
    assert is_due_to_open(POLICY, fill_bucket("fffff", before), NOW)
    assert is_due_to_open(POLICY, fill_bucket("s" * successes + "fffff"), NOW)


def test_five_failures_spread_over_ninety_five_successes_do_not_fill_it() -> None:
    """This holds however often it is repeated."""
    assert measure_level(fill_bucket(("f" + "s" * 19) * 100)) == 0
    assert measure_level(fill_bucket(("s" * 19 + "f") * 100)) == 1


def test_a_failure_is_forgotten_by_time() -> None:
    """The successes counted against it are forgotten with it."""
    held = FailureBucket((NOW - 600 * SECOND, NOW - 599 * SECOND), leaked=1)
    assert held.drop_old_failures(POLICY, NOW) == FailureBucket((NOW - 599 * SECOND,))
    assert held.drop_old_failures(POLICY, NOW - SECOND) == held
    assert not is_suspect(POLICY, held, NOW + SECOND)
    hourly = tuple(NOW + n * 720 * SECOND for n in range(5))
    assert not is_due_to_open(POLICY, FailureBucket(hourly), hourly[-1])


def test_a_success_counts_only_against_failures_that_ended_before_it() -> None:
    """An outcome that is written late says nothing about later ones."""
    outcomes = [CallOutcome(NOW, NOW + 5, failed=False)] * 4
    assert FailureBucket((NOW + 5, NOW + 6)).add_outcomes(POLICY, outcomes) == FailureBucket((NOW + 5, NOW + 6))
    assert FailureBucket((NOW + 4, NOW + 6)).add_outcomes(POLICY, outcomes) == FailureBucket((NOW + 6,))


def test_a_first_failure_after_successes_cancels_only_failures_of_others_that_ended_before_it_began() -> None:
    """It is only if they had ended when it began: failures at the same time are an outage."""
    others = FailureBucket((NOW + 10,))
    well = [CallOutcome(NOW, NOW + 5, failed=False)] * 40
    after_it, beside_it = CallOutcome(NOW + 11, NOW + 20, failed=True), CallOutcome(NOW + 10, NOW + 20, failed=True)
    assert others.add_outcomes(POLICY, [*well, after_it]) == FailureBucket((NOW + 20,))
    assert others.add_outcomes(POLICY, [*well, beside_it]) == FailureBucket((NOW + 10, NOW + 20))
    assert others.add_outcomes(POLICY, [*well, after_it, after_it]) == FailureBucket((NOW + 20, NOW + 20))


def test_a_bucket_keeps_as_many_failures_as_an_item_may_hold() -> None:
    """The latest."""
    full = EMPTY
    for n in range(MOST_FAILURES + 7):
        full = full.add(NOW + n)
    assert full.failures == tuple(NOW + n for n in range(7, MOST_FAILURES + 7))


moments = st.integers(NOW, NOW + 50)
calls = st.builds(lambda began, lasted, failed: CallOutcome(began, began + lasted, failed), moments, st.integers(0, 9),
                  st.booleans())  # fmt: skip
buckets = st.builds(
    lambda failures, leaked: FailureBucket(tuple(sorted(failures)), leaked if failures else 0),
    st.lists(moments, max_size=9),
    st.integers(0, 1),
)


@given(buckets, moments, moments)
def test_a_failure_never_lowers_the_level(held: FailureBucket, began: int, well: int) -> None:
    """Successes from before all failures that count change nothing."""
    start = min((well, *held.failures))
    outcomes = [CallOutcome(start, start, failed=False)] * 5 + [CallOutcome(began, began + 60, failed=True)]
    assert measure_level(held) <= measure_level(held.add_outcomes(POLICY, outcomes)) <= measure_level(held) + 1


@given(buckets, st.lists(calls, max_size=20))
def test_a_bucket_holds_no_failure_that_never_was(held: FailureBucket, outcomes: list[CallOutcome]) -> None:
    """Its failures are in order and none is negative, and a success never adds one."""
    after = held.add_outcomes(POLICY, outcomes)
    failed = sorted([*held.failures, *(call.ended for call in outcomes if call.failed)])
    assert list(after.failures) == sorted(after.failures)
    assert all(failed.count(each) >= after.failures.count(each) for each in after.failures)
    assert 0 <= after.leaked < POLICY.successes_per_failure
    assert after.failures or not after.leaked


@given(buckets, st.integers(0, 700 * SECOND))
def test_whatever_opens_it_was_suspect(held: FailureBucket, later: int) -> None:
    """Nobody can pass unasked where the circuit may have opened."""
    assert is_suspect(POLICY, held, NOW + later) or not is_due_to_open(POLICY, held, NOW + later)


def test_a_circuit_opens_probes_and_closes() -> None:
    """Closed, open for the full time, half open under a lease, closed: a generation each."""
    tripped = open_circuit(NEW, POLICY, NOW)
    assert tripped == CircuitSnapshot("open", 1, NOW, open_until=NOW + 30 * SECOND)
    assert tripped.probe_due == NOW + 30 * SECOND
    probing = half_open_circuit(tripped, POLICY, NOW + 1, "me")
    assert probing == CircuitSnapshot("half_open", 2, NOW + 1, holder="me", lease_until=NOW + 1 + 20 * SECOND)
    assert probing.probe_due == NOW + 1 + 20 * SECOND
    assert open_circuit(probing, POLICY, NOW + 2).open_until == NOW + 2 + 30 * SECOND
    well = close_circuit(probing, NOW + 2)
    assert well == CircuitSnapshot("closed", 3, NOW + 2, bucket=EMPTY)
    assert well.probe_due is None


ALL = [
    CircuitSnapshot("closed", 4, NOW, bucket=FailureBucket((NOW,), 1), revision=3),
    open_circuit(NEW, POLICY, NOW),
    half_open_circuit(open_circuit(NEW, POLICY, NOW), POLICY, NOW, "me"),
    apply_command(NEW, "open", POLICY, NOW),
    apply_command(NEW, "closed", POLICY, NOW),
]


@pytest.mark.parametrize(("seen", "command"), list(product(ALL, ("open", "closed"))))
def test_operators_hold_it_from_any_state(seen: CircuitSnapshot, command: Command) -> None:
    """A new generation begins, unless it is held so already; no probe is ever due."""
    held = apply_command(seen, command, POLICY, NOW)
    assert (held.state, held.forced, held.probe_due) == (command, True, None)
    assert held.generation == seen.generation + (held != seen)
    assert apply_command(held, command, POLICY, NOW + 1) == held


@pytest.mark.parametrize("seen", ALL[:3])
def test_a_circuit_that_nobody_holds_is_left_as_it_is(seen: CircuitSnapshot) -> None:
    """`auto` is safe to repeat."""
    assert apply_command(seen, "auto", POLICY, NOW) == seen


def test_a_circuit_that_was_held_open_lets_a_probe_through_first() -> None:
    """Nobody knows whether the service is well by now; one that was held closed goes on."""
    free = apply_command(apply_command(NEW, "open", POLICY, NOW), "auto", POLICY, NOW + 9)
    assert (free.state, free.forced, free.generation, free.probe_due) == ("open", False, 2, NOW)
    assert apply_command(apply_command(NEW, "closed", POLICY, NOW), "auto", POLICY, NOW + 9).state == "closed"
