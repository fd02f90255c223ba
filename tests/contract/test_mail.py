"""The contract of Mailer: one suite over the fake that tests use and the SES that production uses.

Then SES on a wire that breaks.
"""

import json
import socket
import threading
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from uuid import uuid4

import pytest

from shared.aws import clients
from shared.aws.errors import AwsError, OperatorActionNeeded, OutcomeUnknown, RequestRejected, ServiceUnavailable
from tests.contract.emulated import use_aws_at
from tests.fakes.mailer import FakeMailer
from tests.services import EmulatorHandle, find_free_port
from worker.ses import Mail, Mailer, SesMailer

SENDER = "no-reply@interdomestik.test"
TAGS = {"job": "0199-1", "template": "claim-moved"}


def make_mail(to: str, *, subject: str = "Përshëndetje, Здраво") -> Mail:
    """Return a mail that no 7-bit path survives by luck."""
    return Mail(to, subject, "Një tekst\nme dy rreshta, ѓорѓи 🙂\n", "<p>Një <b>tekst</b> &amp; ѓорѓи 🙂</p>")


@dataclass(frozen=True)
class MailerSubject:
    """A mailer to hold to the contract, and who got what."""

    mailer: Mailer
    inbox: Callable[[str], list[Mail]]


def _list_inbox(url: str, to: str) -> list[Mail]:
    with urllib.request.urlopen(f"{url}/_ministack/ses/messages") as answer:
        accounts = json.load(answer)["messages"].values()
    found = (m for account in accounts for m in account if to in m["To"])
    return [Mail(to, m["Subject"], m["BodyText"], m["BodyHtml"]) for m in found]


@pytest.fixture(params=["fake", "ses"])
def subject(request: pytest.FixtureRequest) -> Iterator[MailerSubject]:
    """Yield a fake mailer, then a real one."""
    if request.param == "fake":
        fake = FakeMailer()
        yield MailerSubject(fake, lambda to: [mail for mail in fake.sent if mail.to == to])
        return
    emulator: EmulatorHandle = request.getfixturevalue("emulator")
    with use_aws_at(emulator.url):
        _verify(SENDER)
        yield MailerSubject(SesMailer(clients.get_sesv2(), sender=SENDER), lambda to: _list_inbox(emulator.url, to))


def test_a_mail_arrives_once_with_its_subject_text_and_html_as_written(subject: MailerSubject) -> None:
    """This holds for every script."""
    to = f"{uuid4().hex}@example.test"
    subject.mailer.send(make_mail(to), tags=TAGS)
    assert subject.inbox(to) == [make_mail(to)]


@pytest.mark.parametrize("line_end", ["\n", "\r\n", "\r", "\u2028", "\x85", "\0"])
def test_a_subject_or_address_of_two_lines_is_refused(subject: MailerSubject, line_end: str) -> None:
    """The text after a line's end could be a header of the sender's choice."""
    evil = f"{line_end}Bcc: all@example.test"
    with pytest.raises(RequestRejected):
        subject.mailer.send(make_mail("besa@example.test", subject=f"Hello{evil}"), tags=TAGS)
    with pytest.raises(RequestRejected):
        subject.mailer.send(make_mail(f"besa@example.test{evil}"), tags=TAGS)


def _verify(sender: str) -> None:
    try:
        clients.get_sesv2().create_email_identity(EmailIdentity=sender)
    except clients.get_sesv2().exceptions.AlreadyExistsException:
        return


@dataclass
class ScriptedMailServer:
    """A server that treats each request by a script of bytes: what it answers before it closes."""

    answer: bytes
    hangs: bool = False
    dies: bool = False
    requests: list[bytes] = field(default_factory=list)
    connections: int = 0
    over: threading.Event = field(default_factory=threading.Event)
    open: socket.socket | None = None

    def serve(self, listening: socket.socket) -> None:
        while not self.over.is_set():
            try:
                connection, _ = listening.accept()
            except OSError:
                return
            self.connections += 1
            self.open = connection
            with connection, suppress(OSError):  # the client may be gone first
                self._talk(connection)

    def _talk(self, connection: socket.socket) -> None:
        while request := _request(connection):
            self.requests.append(request)
            if self.hangs:
                self.over.wait(5)
            connection.sendall(self.answer)
            if self.hangs or self.dies:
                return


def _request(connection: socket.socket) -> bytes:
    received = b""
    while b"\r\n\r\n" not in received:
        chunk = connection.recv(65536)
        if not chunk:
            return b""
        received += chunk
    head, _, body = received.partition(b"\r\n\r\n")
    length = next(int(line[15:]) for line in head.split(b"\r\n") if line.lower().startswith(b"content-length:"))
    while len(body) < length:
        body += connection.recv(65536)
    return head + b"\r\n\r\n" + body


@contextmanager
def run_mail_server(
    answer: bytes = b"", *, hangs: bool = False, dies: bool = False
) -> Iterator[tuple[ScriptedMailServer, str]]:
    """Run a mail server on loopback; yield it and its address."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        served = ScriptedMailServer(answer, hangs, dies)
        thread = threading.Thread(target=served.serve, args=(listening,), daemon=True)
        thread.start()
        try:
            yield served, f"http://127.0.0.1:{listening.getsockname()[1]}"
        finally:
            served.over.set()
            listening.shutdown(socket.SHUT_RDWR)
            with suppress(OSError, AttributeError):
                served.open.shutdown(socket.SHUT_RDWR)  # type: ignore[union-attr]
            thread.join(5)


def make_http_answer(status: int, body: dict[str, str], error: str = "") -> bytes:
    """Return an answer of SES."""
    raw = json.dumps(body).encode()
    head = f"HTTP/1.1 {status} X\r\nContent-Type: application/json\r\nContent-Length: {len(raw)}\r\n"
    return (head + (f"x-amzn-ErrorType: {error}\r\n" if error else "") + "\r\n").encode() + raw


def send_to(url: str) -> None:
    """Send one mail with production's own client."""
    with use_aws_at(url):
        SesMailer(clients.get_sesv2(), sender=SENDER).send(make_mail("besa@example.test"), tags=TAGS)


