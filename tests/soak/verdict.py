"""Comparison of the ledger of answers with the database, the outbox and the inbox."""

import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

from tests.e2e.cloud import RunningCloud
from tests.soak.ledger import SoakLedger

# Nothing has come to its end for this long: a worker died with what is left, or with its message. A job takes less.
QUIET_S = 40.0
# After this long nobody ends it any more: the relay's schedule is every minute.
GIVE_UP_S = 150.0


@dataclass(frozen=True)
class OutboxEnd:
    """The outbox in the end: jobs by template and state, and mails by recipient and state."""

    by_template: dict[tuple[str, str], int]
    by_recipient: dict[str, Counter[str]]

    def count(self, state: str) -> int:
        """Return how many ended so."""
        return sum(n for (_, ended), n in self.by_template.items() if ended == state)


def wait_until_drained(
    cloud: RunningCloud, *, quiet_s: float = QUIET_S, wake_relay: Callable[[], object] = lambda: None
) -> OutboxEnd:
    """Wait until nothing is under way; return the outbox. End dead workers' leases and messages early to save time.

    They are dead if nothing has come to its end for `quiet_s`. Without `wake_relay` its schedule finds their jobs.
    """
    left = _wait_until_idle(cloud, quiet_s)
    if left:
        cloud.query_rows("UPDATE outbox SET leased_until = now() WHERE state IN ('queued', 'running')")
        wake_relay()
        left = _wait_until_idle(cloud, GIVE_UP_S)
    assert left == 0, f"{left} jobs did not come to an end"
    by_template = {
        (row["template"], row["state"]): row["n"]
        for row in cloud.query_rows(
            "SELECT coalesce(payload->>'template', kind) AS template, state, count(*) AS n FROM outbox GROUP BY 1, 2"
        )
    }
    by_recipient: dict[str, Counter[str]] = {}
    for row in cloud.query_rows(
        "SELECT coalesce(a.email, 'desk') AS email, o.state, count(*) AS n FROM outbox o LEFT JOIN accounts a"
        " ON o.payload->>'to' = 'account:' || a.id WHERE o.kind = 'mail' GROUP BY 1, 2"
    ):
        by_recipient.setdefault(row["email"], Counter())[row["state"]] = row["n"]
    return OutboxEnd(by_template, by_recipient)


def _wait_until_idle(cloud: RunningCloud, quiet_s: float) -> int:
    """Wait until no job is under way, or none has ended for `quiet_s`; return how many are left."""
    left, until = -1, 0.0
    while left and (left < 0 or time.monotonic() < until):
        now = cloud.query_rows("SELECT count(*) AS n FROM outbox WHERE state NOT IN ('done', 'failed', 'uncertain')")[
            0
        ]["n"]
        if now != left:
            left, until = now, time.monotonic() + quiet_s
        time.sleep(0.5)
    return left


def list_differences(ledger: SoakLedger, cloud: RunningCloud, jobs: OutboxEnd) -> Iterator[str]:
    """Describe each difference from the answers, in words; nothing if all agrees."""
    yield from (f"no answer: {call}" for call in ledger.unfinished)
    yield from _compare_records(ledger, cloud)
    yield from _compare_effects(ledger, cloud, jobs)
    yield from _compare_mails(cloud, jobs)


def _compare_records(ledger: SoakLedger, cloud: RunningCloud) -> Iterator[str]:
    people = {str(row["id"]): row["version"] for row in cloud.query_rows("SELECT id, version FROM members")}
    answered = {k: r["version"] for k, r in ledger.find_latest("member.registered", "membership.renewed").items()}
    yield from _format_differences("member", answered, people)
    agents = {str(row["id"]): row["referral_code"] for row in cloud.query_rows("SELECT id, referral_code FROM agents")}
    yield from _format_differences(
        "agent", {r["id"]: r["referral_code"] for r in ledger.answered["agent.applied"]}, agents
    )
    claims = {str(row["id"]): (row["state"], row["version"]) for row in cloud.query_rows("SELECT * FROM claims")}
    latest = ledger.find_latest("claim.submitted", "claim.transitioned")
    yield from _format_differences("claim", {k: (r["state"], r["version"]) for k, r in latest.items()}, claims)


def _format_differences(what: str, answered: Mapping[str, object], there: Mapping[str, object]) -> Iterator[str]:
    for key in answered.keys() | there.keys():
        if answered.get(key) != there.get(key):
            yield f"{what} {key}: answered {answered.get(key)}, there is {there.get(key)}"


def _compare_effects(ledger: SoakLedger, cloud: RunningCloud, jobs: OutboxEnd) -> Iterator[str]:
    audit = {row["action"]: row["n"] for row in cloud.query_rows("SELECT action, count(*) AS n FROM audit GROUP BY 1")}
    for action, records in ledger.answered.items():
        if audit.get(action, 0) != len(records):
            yield f"audit: {action} stands {audit.get(action, 0)} times, answered {len(records)} times"
    history = cloud.query_rows("SELECT count(*) AS n FROM claim_history")[0]["n"]
    if history != (wanted := len(ledger.answered["claim.submitted"]) + len(ledger.answered["claim.transitioned"])):
        yield f"history: {history} entries instead of {wanted}"
    there: Counter[str] = Counter()
    for (template, _), n in jobs.by_template.items():
        there[template] += n
    if there != ledger.count_jobs():
        yield f"jobs: {there} instead of {ledger.count_jobs()}"
    if failed := jobs.count("failed"):
        yield f"jobs: {failed} failed"


def _compare_mails(cloud: RunningCloud, jobs: OutboxEnd) -> Iterator[str]:
    """Yield each difference: a done job is one mail, an uncertain one is one or none, and there is no other mail."""
    inbox = Counter(mail["to"][0] for mail in cloud.list_mails())
    inbox["desk"] = inbox.pop("desk@interdomestik.test", 0)
    for recipient in inbox.keys() | jobs.by_recipient.keys():
        ended = jobs.by_recipient.get(recipient, Counter())
        if not ended["done"] <= inbox[recipient] <= ended["done"] + ended["uncertain"]:
            yield f"inbox: {inbox[recipient]} mails for jobs that ended {dict(ended)}"
