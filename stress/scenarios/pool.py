"""Scenario: connection pool stress."""

import asyncio
import itertools
from collections.abc import Sequence

import psutil

from stress.ledger import CallSample, PlannedCall
from stress.model import Chart, ChartLine, Point
from stress.profiles import Profile
from stress.scenario_context import LocalScenarioContext
from stress.scenario_end import reconcile, wait_until_idle
from stress.scenarios.claims import make_claim
from stress.scenarios.shared_steps import (
    NORMAL_WRITES,
    SENT_S,
    SLOW_S,
    SLOW_WRITES,
    build_slow_writes_sql,
    count_statuses,
    wait_for_borrowed,
    warm_environments,
)

IDLE_S, LIFETIME_S, CONNECT_S = 2.0, 5.0, 2.0  # of the function whose limits are shortened here
JITTER = 0.1  # of the lifetime
GIVES_UP_S = 4 * CONNECT_S + 2.0  # three retries and their pauses
LAMBDA_S = 28.0
SAMPLED_S = 0.1
PROMISED = 50  # connections of all environments together: the deployed setting must be this
CALLERS = 60  # calls at the same instant on the deployed pool: more than it has connections
# The last of five rounds waits for a connection until the four before it are done: their writes, and on a busy machine
# half a second of work and TLS handshakes besides. The pool's borrow timeout is 10 s.
SLOWEST_S = 1.5
TITLE = "Connection pool stress"
PROMISE = (
    "60 requests at the same instant on the 50 connections that are deployed, and 50 on 10 to 50: never more "
    "connections than allowed, the rest waits its turn, and nobody is turned away. Idle and old connections are "
    "replaced, a dead host is given up in time."
)
CONNECTIONS = """
SELECT count(*) AS n FROM pg_stat_activity WHERE usesysid IN (
    SELECT member FROM pg_auth_members WHERE roleid = 'interdomestik_functions'::regrole AND NOT admin_option)"""


SHORT_LIVED = "JobsFunction"


class ConcurrentWrites:
    """The writes of one instant: two fifths for each of two functions, and one fifth claims."""

    def __init__(self, context: LocalScenarioContext, size: int) -> None:
        self._context = context
        self._share = size // 5
        self._members = itertools.cycle(context.fixtures.take_members(_count_claimants(size)))

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


def count_members_needed(profile: Profile) -> int:
    """Return how many members the scenario takes."""
    return _count_claimants(CALLERS) + _count_claimants(profile.burst_size)


def _count_claimants(size: int) -> int:
    """Return how many members file the claims of a burst, so that none reaches the limit of claims."""
    share = size // 5
    return share + share // 2


async def run(context: LocalScenarioContext) -> None:
    """Run the scenario."""
    writes = ConcurrentWrites(context, CALLERS)
    await _warm_environments(context, writes)
    slow_s = choose_write_time(await _run_as_deployed(context, writes))
    await _measure_curve(context, ConcurrentWrites(context, context.profile.burst_size), slow_s)
    if context.profile.runs_long_checks:
        await _check_replacement(context)
        await _connect_to_dead_host(context)
    await reconcile(context)


async def _warm_environments(context: LocalScenarioContext, writes: ConcurrentWrites) -> None:
    """Start one environment for each call, so that no start is measured."""
    share = CALLERS // 5
    context.show_progress(f"starting {CALLERS} environments")
    started = 0
    for function, make_call, count in (
        ("AgentsFunction", context.call_factory.make_application, 2 * share),
        ("MembersFunction", context.call_factory.make_registration, 2 * share),
        ("ClaimsFunction", writes.make_list_call, share),
    ):
        started += await warm_environments(context.target, context.generator, function, make_call, count)
    context.record_figure("Environments that were started before", started)


def choose_write_time(took_s: float) -> float:
    """Return how long each write shall take: at least as long as this machine needs to work on all of them.

    `took_s` is what the writes on the deployed connections took, in two rounds. Were the work the longer part, the
    writes would neither overlap nor finish sooner on more connections.
    """
    return min(max(SLOW_S, took_s - 2 * SLOW_S), SLOWEST_S)


