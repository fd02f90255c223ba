"""Scenario: connection pool stress.

The limit on all functions together is not kept by their code: what stands before the server keeps it (here a stand-in
for RDS Proxy), and behind that the server itself. So the scenario looks at PostgreSQL's own sessions, and holds the
product to its part: each environment has one connection, waits for it, uses those there are, and gives it up in time.
"""

import asyncio
import itertools
import math
from collections.abc import Sequence

from stress.ledger import CallSample, PlannedCall
from stress.model import Chart, ChartLine, Point
from stress.profiles import Profile
from stress.scenario_context import LocalScenarioContext
from stress.scenario_end import reconcile
from stress.scenarios.claims import make_claim
from stress.scenarios.pool_connections import check_replacement, check_settings, connect_to_dead_host
from stress.scenarios.pool_sessions import (
    OTHER_SESSIONS,
    SessionPeaks,
    count_connections_of_environments,
    count_logged_refusals,
    count_turned_away,
    open_sessions_directly,
    read_limits,
    watch_sessions,
)
from stress.scenarios.shared_steps import (
    NORMAL_WRITES,
    SENT_S,
    SLOW_S,
    SLOW_WRITES,
    build_slow_writes_sql,
    warm_environments,
)

PROMISED = 50  # connections of all environments together: the deployed setting must be this
CALLERS = 60  # calls at the same instant on the deployed pool: more than it has connections
BORROW_S = 10.0  # ConnectionBorrowTimeout: a call that waits as long is turned away
# The last of five rounds waits for a connection until the four before it are done: their writes, and on a busy machine
# half a second of work and TLS handshakes besides.
SLOWEST_S = 1.5
# How many times the writes of one instant are made without a wait in them: they show what else a burst takes here.
WORK_BURSTS = 3
# A burst may take this much longer than the slowest of those: machines have slow moments. A fleet that needs two rounds
# where one would do is found out all the same, since a round takes as long as that work or longer.
WORK_MARGIN = 1.25
MOST_CLAIMS = 5  # of one member in ten minutes
MOST_USED = 0.8  # the share of all connections that must have been in use at once, or nothing was tried
FUNCTIONS = ("AgentsFunction", "MembersFunction", "ClaimsFunction")
TITLE = "Connection pool stress"
PROMISE = (
    "60 requests at the same instant on the 50 connections that are deployed, and 50 on 10 to 50: PostgreSQL never "
    "has more sessions than allowed, no environment has two, the rest waits its turn, and nobody is turned away. With "
    "five times as many connections the same writes end in a fifth of the rounds. Idle and old connections are "
    "replaced, a dead host is given up in time."
)


class ConcurrentWrites:
    """The writes of one instant: two fifths for each of two functions, and one fifth claims; for some such bursts."""

    def __init__(self, context: LocalScenarioContext, size: int, bursts: int = 1) -> None:
        self.size = size
        self._context = context
        self._share = size // 5
        self._members = itertools.cycle(context.fixtures.take_members(_count_claimants(size, bursts)))

    def make_calls(self) -> list[PlannedCall]:
        """Return all of them, anew."""
        factory, share = self._context.call_factory, self._share
        claims = [make_claim(self._context, member) for member in itertools.islice(self._members, share)]
        writes = [(factory.make_application(), factory.make_registration()) for _ in range(2 * share)]
        return [*itertools.chain.from_iterable(writes), *claims]

    def make_list_call(self) -> PlannedCall:
        """Return a call by which a member lists their claims: on the claims function, without using up a claim."""
        member = next(self._members)
        return self._context.call_factory.make_read("own claims", "/claims", token=member.token, client=member.address)


def list_steps(profile: Profile) -> list[int]:
    """Return the connections of each burst: all steps, then where speed is judged the ends twice more."""
    again = 2 if profile.judges_speed else 0
    return [*profile.pool_steps, *again * (profile.pool_steps[0], profile.pool_steps[-1])]


def count_curve_bursts(profile: Profile) -> int:
    """Return how many bursts the curve takes."""
    return WORK_BURSTS + len(list_steps(profile))


def count_members_needed(profile: Profile) -> int:
    """Return how many members the scenario takes."""
    return _count_claimants(CALLERS, 1) + _count_claimants(profile.burst_size, count_curve_bursts(profile))


def _count_claimants(size: int, bursts: int) -> int:
    """Return how many members file the claims of some bursts: each files once in a burst, and none too often."""
    share = size // 5
    return max(share, math.ceil(share * bursts / MOST_CLAIMS))


