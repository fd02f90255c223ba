"""The worker's function: messages in, jobs done, and back to the queue only what could not be tried."""

from functools import cache
from typing import Any

from aws_lambda_powertools.utilities.batch import BatchProcessor, EventType, process_partial_response
from aws_lambda_powertools.utilities.data_classes.sqs_event import SQSRecord

from jobs.guard import guarded
from jobs.pace import pace
from jobs.work import Office, Worker
from shared.aws.clients import cognito, sesv2
from shared.aws.guarded import GuardedIdentities, GuardedMailer
from shared.aws.identity import CognitoIdentities
from shared.aws.mail import SesMailer
from shared.aws.queues import job_of
from shared.clock import monotonic
from shared.logs import logger, where_it_failed
from shared.resilience.deadline import Deadline
from shared.wiring import wiring


@cache
def worker() -> Worker:
    """The environment's own."""
    parts = wiring()
    settings = parts.settings
    circuits = {"mail": parts.circuit("email"), "identity": parts.circuit("identity")}
    return Worker(
        database=parts.database,
        mailer=GuardedMailer(SesMailer(sesv2(), sender=settings.mail_sender), circuits["mail"]),
        identities=GuardedIdentities(CognitoIdentities(cognito(), settings.user_pool_id), circuits["identity"]),
        queues=parts.queues,
        office=Office(settings.desk_mailbox, settings.desk_language, settings.app_url),
        clock=parts.clock,
        pace=pace(parts.state, rate=settings.mail_rate, burst=settings.mail_burst),
        circuits=circuits,
    )


def do_batch(event: dict[str, Any], context: Any, worker: Worker) -> dict[str, Any]:
    """Do the jobs of an SQS event; the answer names the messages that are to come again."""
    deadline = Deadline.after(context.get_remaining_time_in_millis() / 1000, monotonic)

    def do(record: SQSRecord) -> str:
        try:
            return worker.work(job_of(record.body), deadline)
        except Exception as error:
            logger.error("job_not_done", extra={"message_id": record.message_id, **where_it_failed(error)})
            raise

    processor = BatchProcessor(EventType.SQS, raise_on_entire_batch_failure=False)
    return dict(process_partial_response(event=event, record_handler=do, processor=processor, context=context))


@guarded
def handler(event: dict[str, Any], context: Any) -> dict[str, Any]:
    """Lambda's entry point."""
    return do_batch(event, context, worker())
