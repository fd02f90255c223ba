"""Scenario: load and capacity. 50 users for a while; then how much load two systems serve, and what they bear.

In the report "after" is the name of this system, and "before" that of the predecessor in miniature (stress/before).
Both get the same requests, in turn.
"""

import asyncio
import math
import random
from collections.abc import Sequence
from dataclasses import replace

from stress.estimates import estimate_percentile
from stress.fixtures import SignedInUser
from stress.ledger import CallSample, PlannedCall, count_answers, count_unexpected
from stress.limits import ObservedLimit, count_asked_beyond, count_wrongly_accepted, count_wrongly_refused
from stress.profiles import Profile
from stress.scenario_context import LocalScenarioContext
from stress.scenario_end import reconcile
from stress.scenarios import comparison, predecessor
from stress.scenarios.claims import make_claim
from stress.scenarios.compared_systems import REFUSABLE, ComparedSystem, is_unexplained

TITLE = "Load and capacity"
PROMISE = (
    "50 users at work without an error and with p95 within 250 ms, and 50 requests at one instant all served. With "
    "mail slow or down every write is accepted at its first try; when the database restarts none is lost, and none "
    "done twice. What the predecessor does with the same requests is shown beside it."
)
PAUSE_S = (0.0, 1.6)  # between two calls of a user, as in the predecessor's script
P95_MS = 250.0
AT_ONCE = 50  # requests at the same instant, over three functions
# Calls and seconds, for each user.
CLAIMS = ObservedLimit(5, 600)
READS = ObservedLimit(60, 60)
# A user makes about one call a second; far fewer in a long run mean that the generator or the system stood still.
LONG_RUN_S = 20.0
MIN_CALLS_PER_USER = 10  # on average
USERS_ERRORS = 0.01
# The users may have used up their claims, so other members file those of the mixes: each files one of a mix, and fewer
# than the limit allows in all, so that a repeat after a restart is not refused.
CLAIMS_OF_A_MIX = 15
MOST_FILED = CLAIMS.burst - 1


def count_members_needed(profile: Profile) -> int:
    """Return how many members the scenario needs: one for each user, and the claimants of the mixes."""
    return profile.user_count + count_claimants(profile)


def count_claimants(profile: Profile) -> int:
    """Return how many members file the claims of all mixes."""
    mixes = len(comparison.TROUBLE) * profile.mix_rounds
    return max(CLAIMS_OF_A_MIX, math.ceil(CLAIMS_OF_A_MIX * mixes / MOST_FILED))


async def run(context: LocalScenarioContext) -> None:
    """Run the scenario."""
    counts = context.profile.user_count, count_claimants(context.profile)
    users, claimants = (context.fixtures.take_members(count) for count in counts)
    current = ComparedSystem("after", context.generator, context.call_factory, users, claimants, REFUSABLE)
    context.show_progress("warming the environments")
    await current.warm_environments(context.target)
    await _run_users(context, users)
    await _serve_at_once(context, current)
    if context.profile.compares:
        async with predecessor.start_predecessor(context, users, claimants) as previous:
            await comparison.compare_loads(context, (previous, current))
            await comparison.bear_trouble(context, (previous, current))
    else:
        # Slow mail, which no request waits for, is left to the comparison: it would take a short run too long.
        await comparison.bear_trouble(context, (current,), (comparison.DEAD, comparison.RESTART))
    unexplained = [sample for sample in context.samples if sample.call.wanted == REFUSABLE and is_unexplained(sample)]
    context.check_equal("Answers under overload: a success, or a refusal that says when to come again",
                        {}, count_answers(unexplained))  # fmt: skip
    await reconcile(context)


async def _serve_at_once(context: LocalScenarioContext, current: ComparedSystem) -> None:
    """Send AT_ONCE calls at one instant: all of them are served."""
    context.show_progress(f"{AT_ONCE} requests at one instant")
    samples = await context.send_burst([replace(call, wanted=(200, 201)) for call in current.make_burst(AT_ONCE)])
    accepted = sum(sample.is_accepted for sample in samples)
    context.check_equal(f"{AT_ONCE} at one instant: all served", AT_ONCE, accepted)


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
    accepted = [sample for sample in samples if sample.is_accepted]
    context.record_figure(f"{count} users: calls a second", len(samples) / seconds)
    for name, share in (("p50", 0.5), ("p95", 0.95)):
        context.record_estimate(
            f"{count} users: {name}", estimate_percentile([s.latency_ms for s in accepted], share), "ms"
        )
    if context.profile.judges_speed:  # with enough samples for these intervals
        unexpected = [sample for sample in samples if not sample.is_expected]
        context.check_share_at_most("Errors of the users' calls", USERS_ERRORS, unexpected, samples)
        context.check_percentile_at_most("p95 of everything the users did, end to end", 0.95, P95_MS, accepted)


def _judge_limits(context: LocalScenarioContext, samples_by_user: Sequence[Sequence[CallSample]]) -> None:
    """Check that no user was accepted beyond a limit, nor refused within it.

    If nobody asked for more than a limit gives, nobody could be accepted beyond it: then that check is not made.
    """
    for name, limit, operations in (("claims", CLAIMS, {"claim"}), ("reads", READS, {"own member", "own claims"})):
        limited = [[s for s in samples if s.call.operation in operations] for samples in samples_by_user]
        asked = sum(count_asked_beyond(samples, limit) for samples in limited)
        context.record_figure(f"Their {name}: asked for beyond the limit", asked, "calls")
        if asked:
            accepted = sum(count_wrongly_accepted(samples, limit) for samples in limited)
            context.check_equal(f"Their {name}: accepted beyond the limit", 0, accepted)
        refused = sum(count_wrongly_refused(samples, limit) for samples in limited)
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
