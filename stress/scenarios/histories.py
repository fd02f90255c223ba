"""Scenario: histories. Members and staff work on the same records at once; then the whole run's history is judged."""

import asyncio
import random
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from stress.commit_times import draw_commit_times
from stress.fixtures import SignedInUser
from stress.history_facts import judge_history
from stress.ledger import CallSample, PlannedCall
from stress.profiles import Profile
from stress.scenario_context import LocalScenarioContext, ScenarioContext
from stress.scenario_end import reconcile, wait_until_idle

TITLE = "Histories of all calls"
PROMISE = (
    "Members and staff read and change the same records at once. Of every call of the run, its begin, end and answer "
    "agree with the order of commits in PostgreSQL's own log: no update is lost, no read is stale, no page goes back."
)
MEMBERS, CLAIMS, STAFF = 4, 3, 3
ROUNDS = 12  # of each user; with the other calls fewer than the limits of a minute
PAUSE_S = (0.0, 0.15)
NEXT = {"submitted": "verification", "verification": "submitted"}
# What the checker must have judged, or its verdict would say nothing.
JUDGED = (
    "records", "operations on records", "reads after an own call", "preconditions", "acknowledged calls",
    "refused calls", "calls in the order of the log", "commits in the log", "keys", "effects", "pages",
    "pages after another", "complete pages", "limits of clients", "jobs", "mails",
)  # fmt: skip
# The kinds of anomalies, by the promise that each breaks.
PROMISES = {
    "Each record's versions have one order in time": (
        "lost-update", "change-of-old-version", "version-from-nowhere", "read-before-write", "writes-out-of-order",
        "wrong-refusal"),
    "No read is stale, least of all after one's own write": ("stale-read", "stale-read-of-own-write", "read-goes-back"),
    "Each acknowledged write committed between its call and its answer, in the order of PostgreSQL's log": (
        "acknowledged-not-committed", "committed-after-its-answer", "committed-before-its-call", "log-contradicts-time",
        "committed-twice", "torn-transaction", "clock-stepped", "operation-without-promise"),
    "Each refused write is nowhere, and nothing came unasked": (
        "refused-but-committed", "effect-without-call"),
    "Each key has one transaction and one answer": ("key-lost", "key-used-twice", "key-answered-differently"),
    "No page goes back, repeats or leaves out an item": (
        "page-goes-back", "item-left-out", "item-twice", "page-out-of-order", "cursor-from-nowhere"),
    "No limit was passed in any stretch of time": ("limit-passed",),
    "Each job and each mail once": (
        "job-missing", "job-twice", "job-unasked", "job-not-ended", "mail-missing", "mail-twice", "mail-unasked"),
}  # fmt: skip


@dataclass
class SharedClaim:
    """A claim that all work on, as the client that read it last knows it."""

    id: str
    owner: SignedInUser
    version: int
    state: str

    def learn(self, sample: CallSample) -> None:
        """Take over what an answer says."""
        if sample.is_accepted and sample.record:
            self.version, self.state = int(sample.record["version"]), str(sample.record["state"])


def count_members_needed(_profile: Profile) -> int:
    """Return how many members the scenario takes."""
    return MEMBERS


async def run(context: LocalScenarioContext) -> None:
    """Run the scenario."""
    members = context.fixtures.take_members(MEMBERS)
    staff = [await context.fixtures.make_staff_token() for _ in range(STAFF)]
    context.show_progress(f"{MEMBERS} members and {STAFF} of the staff work on the same claims")
    claims = await _file_claims(context, members)
    works = [_work_as_staff(context, token, claims, number) for number, token in enumerate(staff)]
    works += [_work_as_member(context, each, claims, number) for number, each in enumerate(members)]
    await asyncio.gather(*works)
    await reconcile(context)


async def finish(context: LocalScenarioContext) -> None:
    """Write the history of the run, and have it judged."""
    assert context.history is not None  # noqa: S101 - the run has begun it before its first call
    await wait_until_idle(context)
    context.show_progress("judging the history of all calls")
    path, times = await context.history.write(context.ledger, context.state / "history")
    context.charts.append(draw_commit_times(times))
    record_verdict(context, await judge_history(path.parent))


