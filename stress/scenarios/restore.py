"""Scenario: restore. The database goes back to a point in time; lost writes are named, and made again exactly once."""

import asyncio
from collections import Counter
from contextlib import AsyncExitStack
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

from stress.ledger import CallSample
from stress.local_target import CloudOptions
from stress.restored_cloud import (
    DAMAGE,
    back_up,
    list_writing_functions,
    reconcile_restore,
    refuse_invocations,
    restore,
)
from stress.scenario_context import LocalScenarioContext
from stress.scenarios.own_cloud import QUICK_MAIL, start_own_cloud
from stress.scenarios.restored_day import RELAY, RestoredDay, wait_until_decided
from stress.scenarios.restored_effects import reconcile_restored

TITLE = "Restore to a point in time"
PROMISE = (
    "Of the writes that a restored database has lost, each acknowledged one is named, by what outlived it in DynamoDB, "
    "S3, queues and the user pool; and repeated with the same key it is made again exactly once. No other is named or "
    "made again, no number is given twice, and no mail is sent twice by itself."
)
REPEATS = 3  # of each lost write, at the same instant
OPTIONS = CloudOptions(parameters=QUICK_MAIL, flags=("--no-checkpoints", "--archive"))
KEPT_ROWS = "SELECT DISTINCT request_id FROM audit"
NUMBERS = "SELECT number FROM members UNION ALL SELECT number FROM claims"


@dataclass
class ReconciledRestore:
    """A restore: the day before it, the writes that are lost, and what operators were told."""

    day: RestoredDay
    lost: list[CallSample] = field(default_factory=list)
    listed: dict[str, Any] = field(default_factory=dict)
    repeats: dict[str, list[CallSample]] = field(default_factory=dict)  # of each lost write, by its key


async def run(context: LocalScenarioContext) -> None:
    """Run the scenario on a cloud of its own."""
    async with start_own_cloud(context, OPTIONS) as own, AsyncExitStack() as restored:
        day = RestoredDay(own)
        await day.prepare()
        own.show_progress("a base backup")
        await back_up(own.target)
        await day.work_before()
        await day.pass_moment()
        await day.work_after()
        run = ReconciledRestore(day)
        async with refuse_invocations(own.target, [RELAY]):
            await day.work_last()
        await day.wait_for_answers()
        async with refuse_invocations(own.target, await list_writing_functions(own.target)):
            inbox, _ = await own.target.read_inbox()
            await _restore(own, restored, day.moment)
            await _find_lost(own, run)
            await _reconcile(own, run)
        await day.deliver_lost_jobs()
        await _repeat_lost(own, run)
        await wait_until_decided(own)
        await _check_effects(own, run, inbox)
        await reconcile_restored(own, day.waiting_email, run.lost, mails_since=inbox - day.inbox)


async def _restore(own: LocalScenarioContext, stack: AsyncExitStack, moment: datetime) -> None:
    """Destroy what the database holds, and restore it beside."""
    with own.faults.record_during("restore to a point in time", "restore"):
        await own.target.query_rows(DAMAGE)
        own.show_progress("restoring the database to a moment")
        began = own.generator.clock.read_now()
        await stack.enter_async_context(restore(own.target, moment))
    own.record_figure("Restored and led to in", own.generator.clock.read_now() - began, "s")


async def _find_lost(own: LocalScenarioContext, run: ReconciledRestore) -> None:
    """Find the acknowledged writes that are missing, by the database alone, and compare with the clients' ledger."""
    there = {row["request_id"] for row in await own.target.query_rows(KEPT_ROWS)}
    writes = run.day.list_acknowledged()
    run.lost = [sample for sample in writes if sample.request_id not in there]
    for sample in writes:
        after = sample.done_s > run.day.moment_s
        own.reconciliation.compare("acknowledged writes that the restored database has", sample.request_id,
                                   "lost" if after else "kept", "lost" if sample in run.lost else "kept")  # fmt: skip
    own.check_at_least("Acknowledged writes that are missing", len(run.day.after), len(run.lost))
    own.check("The write that had begun before the moment is among them",
              holds=any(sample.call is run.day.begun for sample in run.lost), wanted="missing",
              found=[sample.call.operation for sample in run.lost if sample.call is run.day.begun])  # fmt: skip
    own.record_figure("Acknowledged writes", len(writes))
    own.record_figure("of them missing after the restore", len(run.lost))


