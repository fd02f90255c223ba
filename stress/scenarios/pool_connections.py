"""The connection of an execution environment: kept while it is used, replaced by idleness and age, given up in time.

One function has an idle limit, a lifetime and a connect timeout that a run can wait for (stress/run.py). All others
run as deployed, which is checked of each environment; the deployed idle limit and connect timeout are waited for too.
"""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass

import psutil

from stress.ledger import PlannedCall
from stress.scenario_context import LocalScenarioContext
from stress.scenario_end import wait_until_idle

SHORT_LIVED = "JobsFunction"
SHORTENED = {"DB_IDLE_TIMEOUT": "2", "DB_MAX_LIFETIME": "5", "DB_CONNECT_TIMEOUT": "2"}
DEPLOYED = {
    "DB_MAX_CONNECTIONS": "50",
    "DB_IDLE_TIMEOUT": "20",
    "DB_MAX_LIFETIME": "3600",
    "DB_CONNECT_TIMEOUT": "10",
}
IDLE_S, LIFETIME_S = float(SHORTENED["DB_IDLE_TIMEOUT"]), float(SHORTENED["DB_MAX_LIFETIME"])
CONNECT_S = float(SHORTENED["DB_CONNECT_TIMEOUT"])
DEPLOYED_IDLE_S, DEPLOYED_CONNECT_S = float(DEPLOYED["DB_IDLE_TIMEOUT"]), float(DEPLOYED["DB_CONNECT_TIMEOUT"])
JITTER = 0.1  # of the lifetime
KEPT_BEFORE_S, REPLACED_AFTER_S = 3.0, 1.0  # of the deployed idle limit: when a connection must still be, or be gone

# What a call on a dead host takes follows from the settings. A connection that was idle is first asked whether it still
# answers; then a new one is tried for as long as the connect timeout says. An environment whose retry budget is full
# retries once, after a pause; the retry empties its budget, so that the next call tries once (decision 13).
CHECK_S = 1.0  # to find out whether an idle connection still answers
PAUSE_S = 0.1  # the longest before the first retry
WORK_S = 1.5  # everything else in a call, on a busy machine
CLOCK_S = 0.05  # the clocks of client and function, and a timer's rounding
AT_REST_S, POLL_S = 5.0, 0.02  # from an answer until its environment can take the next call; usually at once


def compute_dead_host_s(connect_s: float, attempts: int, *, is_checked: bool) -> float:
    """Return the longest time that a call may take on a host that accepts connections and never responds.

    `is_checked` says whether there may be an old connection to be checked first.
    """
    return is_checked * CHECK_S + attempts * connect_s + (attempts - 1) * PAUSE_S + WORK_S


def make_jobs_call(context: LocalScenarioContext, **changes: object) -> PlannedCall:
    """Return a read by the function whose limits are shortened here."""
    return context.call_factory.make_read("jobs", "/jobs?state=failed", token=context.fixtures.admin, **changes)


def _make_agents_call(context: LocalScenarioContext) -> PlannedCall:
    return context.call_factory.make_read("agents", "/agents?limit=1", token=context.fixtures.admin)


def _make_members_call(context: LocalScenarioContext) -> PlannedCall:
    return context.call_factory.make_read("members", "/members?limit=1", token=context.fixtures.admin)


async def check_settings(context: LocalScenarioContext, least: int) -> None:
    """Check that every environment that can reach the database has the deployed settings, but for those shortened."""
    status = await context.target.http("GET", f"{context.target.origin}/_local/status")
    seen = [
        (name, await asyncio.to_thread(_read_settings, each["pid"]))
        for name, function in status["functions"].items()
        for each in function["environments"]
        if each["pid"] is not None
    ]
    seen = [(name, settings) for name, settings in seen if settings]
    wrong = [(name, settings) for name, settings in seen if settings != _find_settings(name)]
    context.check_equal("Environments without the deployed settings, but for those shortened here", [], wrong)
    context.check_at_least("Environments whose settings were read", least, len(seen))


