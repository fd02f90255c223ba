"""The judgement of limits against a bucket that keeps exact time: never a wrong blame, and no fault unseen."""

import itertools
from collections.abc import Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stress.ledger import CallSample
from stress.limits import ObservedLimit, count_wrongly_accepted, count_wrongly_refused
from stress.scenarios.capacity import _judge_limits
from tests.stress.calls import make_call, make_sample, set_times
from tests.stress.test_scenario_context import make_context

FIVE = ObservedLimit(5, 60)
LIMITS = st.builds(ObservedLimit, st.integers(1, 7), st.sampled_from([1, 7, 10, 60]))
MS = 1000


@dataclass
class ExactBucket:
    """The limit as it is meant, in exact numbers of milliseconds; `extra` makes the burst larger than it should be."""

    limit: ObservedLimit
    extra: int = 0
    at: Fraction = Fraction(0)
    held: Fraction = Fraction(-1)

    def take(self, at: Fraction) -> bool:
        """Return whether a call is accepted at a moment; moments never go back."""
        burst = self.limit.burst + self.extra
        gained = (at - self.at) * self.limit.burst / (Fraction(self.limit.period_s) * MS)
        self.held = Fraction(burst) if self.held < 0 else min(Fraction(burst), self.held + gained)
        self.at = at
        accepted = self.held >= 1
        self.held -= accepted
        return accepted


@dataclass(frozen=True)
class TimedCall:
    """A call: milliseconds after which it is sent, until it is decided, and from there until it is answered."""

    sent: int
    decided: int
    answered: int


MOMENTS = st.integers(0, 30_000) | st.integers(0, 200) | st.sampled_from([0, 12_000, 24_000, 60_000])
TIMED = st.lists(st.builds(TimedCall, MOMENTS, st.integers(0, 3000), st.integers(0, 3000)), max_size=25)
AT_ONCE = st.lists(st.builds(TimedCall, MOMENTS, st.just(0), st.just(0)), max_size=25)
APART = st.lists(st.builds(TimedCall, MOMENTS, st.just(0), st.just(0)), max_size=25, unique_by=lambda each: each.sent)


def decide_calls(calls: Sequence[TimedCall], bucket: ExactBucket) -> list[CallSample]:
    """Return what clients see of a bucket that decides at these moments."""
    ordered = sorted(calls, key=lambda timed: timed.sent + timed.decided)
    return [
        make_decided_sample(bucket.take(Fraction(c.sent + c.decided)), c.sent, c.sent + c.decided + c.answered)
        for c in ordered
    ]


def make_decided_sample(accepted: bool, sent: float, done: float | None = None) -> CallSample:
    """Return a call that was accepted or refused; milliseconds."""
    done = sent if done is None else done
    return set_times(make_sample(make_call(), 201 if accepted else 429), sent_s=sent / MS, done_s=done / MS)


@given(calls=TIMED, limit=LIMITS)
def test_a_limiter_that_keeps_exact_time_is_never_blamed(calls: list[TimedCall], limit: ObservedLimit) -> None:
    """Whenever between sending and answer it decides."""
    samples = decide_calls(calls, ExactBucket(limit))
    assert (count_wrongly_accepted(samples, limit), count_wrongly_refused(samples, limit)) == (0, 0)


@given(burst=st.integers(1, 50), period=st.integers(1, 600), n=st.integers(0, 100))
def test_a_call_at_the_very_moment_of_a_refill_is_not_blamed(burst: int, period: int, n: int) -> None:
    """Rounding in binary fractions makes no difference."""
    limit = ObservedLimit(burst, period)
    full = [make_decided_sample(True, 0) for _ in range(burst)]
    refills = [make_decided_sample(True, float(Fraction(k * period * MS, burst))) for k in range(1, n + 1)]
    assert count_wrongly_accepted([*full, *refills], limit) == 0


@given(calls=AT_ONCE, limit=LIMITS, extra=st.integers(0, 2))
def test_answers_at_once_leave_nothing_in_doubt(calls: list[TimedCall], limit: ObservedLimit, extra: int) -> None:
    """If each call is decided at a known moment, a call is blamed exactly if a true bucket would have refused it."""
    samples = decide_calls(calls, ExactBucket(limit, extra))
    exact = ExactBucket(limit)
    held = all(exact.take(Fraction(round(s.sent_s * MS))) for s in samples if s.is_accepted)
    assert (count_wrongly_accepted(samples, limit) == 0) == held


@given(calls=APART, limit=LIMITS, dice=st.randoms(use_true_random=False))
def test_a_refusal_that_a_true_bucket_would_not_give_is_found(
    calls: list[TimedCall], limit: ObservedLimit, dice: Random
) -> None:
    """Anywhere in a sequence, not only after a long rest; at the very moment of a refill it may be either."""
    bucket, samples, unjust, plainly = ExactBucket(limit), [], 0, 0
    for timed in sorted(calls, key=lambda each: each.sent):
        at = Fraction(timed.sent)
        would, sooner = (replace(bucket).take(at - early) for early in (0, Fraction(1, 2)))
        accepted = would and dice.random() < 0.7 and bucket.take(at)
        unjust += would and not accepted
        plainly += sooner and not accepted
        samples.append(make_decided_sample(accepted, timed.sent))
    assert plainly <= count_wrongly_refused(samples, limit) <= unjust


