"""The calls that people make before and after the moment to which their database will be restored."""

import asyncio
import json
from collections import Counter
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any

import aiohttp

from stress.fixtures import FixtureError, SignedInUser
from stress.ledger import CallSample, PlannedCall
from stress.restored_cloud import refuse_invocations
from stress.scenario_context import LocalScenarioContext
from stress.scenario_end import wait_until_idle

MEMBERS = 8
KEPT = 4  # of them with a claim before the moment; the others file theirs after it
REGISTRATIONS = 12  # after the moment
EVIDENCE = b"Boarding pass: PRN-ZRH, 2 November 2026"
RELAY = "RelayFunction"  # refused, it leaves jobs waiting in the outbox
# How far the moment is from the commits before and after it. Their times are the server's own.
APART_S = 0.05
SEEN_S = 20.0  # the longest wait for a write that waits for a lock, and for a mail
IDLE_S = 60.0  # the longest wait for all jobs: a wake-up that was lost, and the relay's next run by its schedule
POLL_S = 0.05
NOW = "SELECT clock_timestamp() AS now"
WAITING = "SELECT count(*) AS n FROM pg_locks WHERE NOT granted"
PENDING = "SELECT id FROM outbox WHERE state = 'pending'"
HOLD = "UPDATE outbox SET available_at = now() + interval '1 day' WHERE state = 'pending'"
UNKEPT = "SELECT count(*) AS n FROM idempotency_keys WHERE holder IS NOT NULL"
UNDECIDED = "SELECT count(*) AS n FROM outbox WHERE state NOT IN ('done', 'uncertain')"
# The WAL holds a sequence up to 32 numbers ahead, so a restored one is behind only what was given after these.
USE_LOGGED_NUMBERS = """
SELECT nextval('member_numbers') FROM generate_series(1, (SELECT log_cnt FROM member_numbers))
UNION ALL SELECT nextval('claim_numbers') FROM generate_series(1, (SELECT log_cnt FROM claim_numbers))"""


