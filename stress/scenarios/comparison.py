"""The comparison with the predecessor: how much load each system serves, and what each bears.

All figures are shown, whoever is ahead. Checks are of what this system promises, and of nothing else.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace

from stress.estimates import TooFewSamples, estimate_share, estimate_share_ratio
from stress.model import Estimate
from stress.scenario_context import LocalScenarioContext
from stress.scenarios.capacity_curves import (
    BURST_P95_MS,
    RATE_P95_MS,
    LoadSearch,
    estimate_load_ratio,
    search_bursts,
    search_rates,
)
from stress.scenarios.compared_systems import ComparedSystem
from stress.scenarios.mixed_load import (
    AFTER,
    MIXED_CALLS,
    SLOW_MAIL_S,
    MixedLoadResult,
    count_records,
    repeat_undecided,
    run_with_dead_mail,
    run_with_restart,
    run_with_slow_mail,
)

# Where the searches begin: near what was found on two processors. Elsewhere they take a few rounds more.
FIRST_BURSTS = {"before": 450.0, AFTER: 75.0}
FIRST_RATES = {"before": 400.0, AFTER: 60.0}
BURST_ROUNDS = 10
RATE_ROUNDS = 10
SLOW_MAIL_ROUNDS = 8
BURST_BAR = f"errors < 1 % and p95 ≤ {BURST_P95_MS / 1000:.0f} s"
RATE_BAR = f"errors < 1 % and p95 ≤ {RATE_P95_MS:.0f} ms"
AT_RANDOM = "Requests a second, arriving at random"
SLOW, DEAD, RESTART = "each mail takes 200 ms", "mail is down", "the database restarts"
TROUBLE = {SLOW: run_with_slow_mail, DEAD: run_with_dead_mail, RESTART: run_with_restart}

LIMITS_OF_LOADS = (
    "(a), (b) and (d), before: one process does all of the work, so at most one processor; it keeps no limits, keys, "
    "jobs or audit entries, and creates no sign-ins.",
    "(a), (b) and (d), after: a call passes a gateway, a Lambda runtime, DynamoDB and the database's proxy, and a job "
    "sends its mail. Here all of them are emulated by the same processors; on AWS they have their own.",
)
LIMITS_IN_TROUBLE = (
    "(c), before: a mail is sent within its request, so a slow mail makes the request slow and a dead one makes it "
    "fail; a request that is in the database when that restarts fails, as nothing repeats it.",
    "(c), after: mails wait in the outbox for the worker, and a transaction that lost its connection is repeated.",
)


async def compare_loads(context: LocalScenarioContext, systems: Sequence[ComparedSystem]) -> None:
    """Find how many requests at one instant, and a second, each system serves; then the latter with slow mail."""
    bursts = await search_bursts(context, systems, FIRST_BURSTS, BURST_ROUNDS)
    _record_loads(context, "(a)", "requests at one instant", bursts, BURST_BAR)
    rates = {name: LoadSearch(rate, RATE_P95_MS) for name, rate in FIRST_RATES.items()}
    await search_rates(context, systems, rates, RATE_ROUNDS, AT_RANDOM)
    _record_loads(context, "(b)", "requests a second", rates, RATE_BAR)
    slow = {name: LoadSearch(found.load, RATE_P95_MS, is_near=True) for name, found in rates.items()}
    await context.target.control_mail(delay_s=SLOW_MAIL_S)
    try:
        await search_rates(context, systems, slow, SLOW_MAIL_ROUNDS, f"{AT_RANDOM}, {SLOW}")
    finally:
        await context.target.control_mail(delay_s=0.0)
    _record_loads(context, "(d)", f"requests a second, {SLOW}", slow, RATE_BAR)
    searches = (bursts, rates, slow)
    own_faults = sum(found.own_faults for each in searches for name, found in each.items() if name != AFTER)
    context.check_equal("Answers of the predecessor that tell of a fault of its own, in no trouble", 0, own_faults)
    context.notes.extend(LIMITS_OF_LOADS)


def _record_loads(
    context: LocalScenarioContext, key: str, what: str, searches: Mapping[str, LoadSearch], bar: str
) -> None:
    for name, search in searches.items():
        context.record_estimate(f"{key} {what}, {name}", search.estimate(), note=bar)
    ratio = estimate_load_ratio(searches[AFTER], searches["before"])
    context.record_estimate(f"{key} after ÷ before", ratio, "×", what)


async def bear_trouble(
    context: LocalScenarioContext, systems: Sequence[ComparedSystem], troubles: Sequence[str] = (SLOW, DEAD, RESTART)
) -> None:
    """Run the mixes in each trouble on each system, which begin in turn; check what this one promises."""
    for number, what in enumerate(troubles):
        run_mix = TROUBLE[what]
        mixes = {
            system.name: await run_mix(context, system)
            for system in (systems if number % 2 == 0 else reversed(systems))
        }
        for name in sorted(mixes, reverse=True):
            _record_share(context, f"(c) 20 + 20 + 15 at once, {what}: answered well, {name}", mixes[name])
        if "before" in mixes:
            _record_share_ratio(context, f"(c) {what}: after ÷ before", mixes[AFTER], mixes["before"])
        current = next(system for system in systems if system.name == AFTER)
        await _judge_mix(context, what, current, mixes[AFTER])
    if len(systems) > 1:
        context.notes.extend(LIMITS_IN_TROUBLE)


async def _judge_mix(context: LocalScenarioContext, what: str, current: ComparedSystem, mix: MixedLoadResult) -> None:
    wanted = {201: MIXED_CALLS * context.profile.mix_rounds}
    if what != RESTART:
        name = f"(c) 20 + 20 + 15 at once, {what}: all accepted at the first try"
        context.check_statuses(name, wanted, mix.samples)
        if what == DEAD:
            context.check_at_least("(c) Mails that the dead mail service refused", 1, mix.refused_mails, "mails")
        return
    # If none was in progress, a restart has proven nothing.
    context.check_at_least("(c) Calls without an answer when the database restarted", 1, mix.in_progress, "calls")
    decided = await repeat_undecided(current, mix.samples)
    context.check_statuses("(c) The database restarts: all accepted in the end", wanted, decided)
    lost, doubled = await count_records(context, decided)
    context.check_equal("(c) The database restarts: accepted calls that were lost", 0, lost)
    context.check_equal("(c) The database restarts: records beyond one for each call", 0, doubled)


def _record_share(context: LocalScenarioContext, name: str, mix: MixedLoadResult) -> None:
    count = len(mix.samples)
    context.record_estimate(
        name, _convert_to_percent(estimate_share(len(mix.accepted), count)), "%", f"{len(mix.accepted)} of {count}"
    )


def _convert_to_percent(share: Estimate | TooFewSamples) -> Estimate | TooFewSamples:
    if isinstance(share, TooFewSamples):
        return share
    return replace(share, value=100 * share.value, low=100 * share.low, high=100 * share.high)


def _record_share_ratio(
    context: LocalScenarioContext, name: str, after: MixedLoadResult, before: MixedLoadResult
) -> None:
    ratio = estimate_share_ratio(len(after.accepted), len(after.samples), len(before.accepted), len(before.samples))
    context.record_estimate(name, ratio, "×", "calls that were accepted at their first try")
