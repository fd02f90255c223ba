"""The load that two systems just serve: as calls at one instant, and as arrivals a second.

The up-and-down method (Dixon and Mood, 1948): after a trial that was served well the next load is higher, after another
one lower, so that the loads gather where half of the trials are served. Both systems have one trial in each round, and
begin rounds in turn.
"""

import asyncio
import math
from collections import defaultdict
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from statistics import fmean

from stress.estimates import TooFewSamples, Values, compute_percentile, estimate_ratio
from stress.ledger import CallSample
from stress.model import Chart, ChartLine, Estimate
from stress.scenario_context import LocalScenarioContext
from stress.scenario_end import SQL
from stress.scenarios.compared_systems import ComparedSystem

ERRORS = 0.01
BURST_P95_MS = 2000.0
RATE_P95_MS = 500.0
FIRST_STEP = 2.0  # until the load has turned once
STEP = 1.2
OWN_FAULT = 500
RATE_S = 3.0  # of arrivals in a trial: some hundred calls, so that one in a hundred can be told
WARM_UP = -1  # the round that is not noted: a load of a new kind has environments and connections begin
REST_S = 0.3  # before each trial
REST_TIMEOUT_S = 30.0

RunTrial = Callable[[ComparedSystem, float, int], Awaitable[list[CallSample]]]  # the system, the load, the round


@dataclass(frozen=True)
class MeasuredTrial:
    """One trial: its load, the share of calls that were not accepted, and the p95 of those that were."""

    load: float
    failed_share: float
    p95_ms: float


@dataclass
class LoadSearch:
    """The search for one system's load; `is_near` if the first load is near the one that is searched for.

    A load is measured from the first turn on that was found in small steps: while loads only rise, or only fall, they
    say where the search began, and nothing of the system.
    """

    load: float
    bar_ms: float
    is_near: bool = False
    trials: list[MeasuredTrial] = field(default_factory=list)
    measured: list[float] = field(default_factory=list)
    own_faults: int = 0  # answers 500: nobody has foreseen what happened

    def note(self, samples: Sequence[CallSample]) -> None:
        """Note a trial's answers, and choose the next load."""
        accepted = [sample.latency_ms for sample in samples if sample.is_accepted]
        failed = 1 - len(accepted) / len(samples)
        self.own_faults += sum(sample.status == OWN_FAULT for sample in samples)
        previous = self.trials[-1] if self.trials else None
        self.trials.append(MeasuredTrial(self.load, failed, compute_percentile(accepted, 0.95)))
        is_good = self._is_good(self.trials[-1])
        has_turned = previous is not None and self._is_good(previous) != is_good
        if self.measured:
            self.measured.append(self.load)
        elif self.is_near and previous and has_turned:
            self.measured += [previous.load, self.load]
        if not self.is_near and previous and has_turned:
            self.is_near = True
            self.load = math.sqrt(previous.load * self.load)
        else:
            step = STEP if self.is_near else FIRST_STEP
            self.load = max(1.0, self.load * step if is_good else self.load / step)

    def estimate(self) -> Estimate | TooFewSamples:
        """Return the mean of the measured loads, with its interval by a bootstrap over the rounds."""
        found = estimate_ratio(self.measured, (1.0, 1.0), _compute_mean)
        return found if isinstance(found, TooFewSamples) else replace(found, samples=len(self.measured))

    def _is_good(self, trial: MeasuredTrial) -> bool:
        return trial.failed_share < ERRORS and trial.p95_ms <= self.bar_ms


def estimate_load_ratio(search: LoadSearch, other: LoadSearch) -> Estimate | TooFewSamples:
    """Return the load that one system serves ÷ that of the other, by a bootstrap over the rounds of each."""
    return estimate_ratio(search.measured, other.measured, _compute_mean)


def _compute_mean(values: Values) -> Values:
    mean: Values = values.mean(axis=-1)
    return mean


async def search_bursts(
    context: LocalScenarioContext, systems: Sequence[ComparedSystem], starts: Mapping[str, float], rounds: int
) -> dict[str, LoadSearch]:
    """Search for the number of calls at one instant that each system serves with few errors and in time."""

    async def run_trial(system: ComparedSystem, load: float, _round: int) -> list[CallSample]:
        context.show_progress(f"{system.name}: {load:.0f} requests at one instant")
        return await system.generator.send_burst(system.make_burst(max(1, round(load))))

    searches = {name: LoadSearch(load, BURST_P95_MS) for name, load in starts.items()}
    await _run_rounds(context, systems, searches, rounds, run_trial)
    _draw_trials(context, searches, "Requests at one instant", "requests", BURST_P95_MS)
    return searches


async def search_rates(
    context: LocalScenarioContext,
    systems: Sequence[ComparedSystem],
    searches: dict[str, LoadSearch],
    rounds: int,
    title: str,
) -> None:
    """Search for the rate of arrivals that each system serves with few errors and in time."""

    async def run_trial(system: ComparedSystem, load: float, number: int) -> list[CallSample]:
        context.show_progress(f"{system.name}: {load:.0f} requests a second")
        calls = system.make_stream(max(1, round(load * RATE_S)))
        return await system.generator.send_at_random(calls, load, seed=number)

    await _run_rounds(context, systems, searches, rounds, run_trial)
    _draw_trials(context, searches, title, "requests a second", RATE_P95_MS)


async def _run_rounds(
    context: LocalScenarioContext,
    systems: Sequence[ComparedSystem],
    searches: Mapping[str, LoadSearch],
    rounds: int,
    run_trial: RunTrial,
) -> None:
    for number in range(WARM_UP, rounds):
        for system in systems if number % 2 == 0 else reversed(systems):
            await wait_until_rested(context)
            search = searches[system.name]
            samples = await run_trial(system, search.load, number)
            if number > WARM_UP:
                search.note(samples)


async def wait_until_rested(context: LocalScenarioContext) -> None:
    """Wait until the jobs of what was measured before are done: they would slow down whatever comes next."""
    until = context.generator.clock.read_now() + REST_TIMEOUT_S
    while await context.target.query_rows(SQL["open_jobs"]) and context.generator.clock.read_now() < until:
        await asyncio.sleep(REST_S)
    await asyncio.sleep(REST_S)


def _draw_trials(
    context: LocalScenarioContext, searches: Mapping[str, LoadSearch], title: str, x: str, bar_ms: float
) -> None:
    errors = [ChartLine(name, _average(s.trials, lambda t: 100 * t.failed_share)) for name, s in searches.items()]
    p95 = [ChartLine(name, _average(s.trials, lambda t: t.p95_ms)) for name, s in searches.items()]
    context.charts.append(Chart(f"{title}: errors", x, "% of requests", errors, 100 * ERRORS, "1 %"))
    context.charts.append(Chart(f"{title}: p95", x, "ms", p95, bar_ms, f"{bar_ms:.0f} ms"))


def _average(
    trials: Sequence[MeasuredTrial], read_value: Callable[[MeasuredTrial], float]
) -> list[tuple[float, float]]:
    """Return the mean of each load's trials, by load."""
    by_load: dict[int, list[float]] = defaultdict(list)
    for trial in trials:
        by_load[round(trial.load)].append(read_value(trial))
    return [(float(load), fmean(values)) for load, values in sorted(by_load.items())]