async def _run_as_deployed(context: LocalScenarioContext, writes: ConcurrentWrites) -> float:
    """Make more writes at once than connections, on the pool as the deployed setting sizes it; nothing here sets it.

    Return the seconds until the last was answered.
    """
    deployed = (await context.target.control_database("GET", "/counts"))["max_connections"]
    context.check_equal("Connections that the fleet may have, as deployed", PROMISED, deployed)
    context.show_progress(f"{CALLERS} writes at once on the {deployed} connections of the deployed setting")
    await context.target.query_rows(SLOW_WRITES)
    try:
        await context.target.control_database("POST", "/counts/reset")
        under_way = asyncio.create_task(context.send_burst(writes.make_calls()))
        backends = await _count_sessions(context, under_way)
        samples = await under_way
    finally:
        await context.target.query_rows(NORMAL_WRITES)
    counts = await context.target.control_database("GET", "/counts")
    context.check_equal(f"{CALLERS} at once as deployed", {201: CALLERS}, count_statuses(samples))
    context.check_at_most("As deployed: connections of the server", PROMISED, max(counts["open_max"], backends))
    context.check_equal("As deployed: turned away for want of a connection", 0, counts["borrow_timeouts"])
    return _measure_burst(samples)


async def _count_sessions(context: LocalScenarioContext, under_way: "asyncio.Task[list[CallSample]]") -> int:
    """Return the most sessions of the functions' role that PostgreSQL has shown while the calls were under way."""
    await asyncio.sleep(SENT_S)  # so as not to disturb the sends
    most = 0
    while not under_way.done():
        most = max(most, (await context.target.query_rows(CONNECTIONS))[0]["n"])
        await asyncio.sleep(SAMPLED_S)
    return most


async def _measure_curve(context: LocalScenarioContext, writes: ConcurrentWrites, slow_s: float) -> None:
    """Make the same writes, each of a known time, with a rising connection limit that is set here."""
    deployed = (await context.target.control_database("GET", "/counts"))["max_connections"]
    await context.target.query_rows(build_slow_writes_sql(slow_s))
    try:
        took: list[Point] = [
            (limit, await _measure_step(context, writes, limit)) for limit in context.profile.pool_steps
        ]
    finally:
        await context.target.query_rows(NORMAL_WRITES)
        await context.target.control_database("PUT", "/limit", {"max_connections": deployed})
    title = f"{context.profile.burst_size} writes of {slow_s * 1000:.0f} ms at the same instant"
    context.charts.append(
        Chart(title, "server connections", "seconds until the last answer", [ChartLine("took", took)])
    )
    first, last = took[0], took[-1]
    context.record_figure(
        f"{first[0]:.0f} → {last[0]:.0f} connections: the same work ends sooner by", first[1] / last[1], "×"
    )
    context.check_at_least(
        f"From {first[0]:.0f} to {last[0]:.0f} connections the same work is done at least twice as fast",
        2.0,
        first[1] / last[1],
        "×",
    )


async def _measure_step(context: LocalScenarioContext, writes: ConcurrentWrites, limit: int) -> float:
    """Return the seconds until the last of the calls was answered with this limit."""
    context.show_progress(f"{context.profile.burst_size} writes at once on {limit} connections")
    await context.target.control_database("PUT", "/limit", {"max_connections": limit})
    await context.target.control_database("POST", "/counts/reset")
    with context.faults.record_during(f"{limit} connections", "exhausted"):
        under_way = asyncio.create_task(context.send_burst(writes.make_calls()))
        await wait_for_borrowed(context, limit, under_way)
        backends = (await context.target.query_rows(CONNECTIONS))[0]["n"]
        samples = await under_way
    counts = await context.target.control_database("GET", "/counts")
    context.check_equal(
        f"{context.profile.burst_size} at once on {limit} connections",
        {201: context.profile.burst_size},
        count_statuses(samples),
    )
    context.check_at_most(f"On {limit}: connections of the server in use", limit, max(counts["borrowed_max"], backends))
    context.check_at_least(f"On {limit}: connections in use at the peak", 0.8 * limit, counts["borrowed_max"])
    if limit < context.profile.burst_size:
        context.check_at_least(
            f"On {limit}: the others wait their turn", 0.8 * (context.profile.burst_size - limit), counts["waiting_max"]
        )
    context.check_equal(f"On {limit}: turned away for want of a connection", 0, counts["borrow_timeouts"])
    return _measure_burst(samples)