async def _reconcile(own: LocalScenarioContext, run: ReconciledRestore) -> None:
    """Reconcile as the runbook says: look, apply, and apply again."""
    own.show_progress("reconciling with DynamoDB, S3, queues and the user pool")
    run.listed = await reconcile_restore(own.target, run.day.moment, apply=False)
    applied = await reconcile_restore(own.target, run.day.moment, apply=True)
    again = await reconcile_restore(own.target, run.day.moment, apply=True)
    named = {write["request_id"]: write for write in run.listed["lost_writes"]}
    lost = {sample.request_id: sample for sample in run.lost}
    own.check_equal("Missing writes that the list does not name", [], sorted(lost.keys() - named.keys()))
    own.check_equal("Writes that it names and that are there", [], sorted(named.keys() - lost.keys()))
    for request, sample in lost.items():
        record, said = sample.record or {}, named.get(request, {})
        own.reconciliation.compare("what the list says of a missing write", request,
                                   (record.get("id"), record.get("number"), sample.status),
                                   (said.get("subject_id"), said.get("number"), said.get("status")))  # fmt: skip
    own.check_equal("Everything acknowledged since is known", (True, []),
                    (run.listed["complete"], run.listed["earlier_writes"]))  # fmt: skip
    own.check_equal("Mails named as possibly sent: those that waited at the moment", [run.day.waiting_id],
                    [each["subject_id"] for each in run.listed["possibly_sent"]])  # fmt: skip
    own.check_equal("Sign-ins named that no account has", len(run.day.signed_up_after),
                    len(run.listed["identities"]))  # fmt: skip
    own.check_equal("Uploads put back, of documents whose completion was lost", {run.day.document_id: True},
                    {each["key"].split("/")[2]: each["upload_put_back"] for each in applied["objects"]})  # fmt: skip
    own.check_equal("Applied once more, the command finds nothing to do", ([], [], 0),
                    (again["lost_writes"], again["possibly_sent"], again["refusals"]))  # fmt: skip


async def _repeat_lost(own: LocalScenarioContext, run: ReconciledRestore) -> None:
    """Let every client repeat its lost write with its key, several times at once; records before what is about them."""
    own.show_progress("clients repeat what was lost")
    for stage in run.day.order_repeats(run.lost):
        await asyncio.gather(*(_repeat(own, run, sample) for sample in stage))
        await run.day.wait_for_sign_ins(stage)


async def _repeat(own: LocalScenarioContext, run: ReconciledRestore, lost: CallSample) -> None:
    own.samples_wanted += REPEATS
    call = replace(lost.call, wanted=(*lost.call.wanted, 409))  # the first of them may still be running
    repeats = [own.generator.insist(call) for _ in range(REPEATS)]
    run.repeats[str(lost.call.key)] = await asyncio.gather(*repeats)


async def _check_effects(own: LocalScenarioContext, run: ReconciledRestore, inbox: Counter[str]) -> None:
    """Check that each lost write was made again once, and nothing else was."""
    made = {key: sum(not each.replayed and each.is_accepted for each in found) for key, found in run.repeats.items()}
    own.check_equal("Lost writes that their repeats did not make again", 0, sum(count < 1 for count in made.values()))
    own.check_equal("Lost writes that were made again more than once", 0, sum(count > 1 for count in made.values()))
    answers = [set(map(_identify_answer, found)) for found in run.repeats.values()]
    own.check_equal("Repeats of one key with different answers", 0, sum(len(each) > 1 for each in answers))
    kept = [sample for sample in run.day.list_acknowledged() if sample.call.key not in run.repeats]
    again = await asyncio.gather(*(own.generator.insist(sample.call) for sample in kept))
    own.samples_wanted += len(kept)
    own.check_equal("Writes that were kept, repeated: answered as before", len(kept),
                    sum(map(_is_repeated_answer, again, kept)))  # fmt: skip
    told = {str((s.record or {})["number"]) for s in run.lost if s.call.operation in ("register", "claim")}
    there = {row["number"] for row in await own.target.query_rows(NUMBERS)}
    own.check_at_least("Numbers that people were told of lost writes", 1, len(told))
    own.check_equal("Numbers of lost writes that somebody else got", [], sorted(told & there))
    own.check_at_least("Messages that name jobs which are gone", 1, len(run.day.lost_jobs))
    own.check_equal("Dead letters", 0, _count_dead(await own.target.count_queued()))
    waiting = run.day.waiting_email
    mails, _ = await own.target.read_inbox()
    own.check_equal("The mail that waited at the moment: sent before the disaster, and not again", (1, 1),
                    (inbox[waiting], mails[waiting]))  # fmt: skip
    own.record_figure("Lost writes made again, once each", sum(count == 1 for count in made.values()))


def _is_repeated_answer(again: CallSample, first: CallSample) -> bool:
    return again.replayed and _identify_answer(again) == _identify_answer(first)


def _identify_answer(sample: CallSample) -> str:
    """Return what two answers share only if they are the same to every byte, but for a form that is signed anew."""
    record = {name: value for name, value in (sample.record or {}).items() if name != "upload"}
    return sample.fingerprint if record == (sample.record or {}) else f"{sample.status} {record}"


def _count_dead(queued: dict[str, int]) -> int:
    return sum(count for name, count in queued.items() if name.startswith("DeadLetter"))
