"""The handler of housekeeping: the hourly changes to records that follow from time.

Each task works in bounded batches until there are no more records or no more time.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import date, timedelta, tzinfo
from typing import Any
from uuid import UUID

from shared.admission.ports import KEY_LIFE_S
from shared.aws.s3 import DocumentStore
from shared.background import BackgroundInvocation, background_handler, repeat_until_empty
from shared.clock import Clock, convert_to_local_date
from shared.container import get_container
from shared.database.pipeline import Database
from shared.database.transaction import Row
from shared.deadline import Deadline
from shared.errors import DependencyFailed, Unavailable
from shared.ids import make_uuid7
from shared.logging import count_scheduled_run, describe_failure, logger, observe
from shared.outbox.payload import PAYLOAD_SQL, format_origin
from shared.settings import Settings
from shared.sql import load_queries

SQL = load_queries("housekeeping", parts=PAYLOAD_SQL)

# A batch is one short transaction: it holds few locks, and little work is lost if it fails.
BATCH = 200
# Deleting objects takes one call each.
DOCUMENT_BATCH = 50

DOCUMENT_AGE = timedelta(days=1)
KEY_AGE = timedelta(seconds=KEY_LIFE_S)
DONE_JOB_AGE = timedelta(days=30)
UNSOLICITED_MAIL_AGE = timedelta(hours=24)
# The days after the end of access in which the mail about it may still be written: if housekeeping did not run for
# longer, or runs for the first time, nobody gets a mail about an end long past.
REMINDER_LATENESS_DAYS = 7


@dataclass(frozen=True, slots=True)
class Housekeeper:
    """The housekeeping tasks; the method of each returns how many records one batch changed."""

    database: Database
    document_store: DocumentStore
    clock: Clock
    request_id: str
    deadline: Deadline
    time_zone: tzinfo = Settings().time_zone  # memberships follow the dates of the stack's country

    def reject_stale_documents(self) -> int:
        """Delete the uploads of documents that were never completed, and reject the documents."""
        stale = self._run_batch("stale_documents", age=DOCUMENT_AGE, count=DOCUMENT_BATCH)
        deleted = [row["id"] for row in stale if self._remove_object(row)]
        return len(self._run_batch("reject_documents", ids=deleted, request_id=self.request_id)) if deleted else 0

    def _remove_object(self, document: Row) -> bool:
        try:
            self.document_store.delete(document["object_key"])
        except (DependencyFailed, Unavailable) as error:
            logger.warning("object_not_deleted", extra={"document_id": str(document["id"]), "error": str(error)})
            return False
        return True

    def notify_overdue_claims(self) -> int:
        """Write to the claims desk about claims that have been in a state for longer than promised."""
        claims: list[UUID] = [row["id"] for row in self._run_batch("overdue_claims", count=BATCH)]
        if not claims:
            return 0
        job_ids = [make_uuid7() for _ in claims]
        return len(
            self._run_batch(
                "notify_overdue_claims",
                claim_ids=claims,
                job_ids=job_ids,
                origin=format_origin(),
                request_id=self.request_id,
            )
        )

    def update_subscription_states(self) -> int:
        """Store the states of memberships that the date has changed, and end pauses whose days are used up."""
        return len(
            self._run_batch(
                "update_subscription_states", today=self._read_today(), count=BATCH, request_id=self.request_id
            )
        )

    def remind_members(self) -> int:
        """Write to members whose membership ends in 30 days, in 7 or today, or whose access has ended; once each."""
        job_ids = [make_uuid7() for _ in range(BATCH)]
        return len(
            self._run_batch(
                "remind_members",
                today=self._read_today(),
                lateness=REMINDER_LATENESS_DAYS,
                job_ids=job_ids,
                origin=format_origin(),
                request_id=self.request_id,
            )
        )

    def delete_old_unsolicited_mails(self) -> int:
        """Delete the addresses of unsolicited mails after a day."""
        return len(self._run_batch("delete_old_greetings", age=UNSOLICITED_MAIL_AGE, count=BATCH))

    def _read_today(self) -> date:
        return convert_to_local_date(self.clock(), self.time_zone)

    def delete_old_keys(self) -> int:
        """Delete idempotency keys after a day."""
        return len(self._run_batch("delete_old_keys", age=KEY_AGE, count=BATCH))

    def delete_old_jobs(self) -> int:
        """Delete jobs that were finished or dismissed long ago."""
        return len(self._run_batch("delete_old_jobs", age=DONE_JOB_AGE, count=BATCH))

    def _run_batch(self, query: str, **params: object) -> list[Row]:
        return self.database.run(lambda tx: tx.fetch_all(SQL[query], **params), self.deadline).value

    def run(self) -> dict[str, int]:
        """Run every task to its end, or as far as time allows; return how many records each changed.

        A task that fails is logged and does not prevent the others.
        """
        tasks: dict[str, Callable[[], int]] = {
            "documents_rejected": self.reject_stale_documents,
            "overdue_claims_notified": self.notify_overdue_claims,
            "subscriptions_updated": self.update_subscription_states,
            "members_reminded": self.remind_members,
            "keys_deleted": self.delete_old_keys,
            "jobs_deleted": self.delete_old_jobs,
            "unsolicited_mails_deleted": self.delete_old_unsolicited_mails,
        }
        return {name: self._run_task(name, task) for name, task in tasks.items()}

    def _run_task(self, name: str, task: Callable[[], int]) -> int:
        try:
            return repeat_until_empty(task, self.deadline)
        except Exception as error:  # noqa: BLE001 - the next task may succeed
            observe("housekeeping_task_failed", {"task": name, **describe_failure(error)})
            return 0


@background_handler
def handler(_event: dict[str, Any], invocation: BackgroundInvocation) -> dict[str, int]:
    """Serve as Lambda's entry point."""
    count_scheduled_run("housekeeping")
    container = get_container()
    done = Housekeeper(
        container.database,
        container.document_store,
        container.clock,
        invocation.request_id,
        invocation.deadline,
        container.settings.time_zone,
    ).run()
    if done["overdue_claims_notified"] or done["members_reminded"]:
        container.queues.wake_relay()
    logger.info("housekeeping_done", extra=done)
    return done