def _measure_burst(samples: Sequence[CallSample]) -> float:
    """Return the seconds from the instant of a burst to its last answer."""
    return max(s.done_s for s in samples) - min(s.meant_s for s in samples)


def _make_jobs_call(context: LocalScenarioContext, **changes: object) -> PlannedCall:
    """Return a read by the function whose limits are shortened here."""
    return context.call_factory.make_read("jobs", "/jobs?state=failed", token=context.fixtures.admin, **changes)


async def _check_replacement(context: LocalScenarioContext) -> None:
    """Check that a connection is kept while it is used, and replaced when it was idle too long or is too old."""
    context.show_progress("one connection: kept, replaced for its age, replaced after idling")
    await _list_connections_after_call(context)  # starts the environment
    await context.pause(IDLE_S + 0.5, "so that it begins with a new one")
    clock, seen = context.generator.clock, []
    began = clock.read_now()
    while clock.read_now() < began + LIFETIME_S + 1.0:
        seen.append((clock.read_now() - began, await _list_connections_after_call(context)))
        await asyncio.sleep(0.4)
    young = {line for at, line in seen if at < LIFETIME_S * (1 - JITTER) - 0.8}
    context.check_equal("In use it stays the same connection", 1, len(young))
    context.check(
        "Past its lifetime it is another one",
        holds=seen[-1][1] not in young,
        wanted="another",
        found="another" if seen[-1][1] not in young else "the same",
    )
    await context.pause(IDLE_S + 0.5, "longer than the idle limit")
    later = await _list_connections_after_call(context)
    context.check(
        "After idling it is another one",
        holds=later != seen[-1][1],
        wanted="another",
        found="another" if later != seen[-1][1] else "the same",
    )
    context.notes.append(
        f"Idle limit {IDLE_S:.0f} s and lifetime {LIFETIME_S:.0f} s for the function that is watched; "
        "all others have 20 s and 3600 s."
    )


async def _list_connections_after_call(context: LocalScenarioContext) -> frozenset[int]:
    """Return the local ports of the function's database connections, after one call."""
    context.samples_wanted += 1
    await context.generator.send(_make_jobs_call(context))
    pids = [each["pid"] for each in await context.target.list_environments(SHORT_LIVED)]
    return frozenset(
        port for pid in pids for port in _list_database_connections(pid, context.target.ports["database_proxy"])
    )


def _list_database_connections(pid: int, port: int) -> list[int]:
    connections = psutil.Process(pid).net_connections("tcp")
    return [
        c.laddr.port for c in connections if c.raddr and c.raddr.port == port and c.status == psutil.CONN_ESTABLISHED
    ]


async def _connect_to_dead_host(context: LocalScenarioContext) -> None:
    """Make the database's host accept connections and never respond.

    Wait for all mails first: one that is sent while its job can't be updated would stay uncertain, as it should.
    """
    await wait_until_idle(context)
    context.show_progress("a database that does not answer")
    with context.faults.record_during("database silent", "database"):
        await context.target.control_database("PUT", "/black-hole", {"on": True})
        try:
            await _check_gives_up(context)
        finally:
            await context.target.control_database("PUT", "/black-hole", {"on": False})
            await context.target.control_database("POST", "/cut")
    after = await context.generator.insist(_make_jobs_call(context, wanted=(200, 503)))
    context.check_equal("Once it answers again, so do we", 200, after.status)


async def _check_gives_up(context: LocalScenarioContext) -> None:
    await context.pause(IDLE_S + 0.5, "so that a new connection is needed")
    context.samples_wanted += 1
    sample = await context.generator.send(_make_jobs_call(context, wanted=(503,)))
    context.check_equal("A call on a dead host", (503, True), (sample.status, sample.retry_after_s is not None))
    context.check_at_most(
        f"Given up in time, with {CONNECT_S:.0f} s for a connection", GIVES_UP_S, sample.latency_ms / 1000, "s"
    )
    if context.profile.waits_for_refill:
        context.samples_wanted += 1
        long = await context.generator.send(context.call_factory.make_registration(wanted=(503,)))
        context.check_at_most(
            "Given up in time, with 10 s for a connection, as deployed", LAMBDA_S, long.latency_ms / 1000, "s"
        )
