"""Checks that an interval decides, and the evidence from which anyone can decide them again."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

from stress import estimates
from stress.estimates import TooFewSamples
from stress.ledger import CallLedger, CallSample
from stress.model import Assertion, CheckEvidence, Estimate, Side
from stress.report.formatting import format_estimate, format_number, format_share
from stress.verdict import Decision, decide
from stress.wording import describe_value

Measured = Sequence[float] | Sequence[CallSample]  # values, or calls: then their latencies in milliseconds
Counted = int | Sequence[CallSample]  # a number, or the calls themselves
SIGNS: dict[Side, str] = {"at most": "≤", "at least": "≥"}


class CheckFactory:
    """Makes the checks of calls that one ledger holds."""

    def __init__(self, ledger: CallLedger) -> None:
        """Keep the ledger, which knows the samples' numbers."""
        self._ledger = ledger

    def make_status_check(self, name: str, wanted: Mapping[int, int], samples: Sequence[CallSample]) -> Assertion:
        """Return the check that the calls had the statuses of `wanted`, each as often as it says, and no others."""
        expected = {status: count for status, count in sorted(wanted.items()) if count}
        found = dict(sorted(Counter(sample.status for sample in samples).items()))
        evidence = CheckEvidence("statuses", wanted=expected, samples=self._number(samples))
        return Assertion(name, found == expected, describe_value(expected), describe_value(found), evidence=evidence)

    def make_share_check(self, name: str, bar: float, events: Counted, trials: Counted, side: Side) -> Assertion:
        """Return the check of a share of calls, by its exact interval."""
        event_count, trial_count = _count(events), _count(trials)
        if isinstance(events, int) or isinstance(trials, int):
            evidence = CheckEvidence("share", bar, side, values=(trial_count,), other_values=(event_count,))
        else:
            evidence = CheckEvidence("share", bar, side, samples=self._number(trials), others=self._number(events))
        wanted = f"{SIGNS[side]} {format_number(100 * bar)} %"
        found = estimates.estimate_share(event_count, trial_count)
        if isinstance(found, TooFewSamples):
            return _make_unmeasured(name, wanted, found, evidence)
        decision, more = decide(found.low, found.high, bar, side), 0
        if decision == "undecided" and side == "at most":
            more = estimates.count_more_for_share(bar, event_count, trial_count)
        elif decision == "undecided":
            more = estimates.count_more_for_share(1 - bar, trial_count - event_count, trial_count)
        return _make_decided(name, wanted, format_share(event_count, found), found, evidence, decision, more)

    def make_percentile_check(self, name: str, share: float, most: float, measured: Measured, unit: str) -> Assertion:
        """Return the check that a percentile is at most `most`, by an interval that holds for any distribution."""
        values = _read_values(measured)
        evidence = CheckEvidence(
            "percentile",
            most,
            percentile=share,
            samples=self._number_measured(measured),
            values=_list_uncalled(measured),
        )
        wanted = f"≤ {format_number(most)} {unit}".strip()
        beyond = sum(value > most for value in values)
        found = estimates.estimate_percentile(values, share)
        decision = decide(*estimates.bound_percentile(values, share), most, "at most")
        more = estimates.count_more_for_share(1 - share, beyond, len(values)) if decision == "undecided" else 0
        if isinstance(found, TooFewSamples):
            if decision == "undecided":
                return _make_unmeasured(name, wanted, found, evidence, max(more, found.more))
            text = f"{format_number(beyond)} of {format_number(len(values))} beyond it"
            return Assertion(name, passed=False, wanted=wanted, found=text, evidence=evidence)
        return _make_decided(name, wanted, format_estimate(found, unit), found, evidence, decision, more)

    def make_ratio_check(
        self, name: str, bar: float, numerator: Measured, denominator: Measured, share: float, unit: str, side: Side
    ) -> Assertion:
        """Return the check of the ratio of one percentile of two sets of samples, by a bootstrap's interval."""
        evidence = CheckEvidence(
            "ratio",
            bar,
            side,
            share,
            samples=self._number_measured(numerator),
            others=self._number_measured(denominator),
            values=_list_uncalled(numerator),
            other_values=_list_uncalled(denominator),
        )
        wanted = f"{SIGNS[side]} {format_number(bar)} {unit}".strip()
        found = estimates.estimate_percentile_ratio(_read_values(numerator), _read_values(denominator), share)
        if isinstance(found, TooFewSamples):
            return _make_unmeasured(name, wanted, found, evidence)
        decision = decide(found.low, found.high, bar, side)
        more = estimates.count_more_for_ratio(bar, found) if decision == "undecided" else 0
        return _make_decided(name, wanted, format_estimate(found, unit), found, evidence, decision, more)

    def _number(self, samples: Iterable[CallSample]) -> str:
        return format_ranges(self._ledger.find_number(sample) for sample in samples)

    def _number_measured(self, measured: Measured) -> str:
        return self._number(each for each in measured if isinstance(each, CallSample))


def format_ranges(numbers: Iterable[int]) -> str:
    """Return numbers in order, as ranges: 3 7-12."""
    ranges: list[list[int]] = []
    for number in sorted(numbers):
        if ranges and number == ranges[-1][1] + 1:
            ranges[-1][1] = number
        else:
            ranges.append([number, number])
    return " ".join(f"{first}-{last}" if last > first else str(first) for first, last in ranges)


def _count(counted: Counted) -> int:
    return counted if isinstance(counted, int) else len(counted)


def _read_values(measured: Measured) -> list[float]:
    return [each.latency_ms if isinstance(each, CallSample) else each for each in measured]


def _list_uncalled(measured: Measured) -> tuple[float, ...]:
    return tuple(each for each in measured if not isinstance(each, CallSample))


def _make_decided(
    name: str, wanted: str, text: str, found: Estimate, evidence: CheckEvidence, decision: Decision, more: int
) -> Assertion:
    return Assertion(name, decision == "met", wanted, text, decision == "undecided", more, found, evidence)


def _make_unmeasured(
    name: str, wanted: str, found: TooFewSamples, evidence: CheckEvidence, more: int | None = None
) -> Assertion:
    """Return the check of something that has too few samples for an interval: there is no figure to show."""
    text = f"{format_number(found.samples)} of the {format_number(found.needed)} samples that it needs"
    return Assertion(
        name,
        passed=False,
        wanted=wanted,
        found=text,
        undecided=True,
        more_samples=more or found.more,
        evidence=evidence,
    )
