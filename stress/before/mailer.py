"""The sender of mails through SES, within the request that causes them."""

from typing import Any

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

REGION = "eu-central-1"
# No mail waits for a connection: as many as the thread pool has threads. botocore itself would keep ten.
CONNECTIONS = 40
TIMEOUT_S = 15.0  # for SES's answer, as the service waits


class MailNotSent(Exception):
    """SES did not take the mail, or did not answer."""


class RequestMailer:
    """A mailer that makes one attempt; `sender` is the address that mails come from."""

    def __init__(self, endpoint: str, *, sender: str) -> None:
        self._sender = sender
        # The credentials are the emulator's: it takes any.
        self._client: Any = boto3.client(
            "sesv2",
            endpoint_url=endpoint,
            region_name=REGION,
            aws_access_key_id="local",
            aws_secret_access_key="local",  # noqa: S106
            config=Config(
                retries={"total_max_attempts": 1},
                connect_timeout=2,
                read_timeout=TIMEOUT_S,
                max_pool_connections=CONNECTIONS,
            ),
        )

    def send(self, to: str, subject: str, text: str) -> None:
        """Send a mail, and return once SES has it. Raise MailNotSent."""
        content = {"Subject": {"Data": subject}, "Body": {"Text": {"Data": text}}}
        try:
            self._client.send_email(
                FromEmailAddress=self._sender, Destination={"ToAddresses": [to]}, Content={"Simple": content}
            )
        except (ClientError, BotoCoreError) as error:
            raise MailNotSent(type(error).__name__) from error
