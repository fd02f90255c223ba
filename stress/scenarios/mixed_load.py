"""20 applications, 20 registrations and 15 claims at one instant, while mail or the database is in trouble."""

import asyncio
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from stress.ledger import CallSample, PlannedCall
from stress.scenario_context import LocalScenarioContext
from stress.scenario_end import SQL
from stress.scenarios.capacity_curves import wait_until_rested
from stress.scenarios.compared_systems import ANY_STATUS, ComparedSystem

AFTER = "after"
MIXED_CALLS = 55
SLOW_MAIL_S = 0.2
ACCEPTED = (201,)
RESTARTED = (201, 503)  # who meets the restart may be asked to come again, with the same key
CONNECTED_S = 0.2  # until whoever restarts the database is connected to it
REFUSED_POLL_S = 0.1
REFUSED_TIMEOUT_S = 20.0
COMMITTED = "SELECT 1 FROM accounts WHERE email = ANY(%(names)s) LIMIT 1"
PEOPLE = "SELECT email AS name, count(*) AS n FROM accounts WHERE email = ANY(%(names)s) GROUP BY email"
CLAIMS = "SELECT title AS name, count(*) AS n FROM claims WHERE title = ANY(%(names)s) GROUP BY title"


@dataclass(frozen=True)
class MixedLoadResult:
    """The answers to the first attempts of a mix, or of several in the same trouble."""

    samples: list[CallSample]
    refused_mails: int = 0  # that the dead mail service refused meanwhile
    # Calls that had no answer yet when the database restarted; of several restarts the one that met the fewest counts.
    in_progress: int = 0

    @property
    def accepted(self) -> list[CallSample]:
        """Return those that were accepted."""
        return [sample for sample in self.samples if sample.is_accepted]


async def run_with_slow_mail(context: LocalScenarioContext, system: ComparedSystem) -> MixedLoadResult:
    """Run the mixes while each mail takes SLOW_MAIL_S."""
    await _prepare(context, system, "each mail takes 200 ms")
    await context.target.control_mail(delay_s=SLOW_MAIL_S)
    try:
        return MixedLoadResult(await _send_mixes(context, system))
    finally:
        await context.target.control_mail(delay_s=0.0)


async def run_with_dead_mail(context: LocalScenarioContext, system: ComparedSystem) -> MixedLoadResult:
    """Run the mixes while no mail can be sent, until a mail was refused, or no job is left that would send one."""
    await _prepare(context, system, "mail is down")
    known = (await context.target.control_mail(down=True))["failed"]
    # The predecessor's mails are no sign for the system's own circuit.
    kind = "mail" if system.name == AFTER else "elsewhere"
    with context.faults.record_during(f"{system.name}: mail down", kind):
        try:
            samples = await _send_mixes(context, system)
            return MixedLoadResult(samples, refused_mails=await _wait_for_refused(context, known))
        finally:
            await context.target.control_mail(down=False)


async def run_with_restart(context: LocalScenarioContext, system: ComparedSystem) -> MixedLoadResult:
    """Run the mixes, each with a restart of its own."""
    met = [await _run_with_one_restart(context, system) for _ in range(context.profile.mix_rounds)]
    samples = [sample for each in met for sample in each.samples]
    return MixedLoadResult(samples, in_progress=min(each.in_progress for each in met))


async def _run_with_one_restart(context: LocalScenarioContext, system: ComparedSystem) -> MixedLoadResult:
    """Run a mix, and restart the database when the first of its records is committed, on any machine."""
    await _prepare(context, system, "the database restarts")
    calls = _make_mix(system, RESTARTED)
    names = {"names": [(call.body or {}).get("email") for call in calls]}
    restart = asyncio.create_task(context.target.crash_database_after(COMMITTED, names, system.database))
    await asyncio.sleep(CONNECTED_S)
    under_way = asyncio.create_task(system.generator.send_burst(calls))
    await restart
    crashed_s = context.generator.clock.read_now()
    context.faults.record_instant(f"{system.name}: the database restarts", "restart")
    samples = await under_way
    return MixedLoadResult(samples, in_progress=sum(sample.done_s > crashed_s for sample in samples))


async def repeat_undecided(system: ComparedSystem, samples: Sequence[CallSample]) -> list[CallSample]:
    """Repeat the calls without a decision with their keys, as a patient client does; return the last answers to all."""

    async def decide(sample: CallSample) -> CallSample:
        return await system.generator.insist(sample.call) if sample.is_undecided else sample

    return await asyncio.gather(*map(decide, samples))


async def count_records(context: LocalScenarioContext, samples: Sequence[CallSample]) -> tuple[int, int]:
    """Return how many accepted calls have left nothing in the system's database, and how many records are too many."""
    names = [_name_record(sample) for sample in samples]
    rows = [row for query in (PEOPLE, CLAIMS) for row in await context.target.query_rows(query, {"names": names})]
    found = Counter({row["name"]: int(row["n"]) for row in rows})
    lost = sum(sample.is_accepted and not found[_name_record(sample)] for sample in samples)
    return lost, sum(count - 1 for count in found.values())


def _name_record(sample: CallSample) -> str:
    """Return what no other call's record has: a person's address, or a claim's title."""
    body = sample.call.body or {}
    return str(body.get("email") or body["title"])


async def _prepare(context: LocalScenarioContext, system: ComparedSystem, what: str) -> None:
    await wait_until_rested(context)  # first, as with mail down the jobs would not end
    context.show_progress(f"{system.name}: 20 + 20 + 15 at once, {what}")


async def _send_mixes(context: LocalScenarioContext, system: ComparedSystem) -> list[CallSample]:
    """Send the mixes one after another, each as soon as the last is answered; return the answers to all."""
    bursts = [await system.generator.send_burst(_make_mix(system, ACCEPTED)) for _ in range(context.profile.mix_rounds)]
    return [sample for burst in bursts for sample in burst]


def _make_mix(system: ComparedSystem, wanted: tuple[int, ...]) -> list[PlannedCall]:
    return system.make_mix(wanted if system.name == AFTER else ANY_STATUS)


async def _wait_for_refused(context: LocalScenarioContext, known: int) -> int:
    """Return how many mails more than `known` the mail service has refused: wait for the first, if one is to come."""
    until = context.generator.clock.read_now() + REFUSED_TIMEOUT_S
    while True:
        refused = int((await context.target.control_mail())["failed"]) - known
        is_idle = not await context.target.query_rows(SQL["open_jobs"])
        if refused or is_idle or context.generator.clock.read_now() > until:
            return refused
        await asyncio.sleep(REFUSED_POLL_S)