def _find_settings(function: str) -> dict[str, str]:
    return DEPLOYED | (SHORTENED if function == SHORT_LIVED else {})


def _read_settings(pid: int) -> dict[str, str]:
    """Return the settings in an environment's own variables; none of an environment that has ended meanwhile."""
    try:
        variables = psutil.Process(pid).environ()
    except psutil.Error:
        return {}
    return {name: variables[name] for name in DEPLOYED if name in variables}


async def check_replacement(context: LocalScenarioContext) -> None:
    """Check that a connection is kept while it is used, and replaced when it was idle too long or is too old."""
    context.show_progress("one connection: kept, replaced for its age, replaced after idling")
    await asyncio.gather(_check_shortened(context), _check_deployed_idle_limit(context))


async def _check_shortened(context: LocalScenarioContext) -> None:
    await _list_connections_after_call(context)  # starts the environment
    # Let the connection grow too old, so that the next call opens a new one even if idleness did not count. Age would
    # replace the one that is watched for idleness below, and an idle limit that nobody keeps would look kept.
    await asyncio.sleep(LIFETIME_S + 0.5)
    clock, seen = context.generator.clock, []
    began = clock.read_now()
    while clock.read_now() < began + LIFETIME_S + 1.0:
        seen.append((clock.read_now() - began, await _list_connections_after_call(context)))
        await asyncio.sleep(0.4)
    young = {line for at, line in seen if at < LIFETIME_S * (1 - JITTER) - 0.8}
    context.check_equal("In use it stays the same connection", (1, 1), (len(young), max(map(len, young), default=0)))
    last = seen[-1][1]
    _check_is_another(context, "Past its lifetime it is another one", last, young)
    await asyncio.sleep(IDLE_S + 0.1)  # so soon that age is no reason to replace it
    _check_is_another(context, "After idling it is another one", await _list_connections_after_call(context), {last})
    context.notes.append(
        f"{SHORT_LIVED} has an idle limit of {IDLE_S:.0f} s, a lifetime of {LIFETIME_S:.0f} s and a connect timeout of "
        f"{CONNECT_S:.0f} s, so that a run reaches them; all others have {DEPLOYED_IDLE_S:.0f} s, "
        f"{DEPLOYED['DB_MAX_LIFETIME']} s and {DEPLOYED_CONNECT_S:.0f} s."
    )


def _check_is_another(
    context: LocalScenarioContext, name: str, now: frozenset[int], before: set[frozenset[int]]
) -> None:
    """Check that there is exactly one connection, which was not there before: none at all would be no replacement."""
    found = "none" if not now else "the same" if now in before else "another" if len(now) == 1 else "several"
    context.check_equal(name, "another", found)


async def _list_connections_after_call(context: LocalScenarioContext) -> frozenset[int]:
    """Return the local ports of the function's database connections, after one call."""
    context.samples_wanted += 1
    await context.generator.send(make_jobs_call(context))
    environments = await _list_environments(context, SHORT_LIVED)
    return frozenset().union(*(each.ports for each in environments.values()))


@dataclass(frozen=True)
class _EnvironmentConnections:
    """The number of calls that an environment has served, and the local ports of its database connections."""

    invocations: int
    ports: frozenset[int]


async def _list_environments(context: LocalScenarioContext, function: str) -> dict[int, _EnvironmentConnections]:
    port = context.target.ports["database_proxy"]
    found = await context.target.list_environments(function)
    return {each["pid"]: _EnvironmentConnections(each["invocations"], _list_ports(each["pid"], port)) for each in found}


def _list_ports(pid: int, port: int) -> frozenset[int]:
    connections = psutil.Process(pid).net_connections("tcp")
    return frozenset(
        c.laddr.port for c in connections if c.raddr and c.raddr.port == port and c.status == psutil.CONN_ESTABLISHED
    )