async def run(context: LocalScenarioContext) -> None:
    """Run the scenario."""
    writes = ConcurrentWrites(context, CALLERS)
    await _warm_environments(context, writes)
    await _run_as_deployed(context, writes)
    await _check_limits(context)
    await check_settings(context, least=CALLERS)
    bursts = count_curve_bursts(context.profile)
    await _measure_curve(context, ConcurrentWrites(context, context.profile.burst_size, bursts))
    if context.profile.runs_long_checks:
        await check_replacement(context)
        await connect_to_dead_host(context)
    await reconcile(context)


async def _warm_environments(context: LocalScenarioContext, writes: ConcurrentWrites) -> None:
    """Start one environment for each call, so that no start is measured."""
    share = CALLERS // 5
    context.show_progress(f"starting {CALLERS} environments")
    # No part of what is measured: while sixty processes start, the generator itself may be late.
    generator = context.generator.copy_for_scenario("setup")
    started = 0
    for function, make_call, count in zip(
        FUNCTIONS,
        (context.call_factory.make_application, context.call_factory.make_registration, writes.make_list_call),
        (2 * share, 2 * share, share),
        strict=True,
    ):
        started += await warm_environments(context.target, generator, function, make_call, count)
    context.record_figure("Environments that were started before", started)


def choose_write_time(work_s: float) -> float:
    """Return how long each write shall take: at least as long as this machine needs to work on all of them.

    Were the work the longer part, the writes would neither overlap nor finish sooner on more connections.
    """
    return min(max(SLOW_S, work_s), SLOWEST_S)


async def _run_as_deployed(context: LocalScenarioContext, writes: ConcurrentWrites) -> None:
    """Make more writes at once than connections, on the pool as the deployed setting sizes it; nothing here sets it."""
    deployed = (await context.target.control_database("GET", "/counts"))["max_connections"]
    context.check_equal("Connections that the fleet may have, as deployed", PROMISED, deployed)
    context.show_progress(f"{CALLERS} writes at once on the {deployed} connections of the deployed setting")
    refusals = count_logged_refusals(context)
    await context.target.query_rows(SLOW_WRITES)
    try:
        under_way = asyncio.create_task(context.send_burst(writes.make_calls()))
        watching = asyncio.create_task(watch_sessions(context, under_way))
        await asyncio.sleep(SENT_S + SLOW_S / 2)  # while the first round of writes waits
        of_each = await count_connections_of_environments(context, FUNCTIONS)
        peaks, samples = await watching, await under_way
    finally:
        await context.target.query_rows(NORMAL_WRITES)
    context.check_statuses(f"{CALLERS} at once as deployed", {201: CALLERS}, samples)
    _check_peaks(context, "As deployed: connections of the server", PROMISED, peaks.open, peaks)
    context.check_at_least("As deployed: writes at once, by PostgreSQL's view", MOST_USED * PROMISED, peaks.writing)
    several = {count: n for count, n in of_each.items() if count > 1}
    context.check_equal("Environments with more than one connection to a database", {}, several)
    context.check_at_least("Environments with exactly one", MOST_USED * CALLERS, of_each[1])
    turned_away = count_turned_away(samples, BORROW_S)
    context.check_equal("As deployed: turned away for want of a connection", 0, turned_away)
    context.check_equal("As deployed: sessions that PostgreSQL refused", 0, count_logged_refusals(context) - refusals)


def _check_peaks(context: LocalScenarioContext, name: str, most: int, found: int, peaks: SessionPeaks) -> None:
    """Check that PostgreSQL never showed more; who did not look has not seen it."""
    context.check(name, holds=peaks.looks > 0 and found <= most, wanted=f"≤ {most}",
                  found=f"{found}, in {peaks.looks} looks at pg_stat_activity")  # fmt: skip


async def _check_limits(context: LocalScenarioContext) -> None:
    """Check that the server itself refuses what comes past the pool: more sessions of a role than are deployed."""
    context.show_progress("more sessions than allowed, past the pool")
    context.check_equal(
        "PostgreSQL's own limits: of each function's role, and of the database",
        {"roles": [PROMISED], "database": PROMISED + OTHER_SESSIONS},
        await read_limits(context),
    )
    found = await open_sessions_directly(context, PROMISED + 1)
    context.check_at_least("Past the pool: sessions that PostgreSQL refused, of one too many", 1, found.refused)
    context.check_at_least("Past the pool: sessions that PostgreSQL let in", 1, found.admitted)
    context.check_at_most("Past the pool: sessions of the functions", PROMISED + OTHER_SESSIONS, found.open)
    # otherwise "none refused" would say nothing: this log is where refusals are counted
    context.check_at_least("Past the pool: refusals in the server's log", found.refused, found.logged)


