"""A mailer in memory."""

from collections.abc import Callable

from shared.aws.errors import RequestRejected
from worker.ses import Mail, is_single_line


class FakeMailer:
    """Keeps what was sent; `answer` is called for each mail before it is kept, and may raise."""

    def __init__(self, answer: Callable[[Mail], None] = lambda mail: None) -> None:
        self.answer = answer
        self.sent: list[Mail] = []
        self.tags: list[dict[str, str]] = []

    def send(self, mail: Mail, *, tags: dict[str, str]) -> None:
        if not is_single_line(mail.to) or not is_single_line(mail.subject):
            raise RequestRejected("HeaderInjection")
        self.answer(mail)
        self.sent.append(mail)
        self.tags.append(tags)
