"""The end of a scenario: waits until all that follows from it is done, then holds everything against the ledger."""

import asyncio
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from stress import sql
from stress.audit import LEFT, Claims, People
from stress.ledger import Sample, unsettled

if TYPE_CHECKING:
    from stress.stage import Stage

SQL = sql.load(Path(__file__).with_name("audit.sql"))
LOOK_S = 0.25


async def settled(stage: "Stage") -> None:
    """Wait until no job and no message is left, or the time is up: what is left then is a difference."""
    stage.step("waiting for jobs and mails")
    until = stage.generator.clock.now() + stage.profile.settles_s
    while stage.generator.clock.now() < until:
        jobs = await stage.target.rows(SQL["open_jobs"])
        if not jobs and not await _messages(stage):
            return
        await asyncio.sleep(LOOK_S)


async def reconcile(stage: "Stage") -> None:
    """Compare all that this scenario's calls were told with what is there."""
    await settled(stage)
    stage.step("reconciling")
    audit, target = stage.audit, stage.target
    open_jobs = {row["state"]: row["n"] for row in await target.rows(SQL["open_jobs"])}
    audit.compare("jobs that are not done", "outbox", {}, open_jobs)
    audit.compare("messages left in queues", "all queues", 0, await _messages(stage))
    inbox, desk = await target.inbox()
    samples = stage.ledger.samples
    await _people(stage, samples, inbox)
    await _claims(stage, samples, desk)
    await _keys(stage)


async def _messages(stage: "Stage") -> int:
    """Messages of jobs, the dead letters included. A nudge is none: it only says that somebody may look."""
    return sum(count for name, count in (await stage.target.queued()).items() if name != "NudgeQueue")


async def _people(stage: "Stage", samples: Sequence[Sample], inbox: Counter[str]) -> None:
    made = [s for s in samples if s.call.operation in ("apply", "register") and s.call.body]
    touched = {s.call.facts.get("subject") or s.call.facts.get("member") for s in stage.samples} - {None}
    mine = {id(s) for s in stage.samples}
    emails = {s.call.body["email"] for s in made if id(s) in mine or (s.record or {}).get("id") in touched}  # type: ignore[index]
    attempts: dict[str, list[Sample]] = {email: [] for email in sorted(emails)}
    for sample in made:
        if (email := sample.call.body["email"]) in attempts:  # type: ignore[index]
            attempts[email].append(sample)
    rows = await stage.target.rows(SQL["people"], {"emails": list(attempts)})
    People(stage.audit, samples, inbox).compare(attempts, rows)
    known = [s.call.body["email"] for s in made if s.accepted or s.undecided]  # type: ignore[index]
    strangers = await stage.target.rows(SQL["strangers"], {"emails": known})
    stage.audit.compare("accounts that nobody was told of", "all", [], [row["id"] for row in strangers])


async def _claims(stage: "Stage", samples: Sequence[Sample], desk: list[dict]) -> None:  # type: ignore[type-arg]
    members = sorted({str(m) for s in stage.samples if (m := s.call.facts.get("member"))})
    if not members:
        return
    rows = await stage.target.rows(SQL["claims"], {"members": members})
    numbers = {row["number"] for row in rows}
    notices = Counter(number for mail in desk for number in numbers if number in mail["text"])
    Claims(stage.audit, samples, notices).compare(members, rows)


async def _keys(stage: "Stage") -> None:
    keyed = [s for s in stage.samples if s.call.key and s.call.operation in LEFT]
    accepted, maybe = {s.call.key for s in keyed if s.accepted}, {s.call.key for s in unsettled(keyed)}
    rows = await stage.target.rows(SQL["keys"], {"keys": sorted({str(s.call.key) for s in keyed})})
    found = {row["key"]: row["n"] for row in rows}
    for key in sorted({str(s.call.key) for s in keyed}):
        count = found.get(key, 0)
        told = min(1, count) if key in maybe else int(key in accepted)
        stage.audit.compare("rows of an Idempotency-Key", key, told, count)
