"""The handler of the job queues: does the jobs, and returns to the queue only what could not be attempted."""

import os
import time
from collections.abc import Callable
from functools import cache
from typing import Any

from aws_lambda_powertools.utilities.batch import BatchProcessor, EventType, process_partial_response
from aws_lambda_powertools.utilities.data_classes.sqs_event import SQSRecord

from shared.aws.clients import get_cognito, get_dynamodb, get_sesv2
from shared.aws.cognito import CognitoIdentityProvider
from shared.aws.sqs import read_hops, read_job_id
from shared.background import BackgroundInvocation, background_handler
from shared.container import Container
from shared.deadline import Deadline
from shared.errors import Unavailable
from shared.logging import count_version_failure, describe_failure, logger
from shared.settings import Settings
from worker.circuit_protected import CircuitProtectedIdentityProvider, CircuitProtectedMailer
from worker.dynamodb_mail_pacing import DynamoDbPacingStore
from worker.job_runner import JobRunner, MailSettings, NotEnoughTime
from worker.mail_pacing import MailRateLimiter
from worker.priority_pacing import PacingRules
from worker.ses import SesMailer

# No client waits for a job: a new environment, whose first query of the circuits' table takes longer, waits for the
# answer, so that it does not begin with a call that an open circuit forbids.
CIRCUIT_PATIENCE_S = 1.0
# A message whose job could not be read becomes visible again after some 10 s, 30 s, 90 s, 270 s: these four deliveries
# outlast an outage of minutes, where the visibility timeout would cost six minutes each.
FIRST_RETRY_DELAY_S, RETRY_DELAY_FACTOR, LONGEST_RETRY_DELAY_S = 10.0, 3.0, 300.0
# The queues' maxReceiveCount: after this delivery SQS would move the message to the dead-letter queue.
MOST_DELIVERIES = 5


@cache
def get_job_runner() -> JobRunner:
    """Return the environment's job runner."""
    settings = Settings.from_environ(os.environ)
    container = Container(settings, circuit_patience_s=CIRCUIT_PATIENCE_S)
    circuits = {"mail": container.get_breaker("email"), "identity": container.get_breaker("identity")}
    return JobRunner(
        database=container.database,
        mailer=CircuitProtectedMailer(SesMailer(get_sesv2(), sender=settings.mail_sender), circuits["mail"]),
        identities=CircuitProtectedIdentityProvider(
            CognitoIdentityProvider(get_cognito(), settings.user_pool_id), circuits["identity"]
        ),
        queues=container.queues,
        mail_settings=MailSettings(settings.desk_mailbox, settings.desk_language, settings.app_url, settings.time_zone),
        clock=container.clock,
        wait_for_slot=MailRateLimiter(
            DynamoDbPacingStore(get_dynamodb(), settings.state_table),
            PacingRules.from_rate(settings.mail_rate, settings.mail_burst),
            sleep=time.sleep,
        ).wait_for_slot,
        circuits=circuits,
    )


def run_batch(event: dict[str, Any], deadline: Deadline, runner: JobRunner) -> dict[str, Any]:
    """Do the jobs of an SQS event; return the messages that have to be delivered again.

    A message whose job could not be read is delivered again soon, and after the first one no other is attempted: a
    worker without a database would otherwise hide the whole queue for as long as the visibility timeout. Its last
    delivery ends it, since the relay publishes the job again anyway (`QUEUE_PATIENCE` there).
    """
    outages: list[Unavailable] = []
    hops = read_hops(record["body"] for record in event["Records"])

    def run_job(record: SQSRecord) -> str:
        if outages:
            raise outages[0]
        return runner.run_job(read_job_id(record.body), deadline, hops=hops)

    def run_record(record: SQSRecord) -> str:
        try:
            return run_job(record)
        except (Unavailable, NotEnoughTime) as error:
            if isinstance(error, Unavailable):
                outages.append(error)
            _log_failure(record, error)
            if int(record.attributes.approximate_receive_count) >= MOST_DELIVERIES:
                return "given up"
            _delay_message(record, runner)
            raise
        except Exception as error:
            _log_failure(record, error)
            count_version_failure()
            raise

    processor = BatchProcessor(EventType.SQS, raise_on_entire_batch_failure=False)
    return dict(process_partial_response(event=event, record_handler=run_record, processor=processor))


def compute_retry_delay(received: int, uniform: Callable[[float, float], float]) -> float:
    """Return the seconds until a message that was `received` that often becomes visible again."""
    most = min(LONGEST_RETRY_DELAY_S, FIRST_RETRY_DELAY_S * RETRY_DELAY_FACTOR ** (received - 1))
    return most * uniform(0.5, 1.0)


def _delay_message(record: SQSRecord, runner: JobRunner) -> None:
    delay_s = compute_retry_delay(int(record.attributes.approximate_receive_count), runner.uniform)
    runner.queues.delay_message(record.event_source_arn, record.receipt_handle, delay_s=delay_s)


def _log_failure(record: SQSRecord, error: Exception) -> None:
    logger.error("job_not_done", extra={"message_id": record.message_id, **describe_failure(error)})


@background_handler
def handler(event: dict[str, Any], invocation: BackgroundInvocation) -> dict[str, Any]:
    """Serve as Lambda's entry point."""
    return run_batch(event, invocation.deadline, get_job_runner())
