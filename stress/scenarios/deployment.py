"""Scenario: deployment. Releases under the load of 50 users; broken ones are noticed and rolled back by themselves."""

import asyncio
import json
import random
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

from stress.alarm_troubles import EVENTS
from stress.ledger import CallSample
from stress.local_target import CloudOptions
from stress.releases import FAILING, FUNCTION, GOOD, NOT_STARTING, RAISING, ReleaseOutcome, release
from stress.scenario_context import LocalScenarioContext
from stress.scenario_end import reconcile
from stress.scenarios.own_cloud import QUICK_MAIL, start_own_cloud

TITLE = "Deployment with automatic rollback"
PROMISE = (
    "While 50 users register, a release that does not start gets no call; one whose writes fail and one that raises "
    "after its commit are noticed by their own alarm and rolled back by themselves; a good one is promoted. No write "
    "is lost or doubled."
)
USERS = 50
PAUSE_S = (3.5, 9.5)  # between two registrations of one user
MIN_CALLS_PER_USER = 3  # on average
GIVE_UP_S = 40.0  # the longest time that a user repeats a call
MINUTE_S = 1.5  # stands for a minute of the canary and of the alarms
# Each alarm has one period of a minute, and rings at the end of the one in which the first call failed. The rest of the
# time is for evaluating it on a busy machine.
NOTICED_MINUTES = 3.0
# A canary gets a tenth. Of the hundred calls or so in a run's canaries, a quarter is far more than chance would give.
SEEN_SHARE = 0.25
# The only alarm that may end each release. Others ring too, but they are on the whole function, and need more failures.
OWN_ALARMS = {FAILING: "MembersReleaseFailuresAlarm", RAISING: "MembersReleaseErrorsAlarm"}
ANSWERS = {FAILING: 500, RAISING: 502}  # that a client gets from each
OPTIONS = CloudOptions(parameters=QUICK_MAIL, flags=("--no-checkpoints",))
INVOKED = ("AgentsFunction", "ClaimsFunction", "PagesFunction", "JobsFunction", "WorkerFunction")  # besides its own


async def run(context: LocalScenarioContext) -> None:
    """Run the scenario on a cloud of its own."""
    async with start_own_cloud(context, OPTIONS) as own:
        outcomes: dict[str, ReleaseOutcome] = {}
        await _start_environments(own)
        async with _keep_registering(own):
            await _wait_for_registrations(own, USERS)
            for change in (NOT_STARTING, FAILING, RAISING, GOOD):
                outcomes[change] = await _release(own, change)
        _check_outcomes(own, outcomes)
        _check_clients(own, outcomes)
        await reconcile(own)
    context.notes.append(
        f"{MINUTE_S:g} s stand for a minute of the canary (10 % of the calls for 10 minutes) and of the alarms, which "
        "are the template's. On AWS CodeDeploy shifts the calls; here the local cloud does, as the template says."
    )


async def _start_environments(own: LocalScenarioContext) -> None:
    """Start an environment of each function that the hook will invoke: under load that takes seconds of each."""
    for function in INVOKED:
        event = json.loads((own.target.root / "events" / EVENTS[function]).read_text(encoding="utf-8"))
        await own.target.invoke(function, event)


@asynccontextmanager
async def _keep_registering(own: LocalScenarioContext) -> AsyncIterator[None]:
    """Let 50 users register people within the block; all of their calls have ended after it."""
    over = asyncio.Event()
    users = [asyncio.create_task(_register_until(own, over, seed)) for seed in range(USERS)]
    try:
        yield
    finally:
        over.set()
        await asyncio.gather(*users)


async def _register_until(own: LocalScenarioContext, over: asyncio.Event, seed: int) -> None:
    """Register somebody, pause, and begin again; repeat each call with its key until it is acknowledged."""
    dice = random.Random(seed)
    while not await _is_set_within(over, dice.uniform(*PAUSE_S)):
        call = own.call_factory.make_registration(wanted=(201, *ANSWERS.values()))
        await own.generator.insist(call, GIVE_UP_S)


async def _is_set_within(event: asyncio.Event, seconds: float) -> bool:
    try:
        await asyncio.wait_for(event.wait(), seconds)
    except TimeoutError:
        return False
    return True


async def _wait_for_registrations(own: LocalScenarioContext, count: int) -> None:
    own.show_progress(f"{USERS} users register")
    until = own.generator.clock.read_now() + GIVE_UP_S
    while sum(sample.is_accepted for sample in own.samples) < count and own.generator.clock.read_now() < until:
        await asyncio.sleep(0.1)


