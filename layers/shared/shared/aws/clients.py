"""The only place that builds boto3 clients: one of each per process, on first use.

Region, credentials and, locally, `AWS_ENDPOINT_URL` come from the environment, as boto3 reads it.
boto3's own timeouts (60 s to connect, 60 s to read, 5 attempts) outlive any request of ours, so each
client states its own. Seconds everywhere.
"""

from functools import cache
from typing import TYPE_CHECKING, Any

import boto3
from botocore.config import Config

if TYPE_CHECKING:
    from mypy_boto3_cognito_idp import CognitoIdentityProviderClient
    from mypy_boto3_dynamodb import DynamoDBClient
    from mypy_boto3_s3 import S3Client
    from mypy_boto3_sesv2 import SESV2Client
    from mypy_boto3_sqs import SQSClient

# A healthy endpoint of the region accepts in milliseconds; two lost SYNs (1 s, then 2 s) are an outage.
CONNECT_TIMEOUT_S = 2.0

# Requests wait for these two: DynamoDB answers in under 10 ms, SQS in under 50 ms.
STATE_READ_TIMEOUT_S = 1.0
QUEUE_READ_TIMEOUT_S = 3.0
# Cognito hashes passwords and S3 may hold a request while it scales; both are safe to ask twice.
IDENTITY_READ_TIMEOUT_S = 5.0
STORAGE_READ_TIMEOUT_S = 5.0
# An answer missed is a mail of unknown fate, so SES gets long to answer.
MAIL_READ_TIMEOUT_S = 15.0

# A health check has 2 s in all: one lost SYN is survived, and an answer that takes longer is none.
PROBE_TIMEOUT_S = 1.2

# One more try hides a dropped connection; more would only feed an outage.
ATTEMPTS = 2
# boto3 would repeat a SendEmail whose answer was lost, and the person would get two.
MAIL_ATTEMPTS = 1


def _config(*, read_timeout_s: float, attempts: int = ATTEMPTS, **more: Any) -> Config:
    return Config(
        connect_timeout=CONNECT_TIMEOUT_S,
        read_timeout=read_timeout_s,
        retries={"mode": "standard", "total_max_attempts": attempts},
        # A frozen environment's connections die unseen; the kernel finds out before a request does.
        tcp_keepalive=True,
        **more,
    )


@cache
def dynamodb() -> "DynamoDBClient":
    """Return the client of the state table."""
    return boto3.client("dynamodb", config=_config(read_timeout_s=STATE_READ_TIMEOUT_S))


@cache
def sqs() -> "SQSClient":
    """Return the client of the job queues and the nudge queue."""
    return boto3.client("sqs", config=_config(read_timeout_s=QUEUE_READ_TIMEOUT_S))


@cache
def cognito() -> "CognitoIdentityProviderClient":
    """Return the client of the user pool."""
    return boto3.client("cognito-idp", config=_config(read_timeout_s=IDENTITY_READ_TIMEOUT_S))


@cache
def s3() -> "S3Client":
    """Return the client of the evidence bucket.

    Virtual addressing makes presigned links name the bucket's own region; the global name that boto3
    would sign for answers a young bucket's upload with a redirect, which a POST does not survive.
    """
    return boto3.client(
        "s3",
        config=_config(
            read_timeout_s=STORAGE_READ_TIMEOUT_S,
            signature_version="s3v4",
            s3={"addressing_style": "virtual"},
        ),
    )


@cache
def probing(service: str) -> Any:
    """Return a client of a service that soon gives up and never tries twice: one that asks how the service is."""
    build: Any = boto3.client
    config = _config(read_timeout_s=PROBE_TIMEOUT_S, attempts=1)
    return build(service, config=config.merge(Config(connect_timeout=PROBE_TIMEOUT_S)))


@cache
def sesv2() -> "SESV2Client":
    """Return the client that sends mail: each call leaves once."""
    return boto3.client("sesv2", config=_config(read_timeout_s=MAIL_READ_TIMEOUT_S, attempts=MAIL_ATTEMPTS))


def database_token(*, host: str, port: int, user: str) -> str:
    """Return a password for an IAM database login, good for 15 minutes; signed here, without a call."""
    token: str = boto3.client("rds").generate_db_auth_token(DBHostname=host, Port=port, DBUsername=user)
    return token
