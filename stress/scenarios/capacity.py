"""Scenario: load and capacity. 50 users for a while, and how much the system takes, before and after."""

import asyncio
import random
from collections.abc import Sequence
from dataclasses import replace

from stress.fixtures import SignedInUser
from stress.ledger import CallSample, PlannedCall
from stress.limits import ObservedLimit, count_wrongly_accepted, count_wrongly_refused
from stress.profiles import Profile
from stress.scenario_context import LocalScenarioContext
from stress.scenario_end import reconcile
from stress.scenarios import predecessor
from stress.scenarios.capacity_curves import measure_bursts, measure_rates, run_mixed_load
from stress.scenarios.claims import make_claim
from stress.scenarios.compared_systems import ComparedSystem
from stress.verdict import compute_percentile

TITLE = "Load and capacity"
PROMISE = (
    "50 users at work without an error and with p95 within 250 ms; and beside the predecessor's settings (10 "
    "connections, no retry, no breaker, no queueing) at least 5 times as many requests at the same instant."
)
PAUSE_S = (0.0, 1.6)  # between two calls of a user, as in the predecessor's script
P95_MS = 250.0
TIMES = 5.0
CLAIMS = ObservedLimit(5, 600)
READS = ObservedLimit(60, 60)
MIN_CALLS = 20  # samples


def count_members_needed(profile: Profile) -> int:
    """Return how many members the scenario takes: its users."""
    return profile.user_count


async def run(context: LocalScenarioContext) -> None:
    """Run the scenario."""
    users = context.fixtures.take_members(context.profile.user_count)
    after = ComparedSystem("after", context.target, context.generator, context.call_factory, users)
    context.show_progress("starting all environments")
    await after.warm_environments()
    await _run_users(context, users)
    if context.profile.compares:
        async with predecessor.start_predecessor(context) as other:
            await _compare_bursts(context, other, after)
            await _run_mix(context, other, after)
            await _compare_rates(context, other, after)
    else:
        await _measure_served(context, after)
        await _run_mix(context, after)
    await reconcile(context)


async def _measure_served(context: LocalScenarioContext, after: ComparedSystem) -> None:
    """Send five times the predecessor's ten calls at the same instant, where there is no time for a comparison."""
    count = int(TIMES * predecessor.CONNECTIONS)
    context.show_progress(f"{count} requests at the same instant")
    samples = await context.send_burst([replace(call, wanted=(200, 201)) for call in after.make_burst(count)])
    context.check_equal(
        f"{count} at the same instant: all served", count, sum(sample.is_accepted for sample in samples)
    )
    context.record_figure(
        f"{count} at the same instant: p95", compute_percentile([s.latency_ms for s in samples], 0.95), "ms"
    )


async def _run_users(context: LocalScenarioContext, users: Sequence[SignedInUser]) -> None:
    """Run the users: each calls, waits and calls again, independently of the others."""
    seconds, count = context.profile.users_s, len(users)
    context.show_progress(f"{count} users for {seconds:.0f} s")
    clock = context.generator.clock
    began = clock.read_now()
    made = await asyncio.gather(*(_run_user(context, user, n, began + seconds) for n, user in enumerate(users)))
    samples = [sample for each in made for sample in each]
    context.wanted += len(samples)
    context.check_at_least(
        "Calls made by the users", MIN_CALLS * count / 2 if seconds > MIN_CALLS else count, len(samples)
    )
    context.check_equal("Answers that no user should get", {}, _count_unexpected(samples))
    _judge_limits(context, made)
    context.notes.append(
        "Of 100 calls of a user 45 read the own record, 30 the own claims, 13 health; 5 register somebody, 3 apply as "
        "agents, 4 file a claim."
    )
    answered = [s.latency_ms for s in samples if s.is_accepted]
    context.record_figure(f"{count} users: calls a second", len(samples) / seconds)
    context.record_figure(f"{count} users: p50", compute_percentile(answered, 0.5), "ms")
    context.record_figure(f"{count} users: p95", compute_percentile(answered, 0.95), "ms")
    if context.profile.judges_speed:
        context.check_at_most(
            "p95 of everything the users did, end to end", P95_MS, compute_percentile(answered, 0.95), "ms"
        )


