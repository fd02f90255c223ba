"""The smallest call to each AWS service that shows that it answers, and that the function may call it.

Needs ses:GetAccount, cognito-idp:DescribeUserPool, s3:ListBucket and sqs:GetQueueAttributes.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from shared.aws.clients import get_health_client
from shared.aws.errors import BOTO_ERRORS, RequestRejected, classify_error

if TYPE_CHECKING:
    from mypy_boto3_sesv2 import SESV2Client

    from shared.settings import Settings

Ask = Callable[[], object]


def make_service_queries(settings: Settings) -> Mapping[str, Ask]:
    """Return a query for each service, by its name in the health report; each raises AwsError.

    The clients are created here, in the caller's thread: boto3 can't safely create clients in two threads at once.
    """
    mail, identity, storage, queue = map(get_health_client, ("sesv2", "cognito-idp", "s3", "sqs"))
    return {
        "email": _translate_errors(lambda: _check_can_send(mail)),
        "identity": _translate_errors(lambda: identity.describe_user_pool(UserPoolId=settings.user_pool_id)),
        "storage": _translate_errors(lambda: storage.head_bucket(Bucket=settings.evidence_bucket)),
        "queue": _translate_errors(
            lambda: queue.get_queue_attributes(QueueUrl=settings.queue_high_url, AttributeNames=["QueueArn"])
        ),
    }


def _translate_errors(ask: Ask) -> Ask:
    def ask_translated() -> object:
        try:
            return ask()
        except BOTO_ERRORS as error:
            raise classify_error(error) from None

    return ask_translated


def _check_can_send(mail: SESV2Client) -> None:
    if not mail.get_account()["SendingEnabled"]:
        raise RequestRejected("SendingPaused")
