"""A check is decided by the end of the interval that speaks against it, and names the samples it was made of."""

import random

import pytest

from stress.estimated_checks import CheckFactory, format_ranges
from stress.ledger import CallLedger, CallSample
from stress.model import CheckEvidence, Side
from stress.verdict import decide
from tests.stress.calls import make_call, make_sample, set_times


@pytest.fixture
def samples() -> list[CallSample]:
    """Return 400 calls that took 1 to 400 ms, in any order; two of them were refused."""
    order = list(range(1, 401))
    random.Random(3).shuffle(order)
    made = make_call(wanted=(201, 503))
    return [set_times(make_sample(made, 503 if n in (50, 350) else 201), sent_s=0.0, done_s=n / 1000) for n in order]


@pytest.fixture
def factory(samples: list[CallSample]) -> CheckFactory:
    """Return the maker of checks of these calls."""
    return CheckFactory(CallLedger(samples))


@pytest.mark.parametrize(
    ("low", "high", "side", "decision"),
    [
        (1, 2, "at most", "met"),
        (1, 2.1, "at most", "undecided"),
        (2, 3, "at most", "undecided"),
        (2.1, 3, "at most", "missed"),
        (2, 3, "at least", "met"),
        (1.9, 3, "at least", "undecided"),
        (1, 2, "at least", "undecided"),
        (1, 1.9, "at least", "missed"),
    ],
)
def test_the_unfavourable_end_decides(low: float, high: float, side: Side, decision: str) -> None:
    """The bar is 2; an end that lies on it meets it."""
    assert decide(low, high, 2, side) == decision


@pytest.mark.parametrize(("most", "passed", "undecided"), [(393, True, False), (380, False, True), (370, False, False)])
def test_a_percentile_is_judged_by_its_interval(
    factory: CheckFactory, samples: list[CallSample], most: float, passed: bool, undecided: bool
) -> None:
    """The 95th of 1 to 400 ms is 380, and may be 371 to 389."""
    check = factory.make_percentile_check("p95", 0.95, most, samples, "ms")
    assert (check.passed, check.undecided, check.more_samples > 0) == (passed, undecided, undecided)
    assert (check.wanted, check.found) == (f"≤ {most} ms", "380 ms (371 to 389)")
    assert check.evidence == CheckEvidence("percentile", most, percentile=0.95, samples="1-400")


def test_a_percentile_of_too_few_samples_is_no_figure(factory: CheckFactory, samples: list[CallSample]) -> None:
    """It is undecided, or missed if even so few say that; a point value is not shown either way."""
    few = [sample for sample in samples if sample.latency_ms <= 40]
    check = factory.make_percentile_check("p95", 0.95, 100, few, "ms")
    assert (check.passed, check.undecided, check.estimate, check.more_samples) == (False, True, None, 32)
    assert check.found == "40 of the 72 samples that it needs"
    slow = factory.make_percentile_check("p95", 0.95, 20, few, "ms")
    assert (slow.passed, slow.undecided, slow.estimate, slow.found) == (False, False, None, "20 of 40 beyond it")
    assert factory.make_percentile_check("p95", 0.95, 20, [], "ms").undecided


@pytest.mark.parametrize(
    ("side", "bar", "passed", "undecided"),
    [
        ("at most", 0.02, True, False),
        ("at most", 0.01, False, True),
        ("at most", 0.0005, False, False),
        ("at least", 0.0005, True, False),
        ("at least", 0.01, False, True),
        ("at least", 0.02, False, False),
    ],
)
def test_a_share_is_judged_by_its_interval(
    factory: CheckFactory, samples: list[CallSample], side: Side, bar: float, passed: bool, undecided: bool
) -> None:
    """2 of 400 may be 0.06 to 1.8 %."""
    refused = [sample for sample in samples if sample.status == 503]
    check = factory.make_share_check("refused", bar, refused, samples, side)
    assert (check.passed, check.undecided, check.more_samples > 0) == (passed, undecided, undecided)
    assert check.found == "2 of 400: 0.5 % (0.0606 to 1.79)"
    assert check.evidence is not None
    assert check.evidence.samples == "1-400"
    assert len(check.evidence.others.split()) == 2