def _count_unexpected(samples: Sequence[CallSample]) -> dict[str, int]:
    unexpected = [f"{s.call.operation}: {s.answer}" for s in samples if not s.is_expected]
    return {answer: unexpected.count(answer) for answer in sorted(set(unexpected))}


def _judge_limits(context: LocalScenarioContext, made: Sequence[Sequence[CallSample]]) -> None:
    """Check the limits of users who file more claims or read more often: they are refused exactly then."""
    for name, limit, operations in (("claims", CLAIMS, {"claim"}), ("reads", READS, {"own member", "own claims"})):
        each = [[s for s in mine if s.call.operation in operations] for mine in made]
        context.check_equal(
            f"Their {name}: accepted beyond the limit", 0, sum(count_wrongly_accepted(mine, limit) for mine in each)
        )
        context.check_equal(
            f"Their {name}: refused within the limit", 0, sum(count_wrongly_refused(mine, limit) for mine in each)
        )


async def _run_user(context: LocalScenarioContext, user: SignedInUser, number: int, until: float) -> list[CallSample]:
    dice, clock, made = random.Random(number), context.generator.clock, []
    while (due := clock.read_now() + dice.uniform(*PAUSE_S)) < until:
        made.append(await context.generator.send(_choose_next_call(context, user, dice), due))
    return made


def _choose_next_call(context: LocalScenarioContext, user: SignedInUser, dice: random.Random) -> PlannedCall:
    """Return a user's next call: mostly reads, now and then a claim, or a new person."""
    at, read = dice.random(), {"token": user.token, "client": user.address, "wanted": (200, 429)}
    if at < 0.45:
        return context.call_factory.make_read("own member", "/members/me", **read)
    if at < 0.75:
        return context.call_factory.make_read("own claims", "/claims", **read)
    if at < 0.88:
        return context.call_factory.make_read("health", "/health", client=user.address)
    if at < 0.93:
        return context.call_factory.make_registration()
    return context.call_factory.make_application() if at < 0.96 else make_claim(context, user, wanted=(201, 429))


async def _compare_bursts(context: LocalScenarioContext, other: ComparedSystem, after: ComparedSystem) -> None:
    most = await measure_bursts(context, (other, after))
    ratio = _compute_ratio(most)
    context.record_figure("(a) requests at the same instant, before", most["before"])
    context.record_figure("(a) requests at the same instant, after", most["after"])
    context.record_figure("(a) after ÷ before", ratio, "×", "errors < 1 % and p95 ≤ 2 s")
    if context.profile.judges_speed:
        context.check_at_least("(a) Requests at the same instant: after ÷ before", TIMES, ratio, "×")


async def _compare_rates(context: LocalScenarioContext, other: ComparedSystem, after: ComparedSystem) -> None:
    most = await measure_rates(context, (other, after))
    ratio = _compute_ratio(most)
    context.record_figure("(b) requests a second, before", most["before"], "/s")
    context.record_figure("(b) requests a second, after", most["after"], "/s")
    context.record_figure("(b) after ÷ before", ratio, "×", "errors < 1 % and p95 ≤ 500 ms")
    context.notes.append(
        "(b) is bound by this machine's processors, which both sides share alike: the settings cost or save no work, "
        "they decide what happens to a request that meets a busy or broken part. Its ratio is small for that reason."
    )


def _compute_ratio(most: dict[str, float]) -> float:
    """Return after divided by before, which counts as one where not even the least was served."""
    return most["after"] / max(1.0, most["before"])


async def _run_mix(context: LocalScenarioContext, *systems: ComparedSystem) -> None:
    for system in systems:
        mix = await run_mixed_load(context, system)
        context.record_figure(
            f"(c) 20 + 20 + 15 at once, mail down, one restart of the database: answered well, {system.name}",
            100 * mix.share,
            "%",
            f"{mix.calls} calls",
        )
        context.record_figure(
            f"(c) calls without an answer when the database restarted, {system.name}", mix.met, "calls"
        )
        if system.name == "after":
            context.check_at_least("(c) Calls without an answer when the database restarted", 1, mix.met, "calls")
            context.check_equal(
                "(c) Answered well after: all of them, at the first try", 100.0, round(100 * mix.share, 2)
            )
