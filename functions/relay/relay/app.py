"""The relay, which moves committed jobs from the outbox to SQS, by priority, and keeps answers (answers.py).

claim (one round trip, leased) → publish → mark (one round trip)

If it is killed anywhere, nothing is lost: the lease of the claimed jobs expires and the next relay claims them. A job
published twice is done once, since workers claim by state.
"""

import time
from collections import defaultdict
from collections.abc import Callable, Iterable
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from relay.answers import keep_answers
from shared.aws.sqs import JobQueues, read_expected_jobs, read_hops
from shared.background import BackgroundInvocation, background_handler, repeat_until_empty
from shared.clock import Clock
from shared.container import get_container
from shared.database.pipeline import Database
from shared.database.transaction import Pending, Row, Transaction
from shared.deadline import Deadline
from shared.logging import count_scheduled_run, logger
from shared.outbox.retry_policy import MOST_ATTEMPTS
from shared.sql import load_queries

SQL = load_queries("relay")

# Ten SendMessageBatch calls: a tenth of a second, and few jobs to publish again after a crash.
CLAIM_BATCH = 100
# Twice this function's timeout: a relay whose lease has expired has ended.
PUBLISH_LEASE = timedelta(seconds=60)
# How far a queue may be behind before its messages count as lost and are sent again. If an outage of the database
# outlasts all deliveries of a message, its worker gives it up, and its job waits no longer than this.
QUEUE_PATIENCE = timedelta(minutes=15)
# SQS did not answer; the next scheduled or woken run finds the job due again.
PUBLISH_PAUSE = timedelta(seconds=10)
# The pauses between looks for a job whose wake-up came before its commit: half a second in all. A commit that takes
# longer than LATE_S (shared/outbox/waking.py) is followed by another wake-up.
EARLY_LOOKS_S = (0.02, 0.03, 0.05, 0.1, 0.1, 0.1, 0.1)


def relay_batch(database: Database, queues: JobQueues, *, clock: Clock, deadline: Deadline, hops: int = 0) -> int:
    """Send up to CLAIM_BATCH due jobs to SQS and return how many it acknowledged.

    `hops` counts how often workers have woken the relay in the chain of messages that this run belongs to.
    """
    return _look_and_relay(database, queues, frozenset(), clock=clock, deadline=deadline, hops=hops)[0]


def _look_and_relay(
    database: Database,
    queues: JobQueues,
    expected: frozenset[UUID],
    *,
    clock: Clock,
    deadline: Deadline,
    hops: int = 0,
) -> tuple[int, frozenset[UUID]]:
    """Relay a batch; return how many jobs SQS acknowledged, and those of the expected ones that are missing.

    One transaction looks and claims: most looks find nothing, and a refused call causes eight of them.
    """
    lease = clock() + PUBLISH_LEASE
    missing, claimed = database.run(lambda tx: _look_and_claim(tx, expected, lease), deadline).value
    if not claimed:
        return 0, missing
    sent = _publish_jobs(queues, claimed, hops)
    unsent = [row["id"] for row in claimed if row["id"] not in sent]
    database.run(lambda tx: _mark_jobs(tx, lease, sent, unsent), deadline)
    if unsent:
        logger.warning("jobs_not_published", extra={"count": len(unsent)})
    return len(sent), missing


def _look_and_claim(
    tx: Transaction, expected: frozenset[UUID], lease: datetime
) -> Pending[tuple[frozenset[UUID], list[Row]]]:
    # Looked up before jobs are claimed: one that is committed by now is then claimed, by this relay or another.
    missing = tx.fetch_all(SQL["missing_jobs"], ids=list(expected)) if expected else Pending[list[Row]](list)
    tx.add(SQL["mark_abandoned_jobs"], most_attempts=MOST_ATTEMPTS)
    claimed = tx.fetch_all(SQL["claim_due_jobs"], lease=lease, count=CLAIM_BATCH)
    return Pending(lambda: (frozenset(row["id"] for row in missing.resolve()), claimed.resolve()))


def _publish_jobs(queues: JobQueues, claimed: Iterable[Row], hops: int) -> frozenset[UUID]:
    by_priority: dict[str, list[UUID]] = defaultdict(list)
    for row in claimed:
        by_priority[row["priority"]].append(row["id"])
    urgent_first = (priority for priority in ("high", "normal", "low") if priority in by_priority)
    return frozenset().union(*(queues.publish(priority, by_priority[priority], hops=hops) for priority in urgent_first))


def _mark_jobs(tx: Transaction, lease: datetime, sent: frozenset[UUID], unsent: list[UUID]) -> Pending[None]:
    if unsent:
        tx.add(SQL["release_jobs"], ids=unsent, lease=lease, pause=PUBLISH_PAUSE)
    tx.add(SQL["mark_published"], ids=list(sent), lease=lease, patience=QUEUE_PATIENCE)
    return Pending(lambda: None)


def relay_due_jobs(
    event: dict[str, Any],
    database: Database,
    queues: JobQueues,
    *,
    clock: Clock,
    deadline: Deadline,
    sleep: Callable[[float], None] = time.sleep,
    keep: Callable[[], int] = lambda: 0,
) -> int:
    """Send all due jobs to SQS and return how many it acknowledged. `event` has wake-ups, or is the schedule's.

    A wake-up names jobs whose commit may still be under way: while some of them are missing, look again after a pause.
    `keep` keeps some answers; it comes after the jobs, so no mail waits for it, and again while it has kept any.
    """
    bodies = [record["body"] for record in event.get("Records", ())]
    hops, missing = read_hops(bodies), read_expected_jobs(bodies)

    def relay() -> int:
        nonlocal missing
        sent, missing = _look_and_relay(database, queues, missing, clock=clock, deadline=deadline, hops=hops)
        return sent

    published = 0
    for pause_s in (0.0, *EARLY_LOOKS_S):
        if pause_s >= deadline.seconds_left:
            break
        sleep(pause_s)
        published += repeat_until_empty(relay, deadline)
        if not missing:
            break
    while not deadline.has_passed and keep():
        published += repeat_until_empty(relay, deadline)
    return published


@background_handler
def handler(event: dict[str, Any], invocation: BackgroundInvocation) -> dict[str, int]:
    """Serve as Lambda's entry point."""
    if "Records" not in event:
        count_scheduled_run("relay")
    container = get_container()
    database, deadline = container.database, invocation.deadline
    published = relay_due_jobs(
        event, database, container.queues, clock=container.clock, deadline=deadline,
        keep=lambda: keep_answers(database, container.answer_keeper, deadline),
    )  # fmt: skip
    logger.info("jobs_relayed", extra={"count": published})
    return {"published": published}
