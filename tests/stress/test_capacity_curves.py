"""The search for the load that a system just serves, and the interval of what was found."""

import asyncio
import random
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, cast

import pytest

from stress.estimates import TooFewSamples
from stress.ledger import CallSample, PlannedCall
from stress.load_generator import RunClock
from stress.model import Chart, Estimate
from stress.scenarios import capacity_curves
from stress.scenarios.capacity_curves import BURST_P95_MS, LoadSearch, estimate_load_ratio
from stress.scenarios.compared_systems import is_unexplained
from tests.stress.calls import make_call, make_sample, set_times

if TYPE_CHECKING:
    from collections.abc import Sequence

ROUNDS = 12


def make_answers(count: int, *, took_s: float = 0.1, failed: int = 0) -> list[CallSample]:
    """Return the answers to a burst, of which some failed."""
    statuses = [502] * failed + [201] * (count - failed)
    return [set_times(make_sample(make_call(), status), sent_s=0.0, done_s=took_s) for status in statuses]


def search(capacity: float, start: float, seed: int, rounds: int = ROUNDS) -> LoadSearch:
    """Return the search on a system whose p95 is the bar at about `capacity` calls, a little else each time."""
    found, dice = LoadSearch(start, BURST_P95_MS), random.Random(seed)
    for _ in range(rounds):
        took_s = BURST_P95_MS / 1000 * found.load / capacity * dice.uniform(0.85, 1.15)
        found.note(make_answers(20, took_s=took_s))
    return found


def find_estimate(found: LoadSearch) -> Estimate:
    """Return the search's estimate, of which there must be enough rounds."""
    estimate = found.estimate()
    assert isinstance(estimate, Estimate)
    return estimate


@pytest.mark.parametrize("start", [10, 60, 400])
def test_the_search_finds_the_load_wherever_it_begins(start: float) -> None:
    """At a capacity of 90 the mean of the loads is near it, though the first trial was far from it."""
    estimate = find_estimate(search(90, start, seed=1))
    assert 75 <= estimate.value <= 110
    assert estimate.low <= estimate.value <= estimate.high


def test_the_ratio_of_two_searches_has_an_interval_that_holds_the_truth() -> None:
    """In 19 of 20 comparisons of systems with capacities of 30 and 150 the interval holds a fifth, or nearly."""
    held = 0
    for seed in range(40):
        ratio = estimate_load_ratio(search(30, 40, seed), search(150, 120, seed + 1000))
        assert isinstance(ratio, Estimate)
        held += ratio.low * 0.95 <= 0.2 <= ratio.high * 1.05
    assert held >= 36


def test_a_search_that_never_turned_has_found_nothing() -> None:
    """Only loads that were all served were seen, which says nothing of those that are not."""
    found = LoadSearch(10, BURST_P95_MS)
    for _ in range(5):
        found.note(make_answers(20))
    assert isinstance(found.estimate(), TooFewSamples)


def test_loads_that_only_rise_in_small_steps_are_no_estimate() -> None:
    """They say where the search began; from the turn on, with the load before it, they are of the system."""
    found = LoadSearch(100, BURST_P95_MS, is_near=True)
    for _ in range(4):
        found.note(make_answers(20))
    assert isinstance(found.estimate(), TooFewSamples)
    found.note(make_answers(20, took_s=3))
    found.note(make_answers(20))
    assert found.measured == pytest.approx([100 * 1.2**3, 100 * 1.2**4, 100 * 1.2**3])


def test_a_system_that_fails_by_itself_is_found_out() -> None:
    """An answer 500 is what nobody has foreseen; under too much load it would be 503, or none."""
    found = LoadSearch(100, BURST_P95_MS)
    for status in (201, 500, 503, 0):
        found.note([make_sample(make_call(), status)] * 3)
    assert found.own_faults == 3


@pytest.mark.parametrize(("answers", "is_good"), [
    (make_answers(200, failed=1), True),
    (make_answers(100, failed=1), False),
    (make_answers(100, took_s=2.1), False),
    (make_answers(100, took_s=1.9), True),
    (make_answers(10, failed=10), False),
])  # fmt: skip
def test_a_trial_is_good_with_few_errors_and_in_time(answers: list[CallSample], is_good: bool) -> None:
    """Less than one in a hundred, and the p95 of the others within the bar; then the load rises, or else it falls."""
    found = LoadSearch(100, BURST_P95_MS)
    found.note(answers)
    assert (found.load > 100) == is_good


class TwoSystems:
    """Two systems that answer all at once, and note in which order they were measured."""

    def __init__(self) -> None:
        self.order: list[tuple[str, int]] = []
        self.open_jobs = 0
        self.charts: list[Chart] = []
        context = {
            "target": SimpleNamespace(query_rows=self.query_rows),
            "generator": SimpleNamespace(clock=RunClock()),
            "charts": self.charts,
            "show_progress": lambda _text: None,
        }
        self.context = cast("Any", SimpleNamespace(**context))

    async def query_rows(self, _query: str) -> list[object]:
        """Return the open jobs: one less at each question."""
        self.open_jobs = max(0, self.open_jobs - 1)
        return [object()] * self.open_jobs

    def make_system(self, name: str) -> Any:
        """Return one of the systems."""

        async def send_burst(calls: "Sequence[PlannedCall]") -> list[CallSample]:
            assert self.open_jobs == 0, "the jobs of the last trial are not done"
            self.order.append((name, len(calls)))
            self.open_jobs = 3
            return make_answers(len(calls))

        generator = SimpleNamespace(send_burst=send_burst)
        return SimpleNamespace(name=name, generator=generator, make_burst=lambda count: [make_call()] * count)


def test_both_systems_are_tried_in_each_round_in_turn_and_at_rest(monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither is always the second, and no jobs of the trial before slow down the next."""
    monkeypatch.setattr(capacity_curves, "REST_S", 0.001)
    both = TwoSystems()
    systems = [both.make_system("before"), both.make_system("after")]
    asyncio.run(capacity_curves.search_bursts(both.context, systems, {"before": 10.0, "after": 5.0}, rounds=3))
    noted = [("before", 10), ("after", 5), ("after", 10), ("before", 20), ("before", 40), ("after", 20)]
    assert both.order == [("after", 5), ("before", 10), *noted]  # a round to warm up comes first
    assert [line.name for line in both.charts[1].lines] == ["before", "after"]


@pytest.mark.parametrize(("status", "problem", "retry_after_s", "unexplained"), [
    (201, "", None, False),
    (429, "too-many-requests", 1.0, False),
    (503, "unavailable", 2.0, False),
    (429, "too-many-requests", None, True),
    (503, "", 1.0, True),
    (502, "", None, True),
    (500, "internal", None, True),
    (0, "", None, True),
])  # fmt: skip
def test_only_a_success_or_a_refusal_that_says_when_to_come_again_is_explained(
    status: int, problem: str, retry_after_s: float | None, unexplained: bool
) -> None:
    made = make_sample(make_call(), status, problem=problem)
    sample = CallSample(made.scenario, made.call, 0, 0, 0, status, problem, retry_after_s=retry_after_s)
    assert is_unexplained(sample) == unexplained
