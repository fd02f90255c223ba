"""The mailer on SES: what it asks SES for, and what it makes of each answer."""

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, cast

import pytest
from botocore.exceptions import BotoCoreError, ClientError, ReadTimeoutError

from shared.aws.errors import AwsError, OperatorActionNeeded, OutcomeUnknown, RequestRejected
from worker.ses import Mail, SesMailer, is_single_line

if TYPE_CHECKING:
    from mypy_boto3_sesv2 import SESV2Client

SENDER = "Interdomestik <No-Reply@interdomestik.test>"
MAIL = Mail("besa@example.test", "Përshëndetje", "Një tekst", "<p>Një tekst</p>", {"X-Request-Id": "r-1"})


@dataclass
class ScriptedSes:
    """A client of SES that keeps what it is asked for, and raises `error` if there is one."""

    error: ClientError | BotoCoreError | None = None
    requests: list[dict[str, Any]] = field(default_factory=list)
    closed: int = 0

    def send_email(self, **request: Any) -> dict[str, str]:
        """See SESV2Client.send_email."""
        self.requests.append(request)
        if self.error is not None:
            raise self.error
        return {"MessageId": "1"}

    def close(self) -> None:
        """See SESV2Client.close."""
        self.closed += 1


def make_rejection(message: str, code: str = "MessageRejected") -> ClientError:
    """Return SES's answer that it does not take a mail."""
    return ClientError({"Error": {"Code": code, "Message": message}}, "SendEmail")


def send(client: ScriptedSes, mail: Mail = MAIL) -> None:
    """Send a mail by this client."""
    SesMailer(cast("SESV2Client", client), sender=SENDER).send(mail, tags={"job": "1", "template": "member-welcome"})


def test_ses_is_asked_for_the_whole_mail() -> None:
    """The request has both parts in UTF-8, the headers and the tags; the connection is closed after it."""
    client = ScriptedSes()
    send(client)
    assert client.requests == [
        {
            "FromEmailAddress": SENDER,
            "Destination": {"ToAddresses": ["besa@example.test"]},
            "Content": {
                "Simple": {
                    "Subject": {"Data": "Përshëndetje", "Charset": "UTF-8"},
                    "Body": {
                        "Text": {"Data": "Një tekst", "Charset": "UTF-8"},
                        "Html": {"Data": "<p>Një tekst</p>", "Charset": "UTF-8"},
                    },
                    "Headers": [{"Name": "X-Request-Id", "Value": "r-1"}],
                }
            },
            "EmailTags": [{"Name": "job", "Value": "1"}, {"Name": "template", "Value": "member-welcome"}],
        }
    ]
    assert client.closed == 1


@pytest.mark.parametrize(
    ("error", "kind", "code"),
    [
        (make_rejection("Email address is not verified: no-reply@interdomestik.test, x"), OperatorActionNeeded,
         "SenderNotVerified"),
        (make_rejection("not verified: <NO-REPLY@interdomestik.test>;besa@example.test"), OperatorActionNeeded,
         "SenderNotVerified"),
        (make_rejection("Email address is not verified: besa@example.test"), RequestRejected, "MessageRejected"),
        (make_rejection("not verified: xno-reply@interdomestik.test"), RequestRejected, "MessageRejected"),
        (make_rejection("not verified: no-reply@interdomestik.testing"), RequestRejected, "MessageRejected"),
        (make_rejection("no-reply@interdomestik.test", "BadRequestException"), RequestRejected, "BadRequestException"),
        (ReadTimeoutError(endpoint_url="https://email.example.test"), OutcomeUnknown, "ReadTimeoutError"),
    ],
)  # fmt: skip
def test_each_answer_has_its_exception_which_holds_only_a_code(
    error: ClientError | BotoCoreError, kind: type[AwsError], code: str
) -> None:
    """A sender that is not verified is an operator's to fix, and is known by its whole address in the message."""
    client = ScriptedSes(error)
    with pytest.raises(AwsError) as failed:
        send(client)
    assert (type(failed.value), failed.value.code) == (kind, code)
    assert failed.value.__cause__ is None
    assert failed.value.__suppress_context__
    assert client.closed == 1


@pytest.mark.parametrize("line_end", ["\n", "\r\n", "\r", "\u2028", "\x85", "\0"])
@pytest.mark.parametrize("field_name", ["to", "subject"])
def test_an_address_or_subject_of_two_lines_is_refused_before_ses_is_asked(field_name: str, line_end: str) -> None:
    """The text after a line's end could be a header of the sender's choice."""
    client = ScriptedSes()
    values = {"to": MAIL.to, "subject": MAIL.subject} | {field_name: f"a{line_end}Bcc: all@example.test"}
    with pytest.raises(RequestRejected) as refused:
        send(client, Mail(values["to"], values["subject"], "t", "h"))
    assert refused.value.code == "HeaderInjection"
    assert client.requests == []


@pytest.mark.parametrize(
    ("header", "is_single"),
    [("a", True), ("", False), ("a\n", False), ("a\r", False), ("\0", False), ("a\0b", False), ("a\x1fb", True)],
)
def test_a_line_has_an_end_only_where_mail_systems_see_one(header: str, is_single: bool) -> None:
    """A single line end at the end of the text is one too."""
    assert is_single_line(header) == is_single