async def _check_deployed_idle_limit(context: LocalScenarioContext) -> None:
    """Check the deployed idle limit: by one function that idles shorter, and one that idles longer."""
    kept, replaced = await asyncio.gather(
        _watch_idle_connection(context, "AgentsFunction", _make_agents_call, DEPLOYED_IDLE_S - KEPT_BEFORE_S),
        _watch_idle_connection(context, "MembersFunction", _make_members_call, DEPLOYED_IDLE_S + REPLACED_AFTER_S),
    )
    limit = f"{DEPLOYED_IDLE_S:.0f} s"
    context.check_equal(f"Idle for less than the deployed {limit} it is the same connection", "the same", kept)
    context.check_equal(f"Idle for more than the deployed {limit} it is another one", "another", replaced)


async def _watch_idle_connection(
    context: LocalScenarioContext,
    function: str,
    make_call: Callable[[LocalScenarioContext], PlannedCall],
    idle_s: float,
) -> str:
    """Return whether the environment that serves two calls uses the same connection for both, `idle_s` apart."""
    context.samples_wanted += 2
    await context.generator.send(make_call(context))  # the environment used last serves the next call as well
    before = await _list_environments(context, function)
    await asyncio.sleep(idle_s)
    await context.generator.send(make_call(context))
    after = await _list_environments(context, function)
    served = [pid for pid, each in after.items() if pid in before and each.invocations > before[pid].invocations]
    if len(served) != 1:
        return f"{len(served)} environments were called"
    now, then = after[served[0]].ports, before[served[0]].ports
    if len(now) != 1 or len(then) != 1:
        return f"{len(then)} and then {len(now)} connections"
    return "the same" if now == then else "another"


async def connect_to_dead_host(context: LocalScenarioContext) -> None:
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
    after = await context.generator.insist(make_jobs_call(context, wanted=(200, 503)))
    context.check_equal("Once it answers again, so do we", 200, after.status)


async def _check_gives_up(context: LocalScenarioContext) -> None:
    await context.pause(IDLE_S + 0.5, "so that a new connection is needed")
    short, deployed = (f"{seconds:.0f} s for a connection" for seconds in (CONNECT_S, DEPLOYED_CONNECT_S))
    shortened = _check_calls_give_up(context, SHORT_LIVED, CONNECT_S, short, make_jobs_call)
    if context.profile.waits_for_refill:
        setting = f"{deployed}, as deployed"
        as_deployed = _check_calls_give_up(
            context, "MembersFunction", DEPLOYED_CONNECT_S, setting, _make_registration, may_be_connected=True
        )
        await asyncio.gather(shortened, as_deployed)
    else:
        await shortened


def _make_registration(context: LocalScenarioContext, **changes: object) -> PlannedCall:
    return context.call_factory.make_registration(**changes)


async def _wait_until_at_rest(context: LocalScenarioContext, function: str) -> None:
    """Wait until all environments of a function are idle: the next call reaches the one that has answered last."""
    until = context.generator.clock.read_now() + AT_REST_S
    while context.generator.clock.read_now() < until:
        if all(each["state"] == "idle" for each in await context.target.list_environments(function)):
            return
        await asyncio.sleep(POLL_S)


async def _check_calls_give_up(
    context: LocalScenarioContext,
    function: str,
    connect_s: float,
    setting: str,
    make_call: Callable[..., PlannedCall],
    *,
    may_be_connected: bool = False,
) -> None:
    """Check how long two calls in a row take on a dead host: one attempt at least, and no more than are allowed."""
    for attempts, which, is_checked in ((2, "", may_be_connected), (1, ", called again at once", False)):
        context.samples_wanted += 1
        await _wait_until_at_rest(context, function)
        sample = await context.generator.send(make_call(context, wanted=(503,)))
        took_s = sample.latency_ms / 1000
        context.check_equal(
            f"A call on a dead host, with {setting}{which}",
            (503, "unavailable", True),
            (sample.status, sample.problem, sample.retry_after_s is not None),
        )
        context.check_at_least(f"Not given up before its {setting}{which}", connect_s - CLOCK_S, took_s, "s")
        most_s = compute_dead_host_s(connect_s, attempts, is_checked=is_checked)
        context.check_at_most(f"Given up in time, with {setting}{which}", most_s, took_s, "s")
