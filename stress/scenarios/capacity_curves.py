"""The measurement of a system's capacity: at one instant, for a while, and while something is broken."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass

from stress.ledger import CallSample
from stress.model import Chart, ChartLine
from stress.scenario_context import LocalScenarioContext
from stress.scenario_end import SQL
from stress.scenarios.compared_systems import ComparedSystem
from stress.verdict import compute_percentile

ERRORS = 0.01
BURST_P95_MS = 2000.0
RATE_P95_MS = 500.0
BURSTS = (3, 6, 9, 10, 12, 20, 30, 40, 50, 60, 75)
SHORT_BURSTS = (3, 9, 12, 30, 60)
RATES = (10, 20, 40, 60, 80, 100, 130, 160)
SHORT_RATES = (10, 40)
ROUNDS = 2
REST_S = 1.0  # between two bursts of one size
REST_TIMEOUT_S = 30.0
MISSES = 2  # failed sizes after which larger ones are not tried
POLL_S = 0.005


async def measure_bursts(context: LocalScenarioContext, systems: Sequence[ComparedSystem]) -> dict[str, float]:
    """Return the largest number of calls at the same instant that each system serves with few errors and in time."""
    sizes = BURSTS if context.profile.judges_speed else SHORT_BURSTS
    rounds = ROUNDS if context.profile.judges_speed else 1
    found = {system.name: await _try_sizes(context, system, sizes, rounds) for system in systems}
    _draw_curves(context, found, "Requests at the same instant", "requests", BURST_P95_MS)
    return {name: _find_largest(points, BURST_P95_MS) for name, points in found.items()}


async def measure_rates(context: LocalScenarioContext, systems: Sequence[ComparedSystem]) -> dict[str, float]:
    """Return the highest rate of arrivals that each system serves with few errors and in time."""
    wanted = RATES if context.profile.judges_speed else SHORT_RATES
    found = {system.name: await _try_rates(context, system, wanted) for system in systems}
    _draw_curves(context, found, "Requests a second, arriving at random", "requests a second", RATE_P95_MS)
    return {name: _find_largest(points, RATE_P95_MS) for name, points in found.items()}


MeasuredPoint = tuple[float, float, float]  # calls or rate, share of errors, p95 in milliseconds


async def _try_sizes(
    context: LocalScenarioContext, system: ComparedSystem, sizes: Sequence[int], rounds: int
) -> list[MeasuredPoint]:
    points: list[MeasuredPoint] = []
    for size in sizes:
        context.show_progress(f"{system.name}: {size} requests at the same instant")
        await _wait_until_rested(context, system)
        samples: list[CallSample] = []
        for _ in range(rounds):
            await asyncio.sleep(REST_S)
            samples += await system.generator.send_burst(system.make_burst(size))
        points.append(_make_point(size, samples))
        if _count_failed(points, BURST_P95_MS) >= MISSES:
            break
    return points


async def _try_rates(
    context: LocalScenarioContext, system: ComparedSystem, wanted: Sequence[int]
) -> list[MeasuredPoint]:
    points: list[MeasuredPoint] = []
    for rate in wanted:
        context.show_progress(f"{system.name}: {rate} requests a second")
        await _wait_until_rested(context, system)
        count = int(rate * context.profile.rate_step_s)
        points.append(
            _make_point(rate, await system.generator.send_at_random(system.make_stream(count), rate, seed=rate))
        )
        if _count_failed(points, RATE_P95_MS) >= MISSES:
            break
    return points


async def _wait_until_rested(context: LocalScenarioContext, system: ComparedSystem) -> None:
    """Wait until the jobs of the last measurement are done, then reset the system's connections."""
    until = context.generator.clock.read_now() + REST_TIMEOUT_S
    while await system.cloud.query_rows(SQL["open_jobs"]) and context.generator.clock.read_now() < until:
        await asyncio.sleep(REST_S / 4)
    await system.reset(system.cloud)


def _make_point(asked: float, samples: Sequence[CallSample]) -> MeasuredPoint:
    unexpected = sum(not sample.is_accepted for sample in samples)
    answered = [sample.latency_ms for sample in samples if sample.is_accepted]
    return asked, unexpected / len(samples), compute_percentile(answered, 0.95)


def _is_good(point: MeasuredPoint, bar_ms: float) -> bool:
    _, errors, p95 = point
    return errors < ERRORS and p95 <= bar_ms


def _count_failed(points: Sequence[MeasuredPoint], bar_ms: float) -> int:
    return sum(not _is_good(point, bar_ms) for point in points)


def _find_largest(points: Sequence[MeasuredPoint], bar_ms: float) -> float:
    """Return the last size before the first that failed: a larger one that passed after that was luck."""
    best = 0.0
    for point in points:
        if not _is_good(point, bar_ms):
            break
        best = point[0]
    return best


def _draw_curves(
    context: LocalScenarioContext, found: dict[str, list[MeasuredPoint]], title: str, x: str, bar_ms: float
) -> None:
    errors = [ChartLine(name, [(asked, 100 * share) for asked, share, _ in points]) for name, points in found.items()]
    p95 = [ChartLine(name, [(asked, late) for asked, _, late in points]) for name, points in found.items()]
    context.charts.append(Chart(f"{title}: errors", x, "% of requests", errors, 100 * ERRORS, "1 %"))
    context.charts.append(Chart(f"{title}: p95", x, "ms", p95, bar_ms, f"{bar_ms:.0f} ms"))


@dataclass(frozen=True)
class MixedLoadResult:
    """The outcome of a mixed load; a call counts as accepted only at its first attempt."""

    accepted_share: float
    calls: int
    in_progress: int  # calls that had no answer yet when the database restarted


async def run_mixed_load(context: LocalScenarioContext, system: ComparedSystem) -> MixedLoadResult:
    """Make 20 applications, 20 registrations and 15 claims at once with mail down; restart the database meanwhile."""
    context.show_progress(f"{system.name}: 20 + 20 + 15 at once, mail down, the database restarts")
    await _wait_until_rested(context, system)  # first, as with mail down the jobs would not end
    await system.cloud.control_mail(down=True)
    with context.faults.record_during(f"{system.name}: mail down", "mail" if system.name == "after" else "elsewhere"):
        try:
            samples, crashed_s = await _crash_during(context, system)
        finally:
            await system.cloud.control_mail(down=False)
    share = sum(sample.is_accepted for sample in samples) / len(samples)
    return MixedLoadResult(share, len(samples), sum(sample.done_s > crashed_s for sample in samples))


async def _crash_during(context: LocalScenarioContext, system: ComparedSystem) -> tuple[list[CallSample], float]:
    """Return the answers and the moment of the restart: when the first call is answered, on any machine."""
    seen = len(context.ledger.samples)
    under_way = asyncio.create_task(system.generator.send_burst(system.make_mix()))
    while not (under_way.done() or any(s.scenario == system.generator.scenario for s in context.ledger.samples[seen:])):
        await asyncio.sleep(POLL_S)
    await system.cloud.crash_database()
    crashed_s = context.generator.clock.read_now()
    context.faults.record_instant(
        f"{system.name}: the database restarts", "restart" if system.name == "after" else "elsewhere"
    )
    return await under_way, crashed_s