def test_a_mail_carries_the_headers_of_its_sender() -> None:
    """By which its recipient's mail system and ours name the same request; the emulator forgets them."""
    mail = replace(make_mail("besa@example.test"), headers={"X-Request-Id": str(uuid4()), "X-Trace-Id": uuid4().hex})
    with run_mail_server(make_http_answer(200, {"MessageId": "1"})) as (served, url), use_aws_at(url):
        SesMailer(clients.get_sesv2(), sender=SENDER).send(mail, tags=TAGS)
    [request] = served.requests
    sent = json.loads(request.partition(b"\r\n\r\n")[2])["Content"]["Simple"]["Headers"]
    assert {header["Name"]: header["Value"] for header in sent} == mail.headers


@pytest.mark.parametrize(
    ("status", "error", "kind"),
    [
        (400, "MessageRejected", RequestRejected),
        (400, "MailFromDomainNotVerifiedException", OperatorActionNeeded),
        (404, "NotFoundException", OperatorActionNeeded),
        (400, "BadRequestException", RequestRejected),
        (429, "TooManyRequestsException", ServiceUnavailable),
        (400, "ThrottlingException", ServiceUnavailable),
        (400, "LimitExceededException", ServiceUnavailable),
        (400, "SendingPausedException", OperatorActionNeeded),
        (400, "AccessDeniedException", OperatorActionNeeded),
        (403, "AccessDeniedException", OperatorActionNeeded),
        (403, "ExpiredTokenException", OperatorActionNeeded),
        (400, "BrandNewException", OutcomeUnknown),
        (500, "InternalServiceErrorException", OutcomeUnknown),
        (503, "ServiceUnavailableException", OutcomeUnknown),
    ],
)
def test_the_answer_of_ses_decides_whether_the_mail_may_be_sent_again(
    status: int, error: str, kind: type[AwsError]
) -> None:
    """Refused for good, not now, or not known; and each mail leaves once, whatever the answer is."""
    with (
        run_mail_server(make_http_answer(status, {"message": "why"}, error)) as (served, url),
        pytest.raises(AwsError) as failed,
    ):
        send_to(url)
    assert type(failed.value) is kind
    assert failed.value.code == error
    assert len(served.requests) == 1


NOT_VERIFIED = "Email address is not verified. The following identities failed the check in region EU-CENTRAL-1: "


@pytest.mark.parametrize(
    ("named", "kind"),
    [
        (SENDER, OperatorActionNeeded),
        (f"besa@example.test, {SENDER}", OperatorActionNeeded),
        (f"besa@example.test,Interdomestik <{SENDER.upper()}>", OperatorActionNeeded),
        ("besa@example.test", RequestRejected),
        (f"besa.{SENDER}", RequestRejected),
        (f"{SENDER}.example.test", RequestRejected),
    ],
)
def test_a_sender_that_is_not_verified_is_an_operators_to_repair(named: str, kind: type[AwsError]) -> None:
    """SES has one code for it and for a recipient that its sandbox does not know, which holds up nobody else."""
    answer = make_http_answer(400, {"message": NOT_VERIFIED + named}, "MessageRejected")
    with run_mail_server(answer) as (_, url), pytest.raises(AwsError) as failed:
        send_to(url)
    assert type(failed.value) is kind
    assert "@" not in failed.value.code


def test_an_answer_that_never_comes_is_uncertain(monkeypatch: pytest.MonkeyPatch) -> None:
    """SES may have sent the mail, so it is not sent again."""
    monkeypatch.setattr(clients, "MAIL_READ_TIMEOUT_S", 0.3)
    with run_mail_server(hangs=True) as (served, url), pytest.raises(OutcomeUnknown):
        send_to(url)
    assert len(served.requests) == 1


@pytest.mark.parametrize("answer", [b"", b"HTTP/1."])
def test_a_connection_lost_before_the_answers_end_is_uncertain(answer: bytes) -> None:
    """The request was read to its end, and then came nothing, or half an answer."""
    with run_mail_server(answer, dies=True) as (served, url), pytest.raises(OutcomeUnknown):
        send_to(url)
    assert len(served.requests) == 1


def test_a_refused_connection_means_that_nothing_was_sent() -> None:
    """The mail may be sent later."""
    with pytest.raises(ServiceUnavailable):
        send_to(f"http://127.0.0.1:{find_free_port()}")


def test_each_mail_has_a_connection_of_its_own() -> None:
    """A connection that is kept alive may be dead by the next mail, which would then be uncertain for no reason."""
    with run_mail_server(make_http_answer(200, {"MessageId": "1"})) as (served, url), use_aws_at(url):
        mailer = SesMailer(clients.get_sesv2(), sender=SENDER)
        for _ in range(3):
            mailer.send(make_mail("besa@example.test"), tags=TAGS)
    assert served.connections == len(served.requests) == 3


def test_a_failure_holds_nothing_of_the_person() -> None:
    """SES quotes the address in its message; failures are logged."""
    answer = make_http_answer(400, {"message": "not verified: besa@example.test"}, "MessageRejected")
    with run_mail_server(answer) as (_, url), pytest.raises(RequestRejected) as refused:
        send_to(url)
    assert "besa" not in f"{refused.value!r} {refused.value.__cause__!r}"
    assert refused.value.__suppress_context__
