"""The mailer on SES, which sends one mail to one person."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from email.utils import parseaddr
from typing import TYPE_CHECKING, Protocol

from shared.aws.errors import (
    BOTO_ERRORS,
    AwsError,
    BotoError,
    OperatorActionNeeded,
    RequestRejected,
    classify_error,
    read_error_code,
    read_error_message,
)

if TYPE_CHECKING:
    from mypy_boto3_sesv2 import SESV2Client


@dataclass(frozen=True, slots=True)
class Mail:
    """A mail to send: its recipient, its subject, its body as text and as HTML, and headers of our own."""

    to: str
    subject: str
    text: str
    html: str
    headers: Mapping[str, str] = field(default_factory=dict)


class Mailer(Protocol):
    """The sender of mails, one per call."""

    def send(self, mail: Mail, *, tags: dict[str, str]) -> None:
        """Send the mail; `tags` (letters, digits, - and _) let a person trace it.

        Raise RequestRejected (it will never be sent), ServiceUnavailable (it was not sent, but may be later) or
        OutcomeUnknown (it may have been sent; sending it again could send it twice).
        """
        ...


class SesMailer:
    """A Mailer on SES."""

    def __init__(self, client: "SESV2Client", *, sender: str) -> None:
        """Take a client that does not repeat calls by itself, see clients.get_sesv2."""
        self._client = client
        self._sender = sender

    def send(self, mail: Mail, *, tags: dict[str, str]) -> None:
        """Send a mail through SES; see Mailer.send."""
        if not is_single_line(mail.to) or not is_single_line(mail.subject):
            raise RequestRejected("HeaderInjection")
        try:
            self._client.send_email(
                FromEmailAddress=self._sender,
                Destination={"ToAddresses": [mail.to]},
                Content={
                    "Simple": {
                        "Subject": {"Data": mail.subject, "Charset": "UTF-8"},
                        "Body": {
                            "Text": {"Data": mail.text, "Charset": "UTF-8"},
                            "Html": {"Data": mail.html, "Charset": "UTF-8"},
                        },
                        "Headers": [{"Name": name, "Value": value} for name, value in mail.headers.items()],
                    }
                },
                EmailTags=[{"Name": name, "Value": value} for name, value in tags.items()],
            )
        except BOTO_ERRORS as error:
            raise self._classify_error(error) from None
        finally:
            # A kept connection may be dead by the next mail, and the outcome of a mail written to a dead connection is
            # unknown. A handshake per mail costs some 20 ms; an uncertain mail costs a person's time.
            self._client.close()

    def _classify_error(self, error: BotoError) -> AwsError:
        # SES has one code for invalid content and for addresses that are not verified, which its message names. A
        # sender that is not verified is an operator's to fix; every mail would be rejected until then.
        if read_error_code(error) == "MessageRejected" and self._is_named_by(error):
            return OperatorActionNeeded("SenderNotVerified")
        return classify_error(error)

    def _is_named_by(self, error: BotoError) -> bool:
        sender = parseaddr(self._sender)[1].lower()
        # Whole addresses: a recipient's may begin or end like the sender's.
        return sender in re.split(r"[\s,;<>]+", read_error_message(error).lower())


def is_single_line(header: str) -> bool:
    """Return whether a header's value can end neither the header nor the headers."""
    return len(header.splitlines()) == 1 and not any(c in header for c in "\0\r\n")