async def _release(own: LocalScenarioContext, change: str) -> ReleaseOutcome:
    """Make a release, and check that afterwards all calls reach the version that they must."""
    own.show_progress(f"a release that {change}")
    before = await _read_weights(own)
    with own.faults.record_during(f"a release that {change}", "release"):
        outcome = await release(own.target, change, own.generator.clock, minute_s=MINUTE_S)
    after = await _read_weights(own)
    if change == GOOD:
        holds, wanted = len(after) == 1 and after.keys().isdisjoint(before), "all calls reach another version"
    else:
        holds, wanted = after == before, f"all calls reach version {', '.join(before)}"
    own.check(f"After the release that {change}: where calls go", holds=holds, wanted=wanted, found=after)
    return outcome


async def _read_weights(own: LocalScenarioContext) -> dict[str, float]:
    """Return the share of the calls that each version of the function gets."""
    status = await own.target.http("GET", f"{own.target.origin}/_local/status")
    weights: dict[str, float] = status["functions"][FUNCTION]["weights"]
    return weights


def _check_outcomes(own: LocalScenarioContext, outcomes: dict[str, ReleaseOutcome]) -> None:
    """Check how each release ended, by what its command said."""
    refused, promoted = outcomes[NOT_STARTING], outcomes[GOOD]
    own.check_equal(f"The release that {NOT_STARTING} gets no call", ("refused", 0),
                    (refused.outcome, refused.calls_seen))  # fmt: skip
    for change, alarm in OWN_ALARMS.items():
        found = outcomes[change]
        own.check_equal(f"The release that {change} is rolled back by its own alarm", ("rolled back", alarm),
                        (found.outcome, found.alarm))  # fmt: skip
        own.record_figure(f"A release that {change}: noticed after", found.rang_s - found.shared_s, "s",
                          f"{MINUTE_S:g} s stand for a minute of the alarm")  # fmt: skip
        own.record_figure(f"A release that {change}: rolled back after", found.ended_s - found.shared_s, "s")
    own.check_equal(f"The release that {GOOD} is promoted", ("promoted", ""), (promoted.outcome, promoted.alarm))


def _check_clients(own: LocalScenarioContext, outcomes: dict[str, ReleaseOutcome]) -> None:
    """Check what the users saw of it."""
    samples = own.samples
    own.samples_wanted += len(samples)  # nothing plans how many calls the users make
    first_tries = [sample for sample in samples if sample.attempt == 1]
    own.check_at_least("Registrations by the users", MIN_CALLS_PER_USER * USERS, len(first_tries))
    failed = [sample for sample in samples if not sample.is_accepted]
    saw = during = 0
    for change, status in ANSWERS.items():
        within = _list_within(samples, outcomes[change])
        mine = [sample for sample in within if sample.status == status]
        failed = [sample for sample in failed if sample not in mine]
        saw, during = saw + len(mine), during + len(within)
        own.check_at_least(f"Calls that saw the release that {change}", 1, len(mine))
        _check_noticed(own, change, outcomes[change], mine)
        own.record_figure(f"A release that {change}: calls that saw it", len(mine), "calls",
                          f"of {len(within)} until it was rolled back")  # fmt: skip
    own.record_figure("Calls that saw a broken release until it was rolled back", saw, "calls", f"of {during}")
    canaries = [outcomes[change] for change in (*ANSWERS, GOOD)]
    own.check_share_at_most("Share of the calls that reached a version before it was promoted or rolled back",
                            SEEN_SHARE, sum(each.calls_seen for each in canaries),
                            sum(each.calls for each in canaries))  # fmt: skip
    own.check_equal("Calls that failed though no broken release could get them", 0, len(failed))
    acknowledged = {sample.call.key for sample in samples if sample.is_accepted}
    own.check_equal("Registrations that were not acknowledged in the end", 0,
                    len({sample.call.key for sample in samples} - acknowledged))  # fmt: skip


def _check_noticed(own: LocalScenarioContext, change: str, outcome: ReleaseOutcome, saw: Sequence[CallSample]) -> None:
    """Check how long after the first call that failed by a release its alarm had it rolled back."""
    minutes = (outcome.rang_s - min((sample.done_s for sample in saw), default=0.0)) / MINUTE_S
    own.check(
        f"The release that {change} is noticed in time after the first call that it failed",
        holds=bool(saw) and outcome.rang_s > 0 and minutes <= NOTICED_MINUTES,
        wanted=f"within {NOTICED_MINUTES:g} minutes of the alarm",
        found=f"{minutes:.1f} minutes" if outcome.rang_s else "never",
    )


def _list_within(samples: Sequence[CallSample], found: ReleaseOutcome) -> list[CallSample]:
    """Return the calls that were under way while a release had a share of them."""
    if not found.shared_s:
        return []
    ended_s = found.rang_s or found.ended_s
    return [sample for sample in samples if sample.done_s > found.shared_s and sample.sent_s < ended_s]
