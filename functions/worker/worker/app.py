"""The worker's function: messages in, jobs done, and back to the queue only what could not be tried."""

import time
from functools import cache
from typing import Any

from aws_lambda_powertools.utilities.batch import BatchProcessor, EventType, process_partial_response
from aws_lambda_powertools.utilities.data_classes.sqs_event import SQSRecord

from shared.aws.clients import cognito, dynamodb, sesv2
from shared.aws.cognito import CognitoIdentities
from shared.aws.sqs import job_of
from shared.background import guarded
from shared.clock import monotonic
from shared.container import container
from shared.deadline import Deadline
from shared.errors import Unavailable
from shared.logging import logger, where_it_failed
from shared.outbox.policy import look_again_s
from worker.dynamodb_pace import DynamoDbPaceStore
from worker.guarded import GuardedIdentities, GuardedMailer
from worker.job_runner import Office, OutOfTime, Worker
from worker.mail_pace import MailPace
from worker.priority_pace import Rules
from worker.ses import SesMailer

# Nobody waits for a job: a new environment, whose first question to the table takes longer, waits for the answer rather
# than begin with a call that an open circuit forbids.
CIRCUIT_PATIENCE_S = 1.0


@cache
def worker() -> Worker:
    """The environment's own."""
    parts = container()
    parts.circuit_patience_s = CIRCUIT_PATIENCE_S
    settings = parts.settings
    circuits = {"mail": parts.circuit("email"), "identity": parts.circuit("identity")}
    return Worker(
        database=parts.database,
        mailer=GuardedMailer(SesMailer(sesv2(), sender=settings.mail_sender), circuits["mail"]),
        identities=GuardedIdentities(CognitoIdentities(cognito(), settings.user_pool_id), circuits["identity"]),
        queues=parts.queues,
        office=Office(settings.desk_mailbox, settings.desk_language, settings.app_url, settings.time_zone),
        clock=parts.clock,
        pace=MailPace(
            DynamoDbPaceStore(dynamodb(), settings.state_table),
            Rules.of(settings.mail_rate, settings.mail_burst),
            sleep=time.sleep,
        ).wait_for_turn,
        circuits=circuits,
    )


def do_batch(event: dict[str, Any], context: Any, worker: Worker) -> dict[str, Any]:
    """Do the jobs of an SQS event; the answer names the messages that are to come again.

    Those whose job could not be looked at come soon, and after the first of them no other is tried: a worker without a
    database would otherwise hide all that is queued for as long as the visibility timeout.
    """
    deadline = Deadline.after(context.get_remaining_time_in_millis() / 1000, monotonic)
    outages: list[Unavailable] = []

    def work(record: SQSRecord) -> str:
        if outages:
            raise outages[0]
        return worker.work(job_of(record.body), deadline)

    def do(record: SQSRecord) -> str:
        try:
            return work(record)
        except (Unavailable, OutOfTime) as error:
            if isinstance(error, Unavailable):
                outages.append(error)
            _show_again(record, worker)
            _log(record, error)
            raise
        except Exception as error:
            _log(record, error)
            raise

    processor = BatchProcessor(EventType.SQS, raise_on_entire_batch_failure=False)
    return dict(process_partial_response(event=event, record_handler=do, processor=processor, context=context))


def _show_again(record: SQSRecord, worker: Worker) -> None:
    delay_s = look_again_s(int(record.attributes.approximate_receive_count), worker.uniform)
    worker.queues.show_again(record.event_source_arn, record.receipt_handle, delay_s=delay_s)


def _log(record: SQSRecord, error: Exception) -> None:
    logger.error("job_not_done", extra={"message_id": record.message_id, **where_it_failed(error)})


@guarded
def handler(event: dict[str, Any], context: Any) -> dict[str, Any]:
    """Lambda's entry point."""
    return do_batch(event, context, worker())
