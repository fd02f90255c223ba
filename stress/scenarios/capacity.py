"""Scenario: load and capacity. 50 users for a while; then how much load two systems can serve.

In the report "after" is the name of this system, and "before" that of the same code with the predecessor's settings.
Both clouds run at the same time, and are measured in turn.
"""

import asyncio
import random
from collections.abc import Sequence
from dataclasses import replace

from stress.fixtures import SignedInUser
from stress.ledger import CallSample, PlannedCall, count_unexpected
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
    "50 users at work without an error and with p95 within 250 ms; and compared with the predecessor's settings (10 "
    "connections, no retry, no breaker, no queueing) at least 5 times as many requests at the same instant."
)
PAUSE_S = (0.0, 1.6)  # between two calls of a user, as in the predecessor's script
P95_MS = 250.0
MIN_RATIO = 5.0  # requests at the same instant, after ÷ before
# Calls and seconds, for each user.
CLAIMS = ObservedLimit(5, 600)
READS = ObservedLimit(60, 60)
# A user makes about one call a second; far fewer in a long run mean that the generator or the system stood still.
LONG_RUN_S = 20.0
MIN_CALLS_PER_USER = 10  # on average


def count_members_needed(profile: Profile) -> int:
    """Return how many members the scenario needs: one for each user."""
    return profile.user_count


async def run(context: LocalScenarioContext) -> None:
    """Run the scenario."""
    users = context.fixtures.take_members(context.profile.user_count)
    current = ComparedSystem("after", context.target, context.generator, context.call_factory, users)
    context.show_progress("warming the environments")
    await current.warm_environments()
    await _run_users(context, users)
    if context.profile.compares:
        async with predecessor.start_predecessor(context) as previous:
            await _compare_bursts(context, previous, current)
            await _run_mix(context, previous, current)
            await _compare_rates(context, previous, current)
    else:
        await _measure_served(context, current)
        await _run_mix(context, current)
    await reconcile(context)


async def _measure_served(context: LocalScenarioContext, current: ComparedSystem) -> None:
    """Send MIN_RATIO times as many calls at the same instant as the predecessor has connections.

    This is for profiles without a comparison.
    """
    count = int(MIN_RATIO * predecessor.CONNECTIONS)
    context.show_progress(f"{count} requests at the same instant")
    samples = await context.send_burst([replace(call, wanted=(200, 201)) for call in current.make_burst(count)])
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
    samples_by_user = await asyncio.gather(
        *(_run_user(context, user, n, began + seconds) for n, user in enumerate(users))
    )
    samples = [sample for of_user in samples_by_user for sample in of_user]
    # Nothing plans how many calls the users make. Require these samples too, or they would make up for missing samples
    # of the bursts.
    context.samples_wanted += len(samples)
    least = MIN_CALLS_PER_USER if seconds > LONG_RUN_S else 1
    context.check_at_least("Calls made by the users", least * count, len(samples))
    context.check_equal("Answers that no user should get", {}, count_unexpected(samples))
    _judge_limits(context, samples_by_user)
    context.notes.append(
        "Of 100 calls of a user 45 read their own record, 30 their own claims, 13 health; 5 register somebody, 3 apply "
        "as agents, 4 file a claim. The percentiles are of the accepted calls; a refusal by a limit is not in them."
    )
    accepted_ms = [s.latency_ms for s in samples if s.is_accepted]
    context.record_figure(f"{count} users: calls a second", len(samples) / seconds)
    context.record_figure(f"{count} users: p50", compute_percentile(accepted_ms, 0.5), "ms")
    context.record_figure(f"{count} users: p95", compute_percentile(accepted_ms, 0.95), "ms")
    if context.profile.judges_speed:
        context.check_at_most(
            "p95 of everything the users did, end to end", P95_MS, compute_percentile(accepted_ms, 0.95), "ms"
        )