class RestoredDay:
    """The day: `moment` is the database's own time, `moment_s` the run's."""

    def __init__(self, own: LocalScenarioContext) -> None:
        """Take the scenario's context on the cloud; nothing is done yet."""
        self._own = own
        self.moment, self.moment_s = datetime.now(UTC), 0.0
        self.members: list[SignedInUser] = []
        self.claims: list[CallSample] = []  # kept
        self.after: list[CallSample] = []
        self.signed_up_after: list[CallSample] = []  # whose sign-ins were made after the moment
        self.begun: PlannedCall | None = None
        self.inbox: Counter[str] = Counter()  # at the moment
        self.lost_jobs: list[str] = []
        self.waiting_id = self.waiting_email = self.document_id = ""

    def list_acknowledged(self) -> list[CallSample]:
        """Return the writes with a key that were acknowledged, each once."""
        first: dict[str, CallSample] = {}
        for sample in self._own.samples:
            if sample.call.key and sample.is_accepted:
                first.setdefault(str(sample.call.key), sample)
        return list(first.values())

    async def prepare(self) -> None:
        """Sign in members and staff."""
        await self._own.fixtures.prepare(MEMBERS)
        self.members = self._own.fixtures.take_members(MEMBERS)

    # ---- before -----------------------------------------------------------------------------------------------------
    async def work_before(self) -> None:
        """Do what will be kept."""
        own = self._own
        own.show_progress("people work before the moment")
        self.claims = await own.send_burst([self._make_claim(member) for member in self.members[:KEPT]])
        await own.send_burst([own.call_factory.make_application(), own.call_factory.make_registration()])
        [announced] = await own.send_burst([self._make_announcement(self.claims[0], self.members[0])])
        self.document_id = str((announced.record or {})["id"])
        await _upload(announced)
        await wait_until_idle(own)

    def _make_claim(self, member: SignedInUser) -> PlannedCall:
        facts = {"member": member.id}
        return self._own.call_factory.make_claim(member.token, client=member.address, facts=facts)

    def _make_announcement(self, claim: CallSample, member: SignedInUser) -> PlannedCall:
        claim_id = str((claim.record or {})["id"])
        facts = {"claim": claim_id, "member": member.id}
        return self._own.call_factory.make_document_announcement(
            claim_id, member.token, len(EVIDENCE), client=member.address, facts=facts
        )

    # ---- the moment -------------------------------------------------------------------------------------------------
    async def pass_moment(self) -> None:
        """Pass the moment while a mail waits, and within the transaction of a write."""
        own = self._own
        async with refuse_invocations(own.target, [RELAY]):
            [waiting] = await own.send_burst([own.call_factory.make_registration()])
            self.waiting_id, self.waiting_email = (
                str((waiting.record or {})["id"]),
                str((waiting.call.body or {})["email"]),
            )
            async with self._begin_write():
                await asyncio.sleep(APART_S)
                self.inbox, _ = await own.target.read_inbox()
                self.moment = (await own.target.query_rows(NOW))[0]["now"]
                self.moment_s = own.generator.clock.read_now()
                await asyncio.sleep(APART_S)
        self.signed_up_after.append(waiting)
        await self._wait_for_mail(self.waiting_email)

    @asynccontextmanager
    async def _begin_write(self) -> AsyncIterator[None]:
        """Let a registration begin before the block, and commit after it."""
        own = self._own
        self.begun = own.call_factory.make_registration()
        async with own.target.block_writes():
            under_way = asyncio.create_task(own.send_burst([self.begun]))
            await self._wait_until_any(WAITING)
            yield
        self._note_after(await under_way)

    async def _wait_until_any(self, query: str) -> None:
        until = self._own.generator.clock.read_now() + SEEN_S
        while not (await self._own.target.query_rows(query))[0]["n"] and self._own.generator.clock.read_now() < until:
            await asyncio.sleep(POLL_S)

    async def _wait_for_mail(self, email: str) -> None:
        until = self._own.generator.clock.read_now() + SEEN_S
        while not (await self._own.target.read_inbox())[0][email] and self._own.generator.clock.read_now() < until:
            await asyncio.sleep(POLL_S)

    # ---- after ------------------------------------------------------------------------------------------------------
    async def work_after(self) -> None:
        """Do what will be lost."""
        own = self._own
        own.show_progress("people work after the moment")
        await own.target.query_rows(USE_LOGGED_NUMBERS)
        registered = await own.send_burst([own.call_factory.make_registration() for _ in range(REGISTRATIONS)])
        self._note_after(registered)
        others = [own.call_factory.make_application(), *map(self._make_claim, self.members[KEPT:])]
        others += [self._make_move(claim) for claim in self.claims]
        self._note_after(await own.send_burst([*others, self._make_completion()]))
        [newcomer] = await own.fixtures.sign_in_users(registered[:1])
        self._note_after(await own.send_burst([self._make_claim(newcomer)]))
        await wait_until_idle(own)

    async def work_last(self) -> None:
        """Do what will be lost, of which the jobs are not done: the relay must be refused until they are held."""
        last = await self._own.send_burst([self._own.call_factory.make_registration() for _ in range(2)])
        self._note_after(last, have_signed_up=False)
        self.lost_jobs = [str(row["id"]) for row in await self._own.target.query_rows(PENDING)]
        await self._own.target.query_rows(HOLD)

    async def wait_for_answers(self) -> None:
        """Return when the relay has kept all answers: the disaster comes more than a second after the last write.

        Raise FixtureError if it does not keep them: the command would be judged by what it can't know.
        """
        aws = self._own.target.aws
        await asyncio.to_thread(aws.make_client("sqs").send_message, QueueUrl=aws.outputs["NudgeQueue"],
                                MessageBody="{}")  # fmt: skip
        until = self._own.generator.clock.read_now() + IDLE_S
        while (await self._own.target.query_rows(UNKEPT))[0]["n"]:
            if self._own.generator.clock.read_now() >= until:
                raise FixtureError("the relay has not kept all answers")
            await asyncio.sleep(POLL_S)

    async def deliver_lost_jobs(self) -> None:
        """Put messages into a queue that name jobs which the restored database has lost."""
        aws = self._own.target.aws
        for job in self.lost_jobs:
            body = json.dumps({"job_id": job, "hops": 0})
            await asyncio.to_thread(aws.make_client("sqs").send_message, QueueUrl=aws.outputs["QueueHigh"],
                                    MessageBody=body)  # fmt: skip

    def _note_after(self, samples: Sequence[CallSample], *, have_signed_up: bool = True) -> None:
        """Note writes after the moment; `have_signed_up` is whether sign-ins were made before the disaster."""
        self.after += [sample for sample in samples if sample.is_accepted]
        if have_signed_up:
            self.signed_up_after += [s for s in samples if s.is_accepted and s.call.operation == "register"]

    def _make_move(self, claim: CallSample) -> PlannedCall:
        record = claim.record or {}
        facts = {"subject": str(record["id"]), "member": claim.call.facts["member"]}
        return self._own.call_factory.make_write(
            "move",
            f"/claims/{record['id']}/transitions",
            {"to": "verification", "reason": "As agreed."},
            token=self._own.fixtures.staff,
            headers={"If-Match": f'"{record["version"]}"'},
            facts=facts,
        )

    def _make_completion(self) -> PlannedCall:
        claim_id, member = str((self.claims[0].record or {})["id"]), self.members[0]
        path = f"/claims/{claim_id}/documents/{self.document_id}/completion"
        facts = {"claim": claim_id, "member": member.id}
        return self._own.call_factory.make_write(
            "complete", path, token=member.token, client=member.address, facts=facts
        )

    # ---- once more --------------------------------------------------------------------------------------------------
    def order_repeats(self, lost: Sequence[CallSample]) -> Iterator[list[CallSample]]:
        """Yield lost writes in the order in which their clients can repeat them: people before what they did."""
        people = [sample for sample in lost if sample.call.operation in ("register", "apply")]
        yield people
        yield [sample for sample in lost if sample not in people]

    async def wait_for_sign_ins(self, repeated: Sequence[CallSample]) -> None:
        """Return when the people of these writes can sign in: their accounts have their former sign-ins."""
        if any(sample.call.operation == "register" for sample in repeated):
            await wait_until_decided(self._own)


async def wait_until_decided(own: LocalScenarioContext) -> None:
    """Wait until no message and no job is left but those that a person decides about, or the time is up."""
    until = own.generator.clock.read_now() + IDLE_S
    while own.generator.clock.read_now() < until:
        [jobs] = await own.target.query_rows(UNDECIDED)
        queued = await own.target.count_queued()
        if not jobs["n"] and not sum(count for name, count in queued.items() if name != "NudgeQueue"):
            return
        await asyncio.sleep(POLL_S)


async def _upload(announced: CallSample) -> None:
    """Upload the document with the form of its announcement, as a browser would. Raise aiohttp.ClientError."""
    upload: dict[str, Any] = (announced.record or {})["upload"]
    form = aiohttp.FormData()
    for name, value in upload["fields"].items():
        form.add_field(name, value)
    form.add_field("file", EVIDENCE, filename="boarding-pass.txt", content_type="text/plain")
    async with aiohttp.ClientSession(raise_for_status=True) as session, session.post(upload["url"], data=form):
        return