def record_verdict(context: ScenarioContext, verdict: dict[str, Any]) -> None:
    """Make checks of the checker's verdict: one for each promise, and that each kind of thing was judged."""
    kinds, judged = dict(verdict.get("kinds", {})), verdict.get("judged", {})
    context.check_equal("The history is whole", "", verdict.get("trouble", ""))
    missing = [what for what in JUDGED if not judged.get(what)]
    context.check_equal("Of each kind of thing the checker has judged some", [], missing)
    for name, broken_by in PROMISES.items():
        found = {kind: kinds.pop(kind) for kind in broken_by if kind in kinds}
        examples = [each for each in verdict.get("anomalies", []) if each["kind"] in found][:3]
        shown = "; ".join(f"{each['kind']} {each['subject']}: {each['detail']}" for each in examples)
        context.check(name, holds=not found and "trouble" not in verdict, wanted="no anomaly",
                      found=f"{found} {shown}" if found else verdict.get("trouble", "none"))  # fmt: skip
    context.check_equal("No anomaly of another kind", {}, kinds)
    for what, count in judged.items():
        context.record_figure(f"Judged: {what}", count)


async def _file_claims(context: LocalScenarioContext, members: Sequence[SignedInUser]) -> list[SharedClaim]:
    owners = [member for member in members for _ in range(CLAIMS)]
    calls = [context.call_factory.make_claim(m.token, client=m.address, facts={"member": m.id}) for m in owners]
    samples = await context.send_burst(calls)
    return [
        SharedClaim(str(s.record["id"]), m, int(s.record["version"]), str(s.record["state"]))
        for s, m in zip(samples, owners, strict=True)
        if s.is_accepted and s.record
    ]


async def _work_as_staff(context: LocalScenarioContext, token: str, claims: Sequence[SharedClaim], seed: int) -> None:
    """Change and read claims by turns; a change is based on what somebody was answered last, which may be old."""
    dice = random.Random(seed)
    for _ in range(ROUNDS):
        claim = dice.choice(claims[:4])  # few, so that they meet
        await asyncio.sleep(dice.uniform(*PAUSE_S))
        claim.learn(await _send(context, _make_move(context, claim, token)))
        await _send(context, _make_staff_read(context, claim, token))


def _make_move(context: LocalScenarioContext, claim: SharedClaim, token: str) -> PlannedCall:
    body, headers = {"to": NEXT[claim.state], "reason": "As agreed."}, {"If-Match": f'"{claim.version}"'}
    facts = {"subject": claim.id, "member": claim.owner.id}
    return context.call_factory.make_write(
        "move", f"/claims/{claim.id}/transitions", body, token=token, headers=headers, facts=facts, wanted=(200, 412)
    )


def _make_staff_read(context: LocalScenarioContext, claim: SharedClaim, token: str) -> PlannedCall:
    facts = {"subject": claim.id, "member": claim.owner.id}
    return context.call_factory.make_read("staff read", f"/claims/{claim.id}", token=token, facts=facts)


async def _work_as_member(
    context: LocalScenarioContext, member: SignedInUser, claims: Sequence[SharedClaim], seed: int
) -> None:
    """Walk through the own claims page by page, and read and change the own record."""
    dice, cursor, version = random.Random(1000 + seed), "", 0
    read = {"token": member.token, "client": member.address}
    own = [claim for claim in claims if claim.owner is member]
    for number in range(ROUNDS):
        await asyncio.sleep(dice.uniform(*PAUSE_S))
        query = f"?limit=1&cursor={cursor}" if cursor else "?limit=1"
        page = await _send(context, context.call_factory.make_read("own claims", f"/claims{query}", **read))
        cursor = str((page.record or {}).get("next_cursor") or "")
        await _send(context, context.call_factory.make_read("own claim", f"/claims/{dice.choice(own).id}", **read))
        if number % 3 == 0:
            record = await _send(context, context.call_factory.make_read("own member", "/members/me", **read))
            version = int((record.record or {}).get("version", 0))
            edits = [_make_edit(context, member, version, f"+3834960{seed}{number:02d}{n}") for n in range(2)]
            await asyncio.gather(*(_send(context, edit) for edit in edits))


def _make_edit(context: LocalScenarioContext, member: SignedInUser, version: int, phone: str) -> PlannedCall:
    call = context.call_factory.make_write(
        "edit", f"/members/{member.id}", {"phone": phone}, token=member.token, client=member.address,
        headers={"If-Match": f'"{version}"'}, facts={"subject": member.id}, wanted=(200, 412),
    )  # fmt: skip
    return replace(call, method="PATCH")


async def _send(context: LocalScenarioContext, call: PlannedCall) -> CallSample:
    context.samples_wanted += 1
    return await context.generator.send(call)
