"""The boto3 clients: one of each per process, created on first use, and nowhere else.

Region, credentials and, locally, `AWS_ENDPOINT_URL` come from the environment, as boto3 reads it. boto3's own timeouts
(60 s to connect, 60 s to read, 5 attempts) outlive any of our requests, so each client sets its own, in seconds. No
attempt begins that could outlast the current deadline. All are made by boto3's one session, so that botocore's data is
read once.

The layer has the descriptions of these services alone, each with the operations that `layers/shared/contents.toml`
names (docs/decisions/0075).
"""

from functools import cache, partial
from typing import TYPE_CHECKING, Any

import boto3
from botocore.config import Config

from shared import deadline
from shared.aws.errors import OutOfTime
from shared.crash_points import crash_point

if TYPE_CHECKING:
    from mypy_boto3_cognito_idp import CognitoIdentityProviderClient
    from mypy_boto3_dynamodb import DynamoDBClient
    from mypy_boto3_s3 import S3Client
    from mypy_boto3_sesv2 import SESV2Client
    from mypy_boto3_sqs import SQSClient

# A healthy endpoint of the region accepts in milliseconds; two lost SYNs (1 s, then 2 s) are an outage.
CONNECT_TIMEOUT_S = 2.0

# Clients wait for these two: DynamoDB answers in under 10 ms, SQS in under 50 ms. The second attempt covers a lost SYN.
STATE_CONNECT_TIMEOUT_S = 0.5
STATE_READ_TIMEOUT_S = 1.0
QUEUE_READ_TIMEOUT_S = 3.0
# Cognito hashes passwords, and S3 may hold a request while it scales; both are safe to ask twice.
IDENTITY_READ_TIMEOUT_S = 5.0
STORAGE_READ_TIMEOUT_S = 5.0
# Without an answer a mail's outcome is unknown, so SES gets a long time to answer.
MAIL_READ_TIMEOUT_S = 15.0

# No call waits longer than a moment for a circuit's state, and no mail for the copy of an answer; this limits the
# thread that would otherwise hang.
IMPATIENT_TIMEOUT_S = 0.5

# A health check has 2 s in total: enough for one lost SYN, but a slower answer counts as none.
HEALTH_QUERY_TIMEOUT_S = 1.2

# A second attempt hides a dropped connection; more would only add to an outage.
ATTEMPTS = 2
# boto3 would repeat a SendEmail whose answer was lost, and the recipient would get two mails.
MAIL_ATTEMPTS = 1

# Events of botocore: a request is about to be sent or sent again; an answer has arrived, or an error.
_CRASH_POINTS = ("before-send", "response-received")


def _build_client(
    service: str,
    *,
    read_timeout_s: float,
    connect_timeout_s: float = CONNECT_TIMEOUT_S,
    attempts: int = ATTEMPTS,
    **more: Any,
) -> Any:
    config = Config(
        connect_timeout=connect_timeout_s,
        read_timeout=read_timeout_s,
        retries={"mode": "standard", "total_max_attempts": attempts},
        # A frozen environment does not notice that its connections die; the kernel finds out before a request does.
        tcp_keepalive=True,
        **more,
    )
    build: Any = boto3.client
    client = build(service, config=config)
    client.meta.events.register("before-send", partial(_check_deadline, connect_timeout_s + read_timeout_s))
    for event in _CRASH_POINTS:
        client.meta.events.register(event, _pass_crash_point)
    return client


def _check_deadline(longest_s: float, **_event: object) -> None:
    """Run before each attempt; raise OutOfTime if the attempt could outlast the current deadline."""
    until = deadline.get_deadline()
    if until is not None and until.seconds_left < longest_s:
        raise OutOfTime


def _pass_crash_point(event_name: str, **_facts: Any) -> None:
    crash_point(event_name)


@cache
def get_dynamodb() -> "DynamoDBClient":
    """Return the client of the state table."""
    client: DynamoDBClient = _build_client(
        "dynamodb", connect_timeout_s=STATE_CONNECT_TIMEOUT_S, read_timeout_s=STATE_READ_TIMEOUT_S
    )
    return client


@cache
def get_impatient_dynamodb() -> "DynamoDBClient":
    """Return the client of what must not wait for the table, circuits' states and the relay's copies of answers.

    It has a short timeout and makes one attempt.
    """
    client: DynamoDBClient = _build_client(
        "dynamodb", connect_timeout_s=IMPATIENT_TIMEOUT_S, read_timeout_s=IMPATIENT_TIMEOUT_S, attempts=1
    )
    return client


@cache
def get_sqs() -> "SQSClient":
    """Return the client of the job queues and the wake-up queue."""
    client: SQSClient = _build_client("sqs", read_timeout_s=QUEUE_READ_TIMEOUT_S)
    return client


@cache
def get_cognito() -> "CognitoIdentityProviderClient":
    """Return the client of the user pool."""
    client: CognitoIdentityProviderClient = _build_client("cognito-idp", read_timeout_s=IDENTITY_READ_TIMEOUT_S)
    return client


@cache
def get_s3() -> "S3Client":
    """Return the client of the documents' bucket.

    With virtual addressing presigned links name the bucket's own region. boto3 would sign for the global name, which
    redirects uploads to a young bucket, and a POST does not survive a redirect.
    """
    client: S3Client = _build_client(
        "s3",
        read_timeout_s=STORAGE_READ_TIMEOUT_S,
        signature_version="s3v4",
        s3={"addressing_style": "virtual"},
    )
    return client


@cache
def get_health_client(service: str) -> Any:
    """Return a service's client for health queries: it has a short timeout and makes one attempt."""
    return _build_client(
        service, connect_timeout_s=HEALTH_QUERY_TIMEOUT_S, read_timeout_s=HEALTH_QUERY_TIMEOUT_S, attempts=1
    )


@cache
def get_sesv2() -> "SESV2Client":
    """Return the client that sends mail: each call is sent once."""
    client: SESV2Client = _build_client("sesv2", read_timeout_s=MAIL_READ_TIMEOUT_S, attempts=MAIL_ATTEMPTS)
    return client


def sign_database_password(*, host: str, port: int, user: str) -> str:
    """Return a password for an IAM database login, valid for 15 minutes; signed locally, without a call."""
    token: str = _get_rds().generate_db_auth_token(DBHostname=host, Port=port, DBUsername=user)
    return token


@cache
def _get_rds() -> Any:
    return boto3.client("rds")