def test_no_error_is_written_as_what_it_is_below(factory: CheckFactory) -> None:
    """Rounded away from zero; and nothing can be said of no trial."""
    check = factory.make_share_check("errors", 0.01, 0, 10_670, "at most")
    assert (check.found, check.passed) == ("0 of 10,670: below 0.03 %", True)
    assert check.evidence == CheckEvidence("share", 0.01, "at most", values=(10_670,), other_values=(0,))
    every = factory.make_share_check("served", 0.99, 2000, 2000, "at least")
    assert (every.found, every.wanted, every.passed) == ("2,000 of 2,000: above 99.8 %", "≥ 99 %", True)
    assert factory.make_share_check("errors", 0.01, 0, 100, "at most").more_samples == 199
    assert factory.make_share_check("errors", 0.01, [], [], "at most").undecided


@pytest.mark.parametrize(
    ("side", "bar", "passed", "undecided"),
    [
        ("at most", 2.5, True, False),
        ("at most", 2, False, True),
        ("at most", 1.5, False, False),
        ("at least", 1.5, True, False),
        ("at least", 2, False, True),
        ("at least", 2.5, False, False),
    ],
)
def test_a_ratio_is_judged_by_its_interval(
    factory: CheckFactory, samples: list[CallSample], side: Side, bar: float, passed: bool, undecided: bool
) -> None:
    """Values that are no call's latency stand in the evidence themselves."""
    doubled = [2 * sample.latency_ms for sample in samples]
    check = factory.make_ratio_check("p95", bar, doubled, samples, 0.95, "×", side)
    assert (check.passed, check.undecided, check.more_samples > 0) == (passed, undecided, undecided)
    assert check.found.startswith("2 × (1.9")
    assert check.evidence is not None
    assert (check.evidence.values, check.evidence.others) == (tuple(doubled), "1-400")


def test_a_ratio_of_too_few_samples_is_undecided(factory: CheckFactory, samples: list[CallSample]) -> None:
    """It says how many are missing on the smaller side."""
    check = factory.make_ratio_check("p95", 2, samples[:70], samples, 0.95, "×", "at most")
    assert (check.undecided, check.more_samples, check.found) == (True, 2, "70 of the 72 samples that it needs")


def test_statuses_must_be_exactly_those_wanted(factory: CheckFactory, samples: list[CallSample]) -> None:
    """One more, one fewer or another one fails; none of a status needs not be there."""
    assert factory.make_status_check("all", {201: 398, 503: 2, 500: 0}, samples).passed
    missed = factory.make_status_check("all", {201: 399, 503: 1}, samples)
    assert (missed.passed, missed.undecided, missed.found) == (False, False, "398 × 201, 2 × 503")
    assert not factory.make_status_check("all", {201: 400}, samples).passed


def test_a_check_of_a_call_that_is_not_in_the_ledger_is_refused(factory: CheckFactory) -> None:
    """Nobody could compute it again."""
    with pytest.raises(KeyError):
        factory.make_percentile_check("p95", 0.95, 1, [make_sample(make_call())], "ms")


def test_numbers_are_written_as_ranges() -> None:
    """The ranges are in order, whatever order the numbers came in."""
    assert format_ranges([9, 8, 3, 12, 7]) == "3 7-9 12"
    assert format_ranges([]) == ""


def test_samples_keep_their_numbers_while_others_come(samples: list[CallSample]) -> None:
    """The first has number 1, as its line has in the file of the samples."""
    ledger = CallLedger()
    for number, sample in enumerate(samples[:5], 1):
        ledger.note(sample)
        assert ledger.find_number(sample) == number
    assert [ledger.find_number(sample) for sample in samples[:5]] == [1, 2, 3, 4, 5]
