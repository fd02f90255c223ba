"""Writes through a failover: how long none is accepted, that none is lost or done twice, and who the new writer is."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise

from stress.health_monitor import HealthSample
from stress.ledger import CallSample, PlannedCall
from stress.scenario_context import LocalScenarioContext

EVERY_S = 0.1  # between two writes
BEFORE_S, AFTER_S = 1.0, 2.0  # of the stream, around the promotion
ANSWERED_S = 30.0  # the longest that a client repeats a write
# After the promotion a write has its answer after the first wait of the transaction's retry (up to 0.1 s, the setting's
# default), a new TLS connection and one transaction: some 0.1 s, on a machine with two busy processors up to a second.
RETRY_S, WORK_S = 0.1, 1.0
# As the health report names a server, so that a reader learns neither its address nor its start time.
IDENTITY = """
SELECT left(encode(sha256(convert_to(concat_ws(' ', extract(epoch FROM pg_postmaster_start_time()),
                                               inet_server_addr(), inet_server_port()), 'UTF8')), 'hex'), 12) AS server
"""
EFFECTS = """
SELECT count(DISTINCT a.id) AS people, count(o.id) AS welcomes FROM accounts a
LEFT JOIN outbox o ON o.subject_id = a.id AND o.kind = 'mail' WHERE a.email = ANY(%(emails)s)
"""


@dataclass
class WriteStream:
    """Registrations at even intervals, whatever becomes of the ones before; each is repeated until it has an answer."""

    context: LocalScenarioContext
    calls: list[PlannedCall] = field(default_factory=list)
    first: list[CallSample] = field(default_factory=list)  # of each call the first attempt
    last: list[CallSample] = field(default_factory=list)

    async def run(self, over: asyncio.Event) -> None:
        """Send until it is over, and return when every call has its answer."""
        clock, tasks = self.context.generator.clock, []
        due = clock.read_now()
        while not over.is_set():
            call = self.context.call_factory.make_registration(wanted=(201, 503))
            self.calls.append(call)
            tasks.append(asyncio.create_task(self._send(call, due)))
            due += EVERY_S
            await clock.wait_until(due)
        await asyncio.gather(*tasks)

    async def _send(self, call: PlannedCall, due: float) -> None:
        self.context.samples_wanted += 1
        sample = await self.context.generator.send(call, due)
        self.first.append(sample)
        if sample.is_undecided:
            sample = await self.context.generator.insist(call, ANSWERED_S)
        self.last.append(sample)


def measure_longest_gap(samples: Sequence[CallSample]) -> float:
    """Return the longest time between two accepted answers in a row; infinite if fewer than two were accepted."""
    ends = sorted(sample.done_s for sample in samples if sample.is_accepted)
    return max((after - before for before, after in pairwise(ends)), default=float("inf"))


async def fail_over(context: LocalScenarioContext, reported_within_s: float) -> None:
    """Promote the standby under a stream of writes, and judge the writes and what health says."""
    context.show_progress("failover under a stream of writes: the standby takes over")
    before = (await context.target.query_rows(IDENTITY))[0]["server"]
    clock, over, stream = context.generator.clock, asyncio.Event(), WriteStream(context)
    under_way = asyncio.create_task(stream.run(over))
    await asyncio.sleep(BEFORE_S)
    began = clock.read_now()
    with context.faults.record_during("failover", "failover"):
        await context.target.promote_standby()
    promoted_s = clock.read_now() - began
    await asyncio.sleep(AFTER_S)
    over.set()
    await under_way
    await _judge_writes(context, stream, promoted_s)
    await _judge_report(context, str(before), reported_within_s)


async def _judge_writes(context: LocalScenarioContext, stream: WriteStream, promoted_s: float) -> None:
    gap_s = measure_longest_gap(stream.first)
    context.record_figure("Failover: until clients are led to the new writer", promoted_s, "s")
    context.record_figure("From the promotion to the first write: the longest time without an accepted one", gap_s, "s")
    refused = sum(not sample.is_accepted for sample in stream.first)
    context.record_figure("Failover: writes that had to be repeated by their client", refused, "calls")
    bar = promoted_s + EVERY_S + RETRY_S + WORK_S
    name = "Failover: no write is accepted for the promotion, a retry's wait and one transaction at most"
    context.check_at_most(name, bar, gap_s, "s")
    count = len(stream.calls)
    context.check_statuses("Failover: each write, once it has its answer", {201: count}, stream.last)
    emails = [str((call.body or {})["email"]) for call in stream.calls]
    row = (await context.target.query_rows(EFFECTS, {"emails": emails}))[0]
    found = (row["people"], row["welcomes"])
    context.check_equal("Failover: people and their mails' jobs on the new writer, one of each", (count, count), found)


async def _judge_report(context: LocalScenarioContext, before: str, within_s: float) -> None:
    report = await context.monitor.wait_for_report(_tells_of_failover, within_s)
    found = f"at {report.got_s:.1f} s of the run" if report else "never"
    wanted = f"within {within_s:.0f} s"
    context.check("Health tells of the failover", holds=report is not None, wanted=wanted, found=found)
    after = str((await context.target.query_rows(IDENTITY))[0]["server"])
    named = report.database.get("server") if report else None
    context.check_equal("and of another server: the one that says so itself", after, named)
    context.check("That server is not the former one", holds=after != before, wanted=f"not {before}", found=after)


def _tells_of_failover(sample: HealthSample) -> bool:
    return bool(sample.database.get("failover", {}).get("detected"))