@pytest.mark.parametrize("extra", [1, 2, 15])
def test_each_acceptance_beyond_a_burst_counts(extra: int) -> None:
    """All at the same instant, as the scenarios send them."""
    at_once = [make_decided_sample(True, 0, 900) for _ in range(5 + extra)]
    assert count_wrongly_accepted(at_once, FIVE) == extra


def test_an_acceptance_too_soon_after_a_burst_is_found() -> None:
    """One call comes back every 12 s, not a moment before."""
    burst = [make_decided_sample(True, 0) for _ in range(5)]
    assert count_wrongly_accepted([*burst, make_decided_sample(True, 11_999)], FIVE) == 1
    assert count_wrongly_accepted([*burst, make_decided_sample(True, 12_000)], FIVE) == 0


def test_a_stretch_late_in_a_run_is_looked_at_too() -> None:
    """Calls that were not made don't add up to more than the bucket."""
    early = [make_decided_sample(True, 0)]
    late = [make_decided_sample(True, 500_000) for _ in range(6)]
    assert count_wrongly_accepted([*early, *late], FIVE) == 1


def test_a_refusal_while_the_bucket_is_full_is_found() -> None:
    """The first call of all, or one after a whole period of rest."""
    assert count_wrongly_refused([make_decided_sample(False, 0)], FIVE) == 1
    burst = [make_decided_sample(True, 0) for _ in range(5)]
    assert (
        count_wrongly_refused([*burst, make_decided_sample(False, 100), make_decided_sample(False, 60_001)], FIVE) == 1
    )


def test_a_window_that_counts_from_the_first_call_is_found_out() -> None:
    """A limiter with fixed windows refuses for the whole minute; a bucket has one again after 12 s."""
    burst = [make_decided_sample(True, 0) for _ in range(5)]
    assert count_wrongly_refused([*burst, make_decided_sample(False, 11_999)], FIVE) == 0
    assert count_wrongly_refused([*burst, make_decided_sample(False, 12_001)], FIVE) == 1


def test_without_a_call_nothing_is_wrong() -> None:
    """Then neither too many nor too few were accepted."""
    assert (count_wrongly_accepted([], FIVE), count_wrongly_refused([], FIVE)) == (0, 0)


def test_a_replay_takes_nothing() -> None:
    """Ten answers of one call: it was charged once."""
    replays = [replace(make_decided_sample(True, 1), replayed=True) for _ in range(9)]
    assert count_wrongly_accepted([make_decided_sample(True, 0), *replays], FIVE) == 0
    assert count_wrongly_refused([make_decided_sample(True, 0), *replays, make_decided_sample(False, 2)], FIVE) == 1


@pytest.mark.parametrize(("status", "problem"), [(0, ""), (503, "unavailable"), (409, "email-taken"), (422, "invalid")])
def test_a_call_that_failed_after_it_was_charged_is_not_held_against_the_limiter(status: int, problem: str) -> None:
    """Admission comes first: what became of the call later gives nothing back."""
    four = [make_decided_sample(True, 0) for _ in range(4)]
    failed = set_times(make_sample(make_call(), status, problem=problem), sent_s=0, done_s=0.1)
    assert count_wrongly_refused([*four, failed, make_decided_sample(False, 200)], FIVE) == 0
    assert count_wrongly_refused([*four, make_decided_sample(False, 200)], FIVE) == 1


def test_a_call_that_was_still_running_was_not_charged_again() -> None:
    """Its refusal after that is as wrong as if it had been the first."""
    running = make_sample(make_call(), 409, problem="request-in-progress")
    assert count_wrongly_refused([*itertools.repeat(running, 5), make_decided_sample(False, 200)], FIVE) == 1


def list_checks_of_users(*samples_of_one: CallSample) -> dict[str, bool]:
    """Return the checks of limits that a run makes of one user's claims, and whether each holds."""
    context = make_context()
    _judge_limits(context, [samples_of_one])
    return {check.name: check.passed for check in context.checks}


def test_nobody_is_said_to_keep_a_limit_that_they_never_reached() -> None:
    """A check that no limiter could fail is not made; the user who asked for a sixth claim has it made."""
    claim, beyond = make_call("claim"), "Their claims: accepted beyond the limit"
    within = [make_sample(claim, 201) for _ in range(5)]
    assert beyond not in list_checks_of_users(*within)
    assert list_checks_of_users(*within, make_sample(claim, 429))[beyond]
    assert not list_checks_of_users(*within, make_sample(claim, 201))[beyond]
    reads = list_checks_of_users(make_sample(make_call("own claims"), 200))
    assert "Their reads: accepted beyond the limit" not in reads


def test_a_user_who_is_refused_too_early_is_found_though_nobody_reached_the_limit() -> None:
    """That check is always made."""
    assert not list_checks_of_users(make_sample(make_call("claim"), 429))["Their claims: refused within the limit"]
