"""Connection pool stress."""

import asyncio
import itertools
from collections.abc import Sequence

import psutil

from stress.ledger import Call, Sample
from stress.model import Chart, Line, Point
from stress.profiles import Profile
from stress.reconcile import reconcile, settled
from stress.scenarios.claims import claim_of
from stress.scenarios.common import NORMAL, SENT_S, SLOW, SLOW_S, lent, slow_writes_sql, statuses, warm
from stress.stage import Stage

IDLE_S, LIFETIME_S, CONNECT_S = 2.0, 5.0, 2.0  # of the function whose limits are short here
JITTER = 0.1  # of the lifetime
GIVES_UP_S = 4 * CONNECT_S + 2.0  # three retries, their pauses
LAMBDA_S = 28.0
SAMPLED_S = 0.1
PROMISED = 50  # connections of the fleet: what is deployed must be this
CALLERS = 60  # at the same instant on the deployed pool: more than it has connections
# The last of five turns waits for a connection four times as long as a write takes; the pool lets it wait for 10 s.
SLOWEST_S = 2.0
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


class Crowd:
    """Writes for one instant: two fifths in each of two rooms, and one fifth claims."""

    def __init__(self, stage: Stage, size: int) -> None:
        self._stage = stage
        self._share = size // 5
        self._members = itertools.cycle(stage.crowd.take(_claimants(size)))

    def calls(self) -> list[Call]:
        """All of them, anew."""
        people, share = self._stage.people, self._share
        claims = [claim_of(self._stage, member) for member in itertools.islice(self._members, share)]
        writes = [(people.application(), people.registration()) for _ in range(2 * share)]
        return [*itertools.chain.from_iterable(writes), *claims]

    def listing(self) -> Call:
        """A member reads their claims: of the same room, and no claim is used up."""
        member = next(self._members)
        return self._stage.people.read("own claims", "/claims", token=member.token, client=member.address)


def members_needed(profile: Profile) -> int:
    """Return how many members the scenario takes."""
    return _claimants(CALLERS) + _claimants(profile.at_once)


def _claimants(size: int) -> int:
    """Return how many members file the claims of a crowd, so that none reaches the limit of claims."""
    share = size // 5
    return share + share // 2


async def run(stage: Stage) -> None:
    """The scenario."""
    crowd = Crowd(stage, CALLERS)
    await _warm(stage, crowd)
    slow_s = choose_write_time(await _as_deployed(stage, crowd))
    await _curve(stage, Crowd(stage, stage.profile.at_once), slow_s)
    if stage.profile.thorough:
        await _replaced(stage)
        await _dead_host(stage)
    await reconcile(stage)


async def _warm(stage: Stage, crowd: Crowd) -> None:
    """One environment for each of them, so that no start of one is measured."""
    share = CALLERS // 5
    stage.step(f"starting {CALLERS} environments")
    started = 0
    for function, kind, count in (
        ("AgentsFunction", stage.people.application, 2 * share),
        ("MembersFunction", stage.people.registration, 2 * share),
        ("ClaimsFunction", crowd.listing, share),
    ):
        started += await warm(stage.target, stage.generator, function, kind, count)
    stage.figure("Environments that were started before", started)


def choose_write_time(took_s: float) -> float:
    """Return how long the server takes over a write: as long as this machine works on all of them, where it is slow.

    `took_s` is what the writes on the deployed connections took, in two turns. Were the work the longer part, they
    would neither be under way together nor sooner done on more connections.
    """
    return min(max(SLOW_S, took_s - 2 * SLOW_S), SLOWEST_S)


async def _as_deployed(stage: Stage, crowd: Crowd) -> float:
    """More writes at once than connections, on the pool as the deployed setting sizes it; nothing here sets it.

    Returns the seconds until the last was answered.
    """
    deployed = (await stage.target.database("GET", "/counts"))["max_connections"]
    stage.equal("Connections that the fleet may have, as deployed", PROMISED, deployed)
    stage.step(f"{CALLERS} writes at once on the {deployed} connections of the deployed setting")
    await stage.target.rows(SLOW)
    try:
        await stage.target.database("POST", "/counts/reset")
        under_way = asyncio.create_task(stage.burst(crowd.calls()))
        backends = await _most_backends(stage, under_way)
        samples = await under_way
    finally:
        await stage.target.rows(NORMAL)
    counts = await stage.target.database("GET", "/counts")
    stage.equal(f"{CALLERS} at once as deployed", {201: CALLERS}, statuses(samples))
    stage.most("As deployed: connections of the server", PROMISED, max(counts["open_max"], backends))
    stage.equal("As deployed: turned away for want of a connection", 0, counts["borrow_timeouts"])
    return _measure_burst(samples)


async def _most_backends(stage: Stage, under_way: "asyncio.Task[list[Sample]]") -> int:
    """Return the most sessions of the functions' role that PostgreSQL has shown while the calls were under way."""
    await asyncio.sleep(SENT_S)  # not to be in the way of the sends
    most = 0
    while not under_way.done():
        most = max(most, (await stage.target.rows(CONNECTIONS))[0]["n"])
        await asyncio.sleep(SAMPLED_S)
    return most


async def _curve(stage: Stage, crowd: Crowd, slow_s: float) -> None:
    """A variation of the limit, set here: the same writes, each of a known time, on more and more connections."""
    deployed = (await stage.target.database("GET", "/counts"))["max_connections"]
    await stage.target.rows(slow_writes_sql(slow_s))
    try:
        took: list[Point] = [(limit, await _step(stage, crowd, limit)) for limit in stage.profile.pool_steps]
    finally:
        await stage.target.rows(NORMAL)
        await stage.target.database("PUT", "/limit", {"max_connections": deployed})
    title = f"{stage.profile.at_once} writes of {slow_s * 1000:.0f} ms at the same instant"
    stage.charts.append(Chart(title, "server connections", "seconds until the last answer", [Line("took", took)]))
    first, last = took[0], took[-1]
    stage.figure(f"{first[0]:.0f} → {last[0]:.0f} connections: the same work ends sooner by", first[1] / last[1], "×")
    stage.least(
        f"From {first[0]:.0f} to {last[0]:.0f} connections the same work is done at least twice as fast",
        2.0,
        first[1] / last[1],
        "×",
    )


