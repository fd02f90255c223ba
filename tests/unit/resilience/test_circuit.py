"""The circuit as a value: when it opens, and every move it makes."""

from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.resilience.circuit import (
    EMPTY,
    NEW,
    Command,
    Counts,
    Policy,
    Snapshot,
    Window,
    closed,
    commanded,
    half_opened,
    is_suspect,
    opened,
    should_open,
)
from shared.resilience.gcra import SECOND

POLICY = Policy(name="email", failures=5, failure_ratio=0.3, slow_ratio=0.5, window_s=60, open_s=30, probe_lease_s=20)
NOW = 1_795_000_000 * SECOND
SLOT = POLICY.slot(NOW)
HALF = 30 * SECOND


def window(calls: int, failures: int = 0, slow: int = 0) -> Window:
    """A window as of now."""
    return Window(SLOT, Counts(calls, failures, slow))


@pytest.mark.parametrize(
    ("counts", "opens"),
    [
        ((4, 4, 0), False),
        ((5, 5, 0), True),
        ((10, 5, 0), True),
        ((16, 5, 0), True),
        ((17, 5, 0), False),
        ((1000, 10, 0), False),
        ((1000, 299, 0), False),
        ((1000, 300, 0), True),
        ((5, 0, 5), True),
        ((4, 0, 4), False),
        ((11, 0, 5), False),
        ((1000, 499, 499), True),
        ((1000, 299, 499), False),
    ],
)
def test_it_opens_by_count_and_share_of_failures_or_of_slow_calls(counts: tuple[int, int, int], opens: bool) -> None:
    """Five failures are enough where they are three in ten; of slow calls it takes half."""
    assert should_open(POLICY, window(*counts), NOW) is opens


def test_a_window_holds_its_half_and_the_one_before() -> None:
    """Failures count for half a window at least, and for a whole one at most."""
    full = window(5, 5)
    assert should_open(POLICY, full, NOW + HALF)
    assert not should_open(POLICY, full, NOW + 2 * HALF)
    assert should_open(POLICY, Window(SLOT, Counts(2, 2), Counts(3, 3)), NOW)
    assert not should_open(POLICY, Window(SLOT, Counts(2, 2), Counts(3, 3)), NOW + HALF)


@pytest.mark.parametrize(
    ("counts", "suspect"),
    [((0, 0, 0), False), ((1, 1, 0), True), ((6, 1, 0), True), ((7, 1, 0), False), ((100, 1, 1), False),
     ((4, 0, 1), True), ((5, 0, 1), False)],
)  # fmt: skip
def test_it_is_suspect_from_half_the_share_that_opens_it(counts: tuple[int, int, int], suspect: bool) -> None:
    """After a first failure at once, and no more when enough went well."""
    assert is_suspect(POLICY, window(*counts), NOW) is suspect


counts = st.builds(Counts, st.integers(0, 20), st.integers(0, 20), st.integers(0, 20))
windows = st.builds(Window, st.integers(SLOT - 3, SLOT + 3), counts, counts)


@given(windows, st.integers(0, 4))
def test_whatever_opens_it_was_suspect(held: Window, later: int) -> None:
    """Nobody can pass unasked where the circuit may have opened."""
    now = NOW + later * HALF
    assert is_suspect(POLICY, held, now) or not should_open(POLICY, held, now)


@given(windows, windows)
def test_counts_told_now_are_all_in_the_window(held: Window, told: Window) -> None:
    """Whichever clock is ahead."""
    together = held.plus(told)
    assert together.slot == max(held.slot, told.slot)
    assert together.total == held.at(told.slot).total + told.total


@given(windows, st.integers(SLOT, SLOT + 8))
def test_a_window_only_loses_by_time(held: Window, slot: int) -> None:
    """And has nothing left two halves later."""
    later = held.at(slot)
    assert later.total.calls <= held.total.calls
    assert (later.total == Counts()) or slot < held.slot + 2


def test_a_full_turn() -> None:
    """Closed, open for the full time, half open under a lease, closed: a generation each."""
    tripped = opened(NEW, POLICY, NOW)
    assert tripped == Snapshot("open", 1, NOW, open_until=NOW + 30 * SECOND)
    assert tripped.probe_due == NOW + 30 * SECOND
    probing = half_opened(tripped, POLICY, NOW + 1, "me")
    assert probing == Snapshot("half_open", 2, NOW + 1, holder="me", lease_until=NOW + 1 + 20 * SECOND)
    assert probing.probe_due == NOW + 1 + 20 * SECOND
    assert opened(probing, POLICY, NOW + 2).open_until == NOW + 2 + 30 * SECOND
    well = closed(probing, NOW + 2)
    assert well == Snapshot("closed", 3, NOW + 2, window=EMPTY)
    assert well.probe_due is None


ALL = [
    Snapshot("closed", 4, NOW, window=window(3, 1)),
    opened(NEW, POLICY, NOW),
    half_opened(opened(NEW, POLICY, NOW), POLICY, NOW, "me"),
    commanded(NEW, "open", POLICY, NOW),
    commanded(NEW, "closed", POLICY, NOW),
]


@pytest.mark.parametrize(("seen", "command"), list(product(ALL, ("open", "closed"))))
def test_operators_hold_it_from_any_state(seen: Snapshot, command: Command) -> None:
    """In a new generation, unless it is held so already; no probe is ever due."""
    held = commanded(seen, command, POLICY, NOW)
    assert (held.state, held.forced, held.probe_due) == (command, True, None)
    assert held.generation == seen.generation + (held != seen)
    assert commanded(held, command, POLICY, NOW + 1) == held


@pytest.mark.parametrize("seen", ALL[:3])
def test_a_circuit_that_nobody_holds_is_left_as_it_is(seen: Snapshot) -> None:
    """`auto` is safe to repeat."""
    assert commanded(seen, "auto", POLICY, NOW) == seen


def test_a_circuit_that_was_held_open_lets_a_probe_through_first() -> None:
    """Nobody knows whether the service is well by now; one that was held closed goes on."""
    free = commanded(commanded(NEW, "open", POLICY, NOW), "auto", POLICY, NOW + 9)
    assert (free.state, free.forced, free.generation, free.probe_due) == ("open", False, 2, NOW)
    assert commanded(commanded(NEW, "closed", POLICY, NOW), "auto", POLICY, NOW + 9).state == "closed"