def _judge_limits(context: LocalScenarioContext, samples_by_user: Sequence[Sequence[CallSample]]) -> None:
    """Check that no user was accepted beyond a limit, nor refused within it."""
    for name, limit, operations in (("claims", CLAIMS, {"claim"}), ("reads", READS, {"own member", "own claims"})):
        limited = [[s for s in samples if s.call.operation in operations] for samples in samples_by_user]
        accepted = sum(count_wrongly_accepted(samples, limit) for samples in limited)
        refused = sum(count_wrongly_refused(samples, limit) for samples in limited)
        context.check_equal(f"Their {name}: accepted beyond the limit", 0, accepted)
        context.check_equal(f"Their {name}: refused within the limit", 0, refused)


async def _run_user(context: LocalScenarioContext, user: SignedInUser, number: int, until: float) -> list[CallSample]:
    # The seed is the user's number, so that the choices are the same in each run.
    dice, clock, made = random.Random(number), context.generator.clock, []
    while (due := clock.read_now() + dice.uniform(*PAUSE_S)) < until:
        made.append(await context.generator.send(_choose_next_call(context, user, dice), due))
    return made


def _choose_next_call(context: LocalScenarioContext, user: SignedInUser, dice: random.Random) -> PlannedCall:
    """Return a user's next call: mostly reads, now and then a claim, or a new person."""
    share = dice.random()
    read = {"token": user.token, "client": user.address, "wanted": (200, 429)}
    if share < 0.45:
        return context.call_factory.make_read("own member", "/members/me", **read)
    if share < 0.75:
        return context.call_factory.make_read("own claims", "/claims", **read)
    if share < 0.88:
        return context.call_factory.make_read("health", "/health", client=user.address)
    if share < 0.93:
        return context.call_factory.make_registration()
    return context.call_factory.make_application() if share < 0.96 else make_claim(context, user, wanted=(201, 429))


async def _compare_bursts(context: LocalScenarioContext, previous: ComparedSystem, current: ComparedSystem) -> None:
    largest_served = await measure_bursts(context, (previous, current))
    ratio = _compute_ratio(largest_served)
    context.record_figure("(a) requests at the same instant, before", largest_served["before"])
    context.record_figure("(a) requests at the same instant, after", largest_served["after"])
    context.record_figure("(a) after ÷ before", ratio, "×", "errors < 1 % and p95 ≤ 2 s")
    if context.profile.judges_speed:
        context.check_at_least("(a) Requests at the same instant: after ÷ before", MIN_RATIO, ratio, "×")


async def _compare_rates(context: LocalScenarioContext, previous: ComparedSystem, current: ComparedSystem) -> None:
    largest_served = await measure_rates(context, (previous, current))
    ratio = _compute_ratio(largest_served)
    context.record_figure("(b) requests a second, before", largest_served["before"], "/s")
    context.record_figure("(b) requests a second, after", largest_served["after"], "/s")
    context.record_figure("(b) after ÷ before", ratio, "×", "errors < 1 % and p95 ≤ 500 ms")
    context.notes.append(
        "(b) is bound by this machine's processors, which both systems share. The settings cost or save no work: they "
        "decide what happens to a request that meets a busy or broken part. So the ratio of (b) is small."
    )


def _compute_ratio(largest_served: dict[str, float]) -> float:
    """Return after ÷ before; if "before" failed even the smallest load, it counts as 1."""
    return largest_served["after"] / max(1.0, largest_served["before"])


async def _run_mix(context: LocalScenarioContext, *systems: ComparedSystem) -> None:
    """Run the mixed load on each system: 20 applications, 20 registrations and 15 claims at once.

    A call counts as answered well if it was accepted at its first attempt, and as one without an answer if it was in
    progress when the database restarted.
    """
    for system in systems:
        mix = await run_mixed_load(context, system)
        context.record_figure(
            f"(c) 20 + 20 + 15 at once, mail down, one restart of the database: answered well, {system.name}",
            100 * mix.accepted_share,
            "%",
            f"{mix.calls} calls",
        )
        context.record_figure(
            f"(c) calls without an answer when the database restarted, {system.name}",
            mix.in_progress,
            "calls",
        )
        if system.name == "after":
            # If none was in progress, the restart has proven nothing.
            context.check_at_least(
                "(c) Calls without an answer when the database restarted", 1, mix.in_progress, "calls"
            )
            context.check_equal(
                "(c) Answered well after: all of them, at the first try", 100.0, round(100 * mix.accepted_share, 2)
            )
