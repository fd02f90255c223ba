"""How much a system takes: at one instant, for a while, and while something is broken."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass

from stress.ledger import Sample
from stress.model import Chart, Line
from stress.reconcile import SQL
from stress.scenarios.sides import Side
from stress.stage import Stage
from stress.verdict import percentile

ERRORS = 0.01
BURST_P95_MS = 2000.0
RATE_P95_MS = 500.0
BURSTS = (3, 6, 9, 10, 12, 20, 30, 40, 50, 60, 75)
SHORT_BURSTS = (3, 9, 12, 30, 60)
RATES = (10, 20, 40, 60, 80, 100, 130, 160)
SHORT_RATES = (10, 40)
ROUNDS = 2
REST_S = 1.0  # between two bursts of one size
RESTED_S = 30.0
MISSES = 2  # sizes that a system failed at, after which larger ones are not asked for
LOOK_S = 0.005


async def bursts(stage: Stage, sides: Sequence[Side]) -> dict[str, float]:
    """The largest number of calls at the same instant that each side serves with few errors and soon."""
    sizes = BURSTS if stage.profile.judges_speed else SHORT_BURSTS
    rounds = ROUNDS if stage.profile.judges_speed else 1
    found = {side.name: await _sizes(stage, side, sizes, rounds) for side in sides}
    _charts(stage, found, "Requests at the same instant", "requests", BURST_P95_MS)
    return {name: _largest(points, BURST_P95_MS) for name, points in found.items()}


async def rates(stage: Stage, sides: Sequence[Side]) -> dict[str, float]:
    """The highest rate of arrivals that each side serves with few errors and fast."""
    wanted = RATES if stage.profile.judges_speed else SHORT_RATES
    found = {side.name: await _rates(stage, side, wanted) for side in sides}
    _charts(stage, found, "Requests a second, arriving at random", "requests a second", RATE_P95_MS)
    return {name: _largest(points, RATE_P95_MS) for name, points in found.items()}


Measured = tuple[float, float, float]  # how much was asked, share of errors, p95 in milliseconds


async def _sizes(stage: Stage, side: Side, sizes: Sequence[int], rounds: int) -> list[Measured]:
    points: list[Measured] = []
    for size in sizes:
        stage.step(f"{side.name}: {size} requests at the same instant")
        await _rested(stage, side)
        samples: list[Sample] = []
        for _ in range(rounds):
            await asyncio.sleep(REST_S)
            samples += await side.generator.burst(side.at_once(size))
        points.append(_measured(size, samples))
        if _failed(points, BURST_P95_MS) >= MISSES:
            break
    return points


async def _rates(stage: Stage, side: Side, wanted: Sequence[int]) -> list[Measured]:
    points: list[Measured] = []
    for rate in wanted:
        stage.step(f"{side.name}: {rate} requests a second")
        await _rested(stage, side)
        count = int(rate * stage.profile.rate_step_s)
        points.append(_measured(rate, await side.generator.arrivals(side.stream(count), rate, seed=rate)))
        if _failed(points, RATE_P95_MS) >= MISSES:
            break
    return points


async def _rested(stage: Stage, side: Side) -> None:
    """The jobs of the last measurement are done, and its connections are where they were before it."""
    until = stage.generator.clock.now() + RESTED_S
    while await side.cloud.rows(SQL["open_jobs"]) and stage.generator.clock.now() < until:
        await asyncio.sleep(REST_S / 4)
    await side.fresh(side.cloud)


def _measured(asked: float, samples: Sequence[Sample]) -> Measured:
    wrong = sum(not sample.accepted for sample in samples)
    answered = [sample.latency_ms for sample in samples if sample.accepted]
    return asked, wrong / len(samples), percentile(answered, 0.95)


def _good(point: Measured, bar_ms: float) -> bool:
    _, errors, p95 = point
    return errors < ERRORS and p95 <= bar_ms


def _failed(points: Sequence[Measured], bar_ms: float) -> int:
    return sum(not _good(point, bar_ms) for point in points)


def _largest(points: Sequence[Measured], bar_ms: float) -> float:
    """The last size before the first that failed: a larger one that went well after that was luck."""
    best = 0.0
    for point in points:
        if not _good(point, bar_ms):
            break
        best = point[0]
    return best


def _charts(stage: Stage, found: dict[str, list[Measured]], title: str, x: str, bar_ms: float) -> None:
    errors = [Line(name, [(asked, 100 * share) for asked, share, _ in points]) for name, points in found.items()]
    p95 = [Line(name, [(asked, late) for asked, _, late in points]) for name, points in found.items()]
    stage.charts.append(Chart(f"{title}: errors", x, "% of requests", errors, 100 * ERRORS, "1 %"))
    stage.charts.append(Chart(f"{title}: p95", x, "ms", p95, bar_ms, f"{bar_ms:.0f} ms"))


@dataclass(frozen=True)
class Mixed:
    """The outcome of a mix: the share answered well at the first try, and the calls that the restart met."""

    share: float
    calls: int
    met: int  # calls that had no answer yet when the database restarted


async def mixed(stage: Stage, side: Side) -> Mixed:
    """Make 20 + 20 + 15 calls at once with mail down, and restart the database while it is at work on them."""
    stage.step(f"{side.name}: 20 + 20 + 15 at once, mail down, the database restarts")
    await _rested(stage, side)  # before: with mail down its jobs would not end
    await side.cloud.mail(down=True)
    with stage.faults.during(f"{side.name}: mail down", "mail" if side.name == "after" else "elsewhere"):
        try:
            samples, crashed_s = await _with_crash(stage, side)
        finally:
            await side.cloud.mail(down=False)
    share = sum(sample.accepted for sample in samples) / len(samples)
    return Mixed(share, len(samples), sum(sample.done_s > crashed_s for sample in samples))


async def _with_crash(stage: Stage, side: Side) -> tuple[list[Sample], float]:
    """Return the answers and the moment of the restart: when the first call is answered, however fast the machine."""
    seen = len(stage.ledger.samples)
    under_way = asyncio.create_task(side.generator.burst(side.mix()))
    while not (under_way.done() or any(s.scenario == side.generator.scenario for s in stage.ledger.samples[seen:])):
        await asyncio.sleep(LOOK_S)
    await side.cloud.crash_database()
    crashed_s = stage.generator.clock.now()
    stage.faults.at_once(f"{side.name}: the database restarts", "restart" if side.name == "after" else "elsewhere")
    return await under_way, crashed_s
