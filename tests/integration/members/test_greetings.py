"""Mail to an address that somebody has typed in: one a day, however often it is typed in."""

from typing import Any

import pytest

from agents.app import api as agents_api
from housekeeping.app import Housekeeper
from members.app import api
from shared.clock import read_utc_now
from tests.databases import Blank, soon
from tests.fakes.evidence import FakeEvidence
from tests.integration.room import room, serial
from tests.people import applicant, person


def free(blank: Blank, email: str) -> None:
    """Give an address free, as an operator does."""
    blank.rows("UPDATE accounts SET email = 'freed.' || id || '@example.test' WHERE email = %s", email)


def register(blank: Blank, email: str) -> str:
    """Register a member; the id."""
    reply = room(api, blank).call("POST", "/members", person(email=email), key=f"key-{serial()}")
    assert reply.status == 201, reply.body
    return str(reply.json["id"])


def apply(blank: Blank, email: str) -> str:
    """Apply as an agent; the id."""
    reply = room(agents_api, blank).call("POST", "/agents", applicant(email=email), key=f"key-{serial()}")
    assert reply.status == 201, reply.body
    return str(reply.json["id"])


WAYS = {"member-welcome": register, "agent-received": apply}


def mails(blank: Blank, ids: list[str], template: str) -> int:
    """How many mails of a template there are about these people."""
    query = "SELECT FROM outbox WHERE subject_id = ANY(%s::uuid[]) AND payload->>'template' = %s"
    return len(blank.rows(query, ids, template))


@pytest.mark.parametrize("template", WAYS)
def test_an_address_gets_one_welcome_a_day(blank: Blank, template: str) -> None:
    """Registered, freed and registered again, in whatever letters: one mail; a day later another."""
    email, ids = f"again{serial()}@example.test", []
    for written in (email, email.upper(), email):
        ids.append(WAYS[template](blank, written))
        free(blank, email)
    assert mails(blank, ids, template) == 1
    for later, count in (("23 hours", 1), ("1 hour", 2)):
        blank.rows("UPDATE greetings SET sent_at = sent_at - %s::interval WHERE address = %s", later, email)
        ids.append(WAYS[template](blank, email))
        free(blank, email)
        assert mails(blank, ids, template) == count


def test_each_address_and_each_kind_has_its_own(blank: Blank) -> None:
    """Who applied as an agent, was freed and became a member is still welcomed as one."""
    email = f"both{serial()}@example.test"
    agent_id = apply(blank, email)
    free(blank, email)
    member_id = register(blank, email)
    other = register(blank, f"other{serial()}@example.test")
    assert mails(blank, [agent_id], "agent-received") == 1
    assert mails(blank, [member_id], "member-welcome") == 1
    assert mails(blank, [other], "member-welcome") == 1


def test_the_sign_in_is_made_each_time(blank: Blank) -> None:
    """Only the mail is kept back."""
    email = f"sign-in{serial()}@example.test"
    ids: list[Any] = []
    for _ in range(2):
        ids.append(register(blank, email))
        free(blank, email)
    assert len(blank.rows("SELECT FROM outbox WHERE subject_id = ANY(%s::uuid[]) AND kind = 'identity'", ids)) == 2


def test_addresses_are_forgotten_after_a_day(blank: Blank) -> None:
    """They are kept for nothing else."""
    young, old = f"young{serial()}@example.test", f"old{serial()}@example.test"
    for email in (young, old):
        register(blank, email)
    blank.rows("UPDATE greetings SET sent_at = sent_at - interval '25 hours' WHERE address = %s", old)
    done = Housekeeper(blank.database(), FakeEvidence(), read_utc_now, "request-1", soon()).run()
    assert done["greetings_deleted"] == 1
    assert {row["address"] for row in blank.rows("SELECT address FROM greetings")} >= {young}
    assert blank.rows("SELECT FROM greetings WHERE address = %s", old) == []
