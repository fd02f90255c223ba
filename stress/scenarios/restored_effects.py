"""The comparison of a restored and reconciled system with its clients' ledger, lost answers left out."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace

from stress.ledger import CallSample
from stress.reconciliation import EFFECTS, ClaimReconciler, PersonReconciler
from stress.scenario_context import LocalScenarioContext
from stress.scenario_end import SQL

MADE_PEOPLE = ("register", "apply")


async def reconcile_restored(
    own: LocalScenarioContext, waiting: str, lost: Sequence[CallSample], *, mails_since: Counter[str]
) -> None:
    """Compare rows, jobs, mails and keys with the answers that still hold.

    `waiting` is the address of the one whose mail is left to a person to decide about. `mails_since` are the mails from
    the moment to the disaster: those of lost writes, which are sent again.
    """
    own.show_progress("reconciling")
    gone = {id(sample) for sample in lost}
    samples = rename_members([s for s in own.ledger.samples if id(s) not in gone and s.api == own.target.api], lost)
    inbox, staff_mails = await own.target.read_inbox()
    await _compare_people(own, samples, inbox - mails_since, waiting)
    await _compare_claims(own, samples, [mail["text"] for mail in staff_mails])
    await _compare_keys(own)
    jobs = {row["state"]: row["n"] for row in await own.target.query_rows(SQL["open_jobs"])}
    own.reconciliation.compare("jobs that are not done", "outbox", {"uncertain": 1}, jobs)
    left = {name: count for name, count in (await own.target.count_queued()).items() if name != "NudgeQueue" and count}
    own.reconciliation.compare("messages left in queues", "all queues", {}, left)


def rename_members(samples: Sequence[CallSample], lost: Sequence[CallSample]) -> list[CallSample]:
    """Return the samples with the present id of each member who was lost and has registered again, in their facts."""
    present = {str(s.call.key): str((s.record or {}).get("id")) for s in samples if s.is_accepted and s.call.key}
    ids = {str((s.record or {}).get("id")): present.get(str(s.call.key), "") for s in lost}
    return [_rename_member(sample, ids) for sample in samples]


def _rename_member(sample: CallSample, ids: Mapping[str, str]) -> CallSample:
    member = str(sample.call.facts.get("member"))
    if member not in ids:
        return sample
    facts = {**sample.call.facts, "member": ids[member]}
    return replace(sample, call=replace(sample.call, facts=facts))


async def _compare_people(
    own: LocalScenarioContext, samples: Sequence[CallSample], inbox: Counter[str], waiting: str
) -> None:
    """Compare all people but the one whose mail is left to a person to decide about."""
    attempts: dict[str, list[CallSample]] = {}
    known = []
    for sample in samples:
        if sample.call.operation not in MADE_PEOPLE or not sample.call.body:
            continue
        known.append(email := str(sample.call.body["email"]))
        if email != waiting:
            attempts.setdefault(email, []).append(sample)
    rows = await own.target.query_rows(SQL["people"], {"emails": list(attempts)})
    PersonReconciler(own.reconciliation, samples, inbox).compare(attempts, rows)
    strangers = await own.target.query_rows(SQL["strangers"], {"emails": known})
    own.reconciliation.compare("accounts that no answer names", "all", [], [row["id"] for row in strangers])


async def _compare_claims(own: LocalScenarioContext, samples: Sequence[CallSample], notices: Sequence[str]) -> None:
    members = sorted({str(member) for s in samples if (member := s.call.facts.get("member"))})
    rows = await own.target.query_rows(SQL["claims"], {"members": members})
    counts = Counter(row["number"] for row in rows for text in notices if row["number"] in text)
    ClaimReconciler(own.reconciliation, samples, counts).compare(members, rows)


async def _compare_keys(own: LocalScenarioContext) -> None:
    """Compare that each accepted write's key has one row, made again or kept."""
    keys = {str(s.call.key) for s in own.samples if s.call.key and s.is_accepted and s.call.operation in EFFECTS}
    found = {row["key"]: row["n"] for row in await own.target.query_rows(SQL["keys"], {"keys": sorted(keys)})}
    for key in sorted(keys):
        own.reconciliation.compare("rows of an Idempotency-Key", key, 1, found.get(key, 0))
