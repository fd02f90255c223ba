"""The priority of each mail: what a person waits for goes before what can wait."""

import tomllib

from tests.services import ROOT
from tests.settings.deployed import list_mail_priorities

# Somebody who has just registered looks at their mailbox; scheduled mails may wait behind all others.
PRIORITIES = {
    "member-welcome": "high",
    "agent-received": "normal",
    "agent-approved": "normal",
    "agent-rejected": "normal",
    "membership-renewed": "normal",
    "membership-cancelled": "normal",
    "claim-received": "normal",
    "claim-moved": "normal",
    "documents-requested": "normal",
    "staff-new-claim": "normal",
    "staff-sla-breach": "low",
    "membership-ends-soon": "low",
    "membership-ends-shortly": "low",
    "membership-ends-today": "low",
    "membership-ended": "low",
}


def test_every_mail_has_the_priority_decided_on() -> None:
    """The code or SQL that writes it to the outbox gives it."""
    assert list_mail_priorities() == PRIORITIES


def test_every_mail_that_has_words_is_written_by_somebody() -> None:
    """No mail is written without words."""
    words = tomllib.loads((ROOT / "functions/worker/worker/mails/en.toml").read_text(encoding="utf-8"))
    assert set(words["mail"]) == set(PRIORITIES)
