"""Load and capacity: 50 users for a while, and how much the system takes, before and after."""

import asyncio
import random
from collections.abc import Sequence
from dataclasses import replace

from stress.crowd import Person
from stress.ledger import Call, Sample
from stress.limits import Limit, wrongly_accepted, wrongly_refused
from stress.profiles import Profile
from stress.reconcile import reconcile
from stress.scenarios import before
from stress.scenarios.claims import claim_of
from stress.scenarios.curves import bursts, mixed, rates
from stress.scenarios.sides import Side
from stress.stage import Stage
from stress.verdict import percentile

TITLE = "Load and capacity"
PROMISE = (
    "50 users at work without an error and with p95 within 250 ms; and beside the predecessor's settings (10 "
    "connections, no retry, no breaker, no queueing) at least 5 times as many requests at the same instant."
)
PAUSE_S = (0.0, 1.6)  # between two calls of a user, as in the predecessor's script
P95_MS = 250.0
TIMES = 5.0
CLAIMS = Limit(5, 600)
READS = Limit(60, 60)
FEW = 20  # samples


def members_needed(profile: Profile) -> int:
    """Return how many members the scenario takes: its users."""
    return profile.user_count


async def run(stage: Stage) -> None:
    """The scenario."""
    users = stage.crowd.take(stage.profile.user_count)
    after = Side("after", stage.target, stage.generator, stage.people, users)
    stage.step("starting all environments")
    await after.warm()
    await _users(stage, users)
    if stage.profile.compares:
        async with before.cloud(stage) as other:
            await _at_once(stage, other, after)
            await _mix(stage, other, after)
            await _rate(stage, other, after)
    else:
        await _served(stage, after)
        await _mix(stage, after)
    await reconcile(stage)


async def _served(stage: Stage, after: Side) -> None:
    """Five times the predecessor's ten at the same instant, where there is no time for a comparison."""
    count = int(TIMES * before.CONNECTIONS)
    stage.step(f"{count} requests at the same instant")
    samples = await stage.burst([replace(call, wanted=(200, 201)) for call in after.at_once(count)])
    stage.equal(f"{count} at the same instant: all served", count, sum(sample.accepted for sample in samples))
    stage.figure(f"{count} at the same instant: p95", percentile([s.latency_ms for s in samples], 0.95), "ms")


async def _users(stage: Stage, users: Sequence[Person]) -> None:
    """Each user calls, waits, calls again; nobody waits for anybody else."""
    seconds, count = stage.profile.users_s, len(users)
    stage.step(f"{count} users for {seconds:.0f} s")
    clock = stage.generator.clock
    began = clock.now()
    made = await asyncio.gather(*(_user(stage, user, n, began + seconds) for n, user in enumerate(users)))
    samples = [sample for each in made for sample in each]
    stage.wanted += len(samples)
    stage.least("Calls made by the users", FEW * count / 2 if seconds > FEW else count, len(samples))
    stage.equal("Answers that no user should get", {}, _wrong(samples))
    _judge_limits(stage, made)
    stage.notes.append(
        "Of 100 calls of a user 45 read the own record, 30 the own claims, 13 health; 5 register somebody, 3 apply as "
        "agents, 4 file a claim."
    )
    answered = [s.latency_ms for s in samples if s.accepted]
    stage.figure(f"{count} users: calls a second", len(samples) / seconds)
    stage.figure(f"{count} users: p50", percentile(answered, 0.5), "ms")
    stage.figure(f"{count} users: p95", percentile(answered, 0.95), "ms")
    if stage.profile.judges_speed:
        stage.most("p95 of everything the users did, end to end", P95_MS, percentile(answered, 0.95), "ms")


def _wrong(samples: Sequence[Sample]) -> dict[str, int]:
    wrong = [f"{s.call.operation}: {s.answer}" for s in samples if not s.right]
    return {answer: wrong.count(answer) for answer in sorted(set(wrong))}


def _judge_limits(stage: Stage, made: Sequence[Sequence[Sample]]) -> None:
    """A user who files more claims or reads more often than the limits allow is refused: exactly then."""
    for name, limit, operations in (("claims", CLAIMS, {"claim"}), ("reads", READS, {"own member", "own claims"})):
        each = [[s for s in mine if s.call.operation in operations] for mine in made]
        stage.equal(f"Their {name}: accepted beyond the limit", 0, sum(wrongly_accepted(mine, limit) for mine in each))
        stage.equal(f"Their {name}: refused within the limit", 0, sum(wrongly_refused(mine, limit) for mine in each))


async def _user(stage: Stage, user: Person, number: int, until: float) -> list[Sample]:
    dice, clock, made = random.Random(number), stage.generator.clock, []
    while (due := clock.now() + dice.uniform(*PAUSE_S)) < until:
        made.append(await stage.generator.send(_next(stage, user, dice), due))
    return made


def _next(stage: Stage, user: Person, dice: random.Random) -> Call:
    """Return what a user does next: mostly reads, now and then a claim, or somebody new."""
    at, read = dice.random(), {"token": user.token, "client": user.address, "wanted": (200, 429)}
    if at < 0.45:
        return stage.people.read("own member", "/members/me", **read)
    if at < 0.75:
        return stage.people.read("own claims", "/claims", **read)
    if at < 0.88:
        return stage.people.read("health", "/health", client=user.address)
    if at < 0.93:
        return stage.people.registration()
    return stage.people.application() if at < 0.96 else claim_of(stage, user, wanted=(201, 429))


async def _at_once(stage: Stage, other: Side, after: Side) -> None:
    most = await bursts(stage, (other, after))
    ratio = _ratio(most)
    stage.figure("(a) requests at the same instant, before", most["before"])
    stage.figure("(a) requests at the same instant, after", most["after"])
    stage.figure("(a) after ÷ before", ratio, "×", "errors < 1 % and p95 ≤ 2 s")
    if stage.profile.judges_speed:
        stage.least("(a) Requests at the same instant: after ÷ before", TIMES, ratio, "×")


async def _rate(stage: Stage, other: Side, after: Side) -> None:
    most = await rates(stage, (other, after))
    ratio = _ratio(most)
    stage.figure("(b) requests a second, before", most["before"], "/s")
    stage.figure("(b) requests a second, after", most["after"], "/s")
    stage.figure("(b) after ÷ before", ratio, "×", "errors < 1 % and p95 ≤ 500 ms")
    stage.notes.append(
        "(b) is bound by this machine's processors, which both sides share alike: the settings cost or save no work, "
        "they decide what happens to a request that meets a busy or broken part. Its ratio is small for that reason."
    )


def _ratio(most: dict[str, float]) -> float:
    """After divided by before, which counts as one where not even the least was served."""
    return most["after"] / max(1.0, most["before"])


async def _mix(stage: Stage, *sides: Side) -> None:
    for side in sides:
        mix = await mixed(stage, side)
        stage.figure(f"(c) 20 + 20 + 15 at once, mail down, one restart of the database: answered well, {side.name}",
                     100 * mix.share, "%", f"{mix.calls} calls")  # fmt: skip
        stage.figure(f"(c) calls without an answer when the database restarted, {side.name}", mix.met, "calls")
        if side.name == "after":
            stage.least("(c) Calls without an answer when the database restarted", 1, mix.met, "calls")
            stage.equal("(c) Answered well after: all of them, at the first try", 100.0, round(100 * mix.share, 2))
