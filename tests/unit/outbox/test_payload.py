"""A job's payload is read again as it was stored."""

import json
from uuid import UUID

import pytest

from shared.outbox.payload import PAYLOAD_SQL, IdentityPayload, MailPayload

ACCOUNT = UUID(int=7)


@pytest.mark.parametrize("account_id", [ACCOUNT, None])
def test_a_stored_mail_is_read_as_the_same(account_id: UUID | None) -> None:
    """To an account or to the claims desk, with its facts."""
    mail = MailPayload.to_account("claim-moved", account_id, {"reason": "ë"})
    assert MailPayload.read(json.loads(mail.format_json())) == mail
    assert mail.is_to_desk == (account_id is None)


def test_a_mail_that_was_sent_has_no_facts_any_more() -> None:
    """The database deletes them when the job is done."""
    assert MailPayload.read({"template": "claim-moved", "to": "desk"}) == MailPayload("claim-moved", "desk", {})


def test_a_stored_sign_in_is_read_as_the_same() -> None:
    """Its account is an id again."""
    sign_in = IdentityPayload(ACCOUNT, "agent")
    assert IdentityPayload.read(json.loads(sign_in.format_json())) == sign_in


def test_statements_can_name_each_part_of_the_format() -> None:
    """The names stand in braces."""
    assert set(PAYLOAD_SQL) == {"enqueue_mails", "account_of_job", "template_of_job"}