async def _measure_curve(context: LocalScenarioContext, writes: ConcurrentWrites) -> None:
    """Make the same writes, each of a known time, on pools of rising size, which are set here on the stand-in."""
    deployed = (await context.target.control_database("GET", "/counts"))["max_connections"]
    work_s = await _measure_work(context, writes)
    slow_s = choose_write_time(max(work_s))
    curve = _Curve(context, writes, slow_s, WORK_MARGIN * max(work_s))
    await context.target.query_rows(build_slow_writes_sql(slow_s))
    try:
        took = [(limit, await curve.measure_step(limit)) for limit in list_steps(context.profile)]
    finally:
        await context.target.query_rows(NORMAL_WRITES)
        await context.target.control_database("PUT", "/limit", {"max_connections": deployed})
    curve.judge(took)


async def _measure_work(context: LocalScenarioContext, writes: ConcurrentWrites) -> list[float]:
    """Return the seconds that the same writes take without a wait in them, burst by burst."""
    context.show_progress(f"{writes.size} writes at once that take no time in the database")
    samples = [await context.send_burst(writes.make_calls()) for _ in range(WORK_BURSTS)]
    took = [_measure_burst(each) for each in samples]
    context.record_figure("The writes' work on this machine, the slowest of its bursts", max(took), "s")
    return took


class _Curve:
    """The measurement of the same writes on pools of different sizes.

    `slow_s` is what each write takes in the database, `work_s` what else a burst may take.
    """

    def __init__(self, context: LocalScenarioContext, writes: ConcurrentWrites, slow_s: float, work_s: float) -> None:
        self._context = context
        self._writes = writes
        self._slow_s = slow_s
        self._work_s = work_s

    def _count_rounds(self, limit: int) -> int:
        """Return in how many turns `limit` connections do all of the writes."""
        return math.ceil(self._writes.size / limit)

    async def measure_step(self, limit: int) -> float:
        """Return the seconds until the last of the calls was answered on a pool of this size."""
        context, size = self._context, self._writes.size
        context.show_progress(f"{size} writes at once on {limit} connections")
        await context.target.control_database("PUT", "/limit", {"max_connections": limit})
        with context.faults.record_during(f"{limit} connections", "exhausted"):
            under_way = asyncio.create_task(context.send_burst(self._writes.make_calls()))
            peaks = await watch_sessions(context, under_way)
            samples = await under_way
        context.check_statuses(f"{size} at once on {limit} connections", {201: size}, samples)
        _check_peaks(context, f"On {limit}: connections of the server in use", limit, peaks.writing, peaks)
        context.check_at_least(f"On {limit}: connections in use at the peak", MOST_USED * limit, peaks.writing)
        if limit < size:
            waited = sum(s.is_accepted and s.latency_ms >= 2000 * self._slow_s for s in samples)
            context.check_at_least(f"On {limit}: the others wait their turn", size - limit, waited)
        turned_away = count_turned_away(samples, BORROW_S)
        context.check_equal(f"On {limit}: turned away for want of a connection", 0, turned_away)
        took_s = _measure_burst(samples)
        self._check_rounds(limit, took_s)
        return took_s

    def _check_rounds(self, limit: int, took_s: float) -> None:
        rounds = self._count_rounds(limit)
        turns = f"{rounds} turns" if rounds > 1 else "one turn"
        least, most = rounds * self._slow_s, rounds * self._slow_s + self._work_s
        self._context.check(
            f"On {limit}: all are done in {turns}",
            holds=least <= took_s <= most,
            wanted=f"{least:.2f} to {most:.2f} s",
            found=f"{took_s:.2f} s",
        )

    def judge(self, took: Sequence[Point]) -> None:
        """Draw the curve, and check by how much sooner the same writes end on the most connections."""
        context, (first, last) = self._context, (took[0][0], max(limit for limit, _ in took))
        title = f"{self._writes.size} writes of {self._slow_s * 1000:.0f} ms at the same instant"
        worst = [(limit, max(t for of, t in took if of == limit)) for limit in dict.fromkeys(of for of, _ in took)]
        context.charts.append(
            Chart(title, "server connections", "seconds until the last answer", [ChartLine("took", worst)])
        )
        fewest, most = [t for of, t in took if of == first], [t for of, t in took if of == last]
        ratio = min(fewest) / max(most)
        context.record_figure(f"{first:.0f} → {last:.0f} connections: the same work ends sooner by", ratio, "×")
        rounds = self._count_rounds(int(first)), self._count_rounds(int(last))
        least = rounds[0] * self._slow_s / (rounds[1] * self._slow_s + self._work_s)
        name = f"From {first:.0f} to {last:.0f} connections the same work takes {rounds[1]} turn instead of {rounds[0]}"
        context.check_at_least(name, least, ratio, "×")


def _measure_burst(samples: Sequence[CallSample]) -> float:
    """Return the seconds from the instant of a burst to its last answer."""
    return max(s.done_s for s in samples) - min(s.meant_s for s in samples)