async def _step(stage: Stage, crowd: Crowd, limit: int) -> float:
    """The seconds until the last of them was answered."""
    stage.step(f"{stage.profile.at_once} writes at once on {limit} connections")
    await stage.target.database("PUT", "/limit", {"max_connections": limit})
    await stage.target.database("POST", "/counts/reset")
    with stage.faults.during(f"{limit} connections", "exhausted"):
        under_way = asyncio.create_task(stage.burst(crowd.calls()))
        await lent(stage, limit, under_way)
        backends = (await stage.target.rows(CONNECTIONS))[0]["n"]
        samples = await under_way
    counts = await stage.target.database("GET", "/counts")
    stage.equal(
        f"{stage.profile.at_once} at once on {limit} connections", {201: stage.profile.at_once}, statuses(samples)
    )
    stage.most(f"On {limit}: connections of the server in use", limit, max(counts["borrowed_max"], backends))
    stage.least(f"On {limit}: connections in use at the peak", 0.8 * limit, counts["borrowed_max"])
    if limit < stage.profile.at_once:
        stage.least(
            f"On {limit}: the others wait their turn", 0.8 * (stage.profile.at_once - limit), counts["waiting_max"]
        )
    stage.equal(f"On {limit}: turned away for want of a connection", 0, counts["borrow_timeouts"])
    return _measure_burst(samples)


def _measure_burst(samples: Sequence[Sample]) -> float:
    """Return the seconds from the instant of a burst to its last answer."""
    return max(s.done_s for s in samples) - min(s.meant_s for s in samples)


def _jobs(stage: Stage, **changes: object) -> Call:
    """A read by the function whose limits are short here."""
    return stage.people.read("jobs", "/jobs?state=failed", token=stage.crowd.admin, **changes)


async def _replaced(stage: Stage) -> None:
    """The connection is kept while it is used, replaced when it has been idle too long, and when it is too old."""
    stage.step("one connection: kept, replaced for its age, replaced after idling")
    await _line_after_call(stage)  # starts the environment
    await stage.pause(IDLE_S + 0.5, "so that it begins with a new one")
    clock, seen = stage.generator.clock, []
    began = clock.now()
    while clock.now() < began + LIFETIME_S + 1.0:
        seen.append((clock.now() - began, await _line_after_call(stage)))
        await asyncio.sleep(0.4)
    young = {line for at, line in seen if at < LIFETIME_S * (1 - JITTER) - 0.8}
    stage.equal("In use it stays the same connection", 1, len(young))
    stage.check(
        "Past its lifetime it is another one",
        holds=seen[-1][1] not in young,
        wanted="another",
        found="another" if seen[-1][1] not in young else "the same",
    )
    await stage.pause(IDLE_S + 0.5, "longer than the idle limit")
    later = await _line_after_call(stage)
    stage.check(
        "After idling it is another one",
        holds=later != seen[-1][1],
        wanted="another",
        found="another" if later != seen[-1][1] else "the same",
    )
    stage.notes.append(
        f"Idle limit {IDLE_S:.0f} s and lifetime {LIFETIME_S:.0f} s for the function that is watched; "
        "all others have 20 s and 3600 s."
    )


async def _line_after_call(stage: Stage) -> frozenset[int]:
    """The local ports of the function's lines to the database, after one call."""
    stage.wanted += 1
    await stage.generator.send(_jobs(stage))
    pids = [each["pid"] for each in await stage.target.environments(SHORT_LIVED)]
    return frozenset(port for pid in pids for port in _database_lines(pid, stage.target.ports["database_proxy"]))


def _database_lines(pid: int, port: int) -> list[int]:
    lines = psutil.Process(pid).net_connections("tcp")
    return [c.laddr.port for c in lines if c.raddr and c.raddr.port == port and c.status == psutil.CONN_ESTABLISHED]


async def _dead_host(stage: Stage) -> None:
    """The database's host takes lines and never says a word.

    No mail is under way then: one that left while nobody could note it would be uncertain for ever, as it should.
    """
    await settled(stage)
    stage.step("a database that does not answer")
    with stage.faults.during("database silent", "database"):
        await stage.target.database("PUT", "/black-hole", {"on": True})
        try:
            await _given_up(stage)
        finally:
            await stage.target.database("PUT", "/black-hole", {"on": False})
            await stage.target.database("POST", "/cut")
    after = await stage.generator.insist(_jobs(stage, wanted=(200, 503)))
    stage.equal("Once it answers again, so do we", 200, after.status)


async def _given_up(stage: Stage) -> None:
    await stage.pause(IDLE_S + 0.5, "so that a new connection is needed")
    stage.wanted += 1
    sample = await stage.generator.send(_jobs(stage, wanted=(503,)))
    stage.equal("A call on a dead host", (503, True), (sample.status, sample.retry_after_s is not None))
    stage.most(f"Given up in time, with {CONNECT_S:.0f} s for a connection", GIVES_UP_S, sample.latency_ms / 1000, "s")
    if stage.profile.waits_for_refill:
        stage.wanted += 1
        long = await stage.generator.send(stage.people.registration(wanted=(503,)))
        stage.most("Given up in time, with 10 s for a connection, as deployed", LAMBDA_S, long.latency_ms / 1000, "s")
