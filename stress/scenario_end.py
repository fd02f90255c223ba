"""The end of a scenario: waits until all its effects are complete, then compares them with the ledger."""

import asyncio
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from stress import sql
from stress.ledger import CallSample, list_undecided
from stress.reconciliation import EFFECTS, ClaimReconciler, PersonReconciler

if TYPE_CHECKING:
    from stress.scenario_context import LocalScenarioContext

SQL = sql.load(Path(__file__).with_name("reconciliation.sql"))
POLL_S = 0.25


async def wait_until_idle(context: "LocalScenarioContext") -> None:
    """Wait until no job and no message is left, or the time is up: what is left then is a difference."""
    context.show_progress("waiting for jobs and mails")
    until = context.generator.clock.read_now() + context.profile.jobs_timeout_s
    while context.generator.clock.read_now() < until:
        jobs = await context.target.query_rows(SQL["open_jobs"])
        if not jobs and not await _count_messages(context):
            return
        await asyncio.sleep(POLL_S)


async def reconcile(context: "LocalScenarioContext") -> None:
    """Compare the answers of this scenario's calls with what the system holds."""
    await wait_until_idle(context)
    context.show_progress("reconciling")
    log, target = context.reconciliation, context.target
    # Calls to the predecessor and to clouds of other scenarios have their effects there.
    samples = [sample for sample in context.ledger.samples if sample.api == target.api]
    jobs = {row["state"]: row["n"] for row in await target.query_rows(SQL["jobs_by_state"])}
    done = jobs.pop("done", 0)
    if any(s.is_accepted and s.call.operation in ("apply", "register") for s in samples):
        log.compare("jobs done, if anybody was registered", "outbox", "some", "some" if done else "none")
    log.compare("jobs that are not done", "outbox", {}, jobs)
    log.compare("queues that were looked at", "all", "some", "some" if await target.count_queued() else "none")
    log.compare("messages left in queues", "all queues", 0, await _count_messages(context))
    inbox, staff_mails = await target.read_inbox()
    await _reconcile_people(context, samples, inbox)
    await _reconcile_claims(context, samples, staff_mails)
    await _reconcile_keys(context)


async def _count_messages(context: "LocalScenarioContext") -> int:
    """Return the number of job messages, dead-letter queues included; the relay's wake-up messages don't count."""
    return sum(count for name, count in (await context.target.count_queued()).items() if name != "NudgeQueue")


async def _reconcile_people(
    context: "LocalScenarioContext", samples: Sequence[CallSample], inbox: Counter[str]
) -> None:
    made = [s for s in samples if s.call.operation in ("apply", "register") and s.call.body]
    touched = {s.call.facts.get("subject") or s.call.facts.get("member") for s in context.samples} - {None}
    mine = {id(s) for s in context.samples}
    emails = {s.call.body["email"] for s in made if id(s) in mine or (s.record or {}).get("id") in touched}  # type: ignore[index]
    attempts: dict[str, list[CallSample]] = {email: [] for email in sorted(emails)}
    for sample in made:
        if (email := sample.call.body["email"]) in attempts:  # type: ignore[index]
            attempts[email].append(sample)
    rows = await context.target.query_rows(SQL["people"], {"emails": list(attempts)})
    PersonReconciler(context.reconciliation, samples, inbox).compare(attempts, rows)
    known = {s.call.body["email"] for s in made if s.is_accepted or s.is_undecided}  # type: ignore[index]
    strangers = await _list_strangers(context, known)
    context.reconciliation.compare("accounts that no answer names", "all", [], strangers)
    # Where nothing is what should be found, a query that never finds anything would look right.
    for row in [row for row in rows if row["email"] in known][:1]:
        found = [each for each in await _list_strangers(context, known - {row["email"]}) if each == row["id"]]
        context.reconciliation.compare("an account left out on purpose is found", "one", [row["id"]], found)


async def _list_strangers(context: "LocalScenarioContext", known: Iterable[str]) -> list[str]:
    rows = await context.target.query_rows(SQL["strangers"], {"emails": sorted(known)})
    return [row["id"] for row in rows]


async def _reconcile_claims(
    context: "LocalScenarioContext", samples: Sequence[CallSample], staff_mails: list[dict[str, Any]]
) -> None:
    members = sorted({str(m) for s in context.samples if (m := s.call.facts.get("member"))})
    if not members:
        return
    rows = await context.target.query_rows(SQL["claims"], {"members": members})
    numbers = {row["number"] for row in rows}
    notices = Counter(number for mail in staff_mails for number in numbers if number in mail["text"])
    ClaimReconciler(context.reconciliation, samples, notices).compare(members, rows)


async def _reconcile_keys(context: "LocalScenarioContext") -> None:
    keyed = [s for s in context.samples if s.call.key and s.call.operation in EFFECTS]
    accepted, undecided = {s.call.key for s in keyed if s.is_accepted}, {s.call.key for s in list_undecided(keyed)}
    rows = await context.target.query_rows(SQL["keys"], {"keys": sorted({str(s.call.key) for s in keyed})})
    found = {row["key"]: row["n"] for row in rows}
    for key in sorted({str(s.call.key) for s in keyed}):
        count = found.get(key, 0)
        expected = min(1, count) if key in undecided else int(key in accepted)
        context.reconciliation.compare("rows of an Idempotency-Key", key, expected, count)
