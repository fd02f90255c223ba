"""Mail to an address that somebody has typed in: one a day, however often it is typed in."""

from typing import Any

import pytest

from agents.app import api as agents_api
from housekeeping.app import Housekeeper
from members.app import api
from shared.clock import read_utc_now
from tests.databases import FreshDatabase, make_deadline
from tests.fakes.documents import FakeDocumentStore
from tests.integration.function_client import get_next_serial, make_client
from tests.sample_people import make_applicant, make_person


def free(fresh_database: FreshDatabase, email: str) -> None:
    """Give an address free, as an operator does."""
    fresh_database.query_rows("UPDATE accounts SET email = 'freed.' || id || '@example.test' WHERE email = %s", email)


def register(fresh_database: FreshDatabase, email: str) -> str:
    """Register a member; the id."""
    reply = make_client(api, fresh_database).call(
        "POST", "/members", make_person(email=email), key=f"key-{get_next_serial()}"
    )
    assert reply.status == 201, reply.body
    return str(reply.json["id"])


def apply(fresh_database: FreshDatabase, email: str) -> str:
    """Apply as an agent; the id."""
    reply = make_client(agents_api, fresh_database).call(
        "POST", "/agents", make_applicant(email=email), key=f"key-{get_next_serial()}"
    )
    assert reply.status == 201, reply.body
    return str(reply.json["id"])


WAYS = {"member-welcome": register, "agent-received": apply}


def count_mails(fresh_database: FreshDatabase, ids: list[str], template: str) -> int:
    """Return how many mails of a template there are about these people."""
    query = "SELECT FROM outbox WHERE subject_id = ANY(%s::uuid[]) AND payload->>'template' = %s"
    return len(fresh_database.query_rows(query, ids, template))


@pytest.mark.parametrize("template", WAYS)
def test_an_address_gets_one_welcome_a_day(fresh_database: FreshDatabase, template: str) -> None:
    """Registered, freed and registered again, in whatever letters: one mail; a day later another."""
    email, ids = f"again{get_next_serial()}@example.test", []
    for written in (email, email.upper(), email):
        ids.append(WAYS[template](fresh_database, written))
        free(fresh_database, email)
    assert count_mails(fresh_database, ids, template) == 1
    for later, count in (("23 hours", 1), ("1 hour", 2)):
        fresh_database.query_rows(
            "UPDATE greetings SET sent_at = sent_at - %s::interval WHERE address = %s", later, email
        )
        ids.append(WAYS[template](fresh_database, email))
        free(fresh_database, email)
        assert count_mails(fresh_database, ids, template) == count


def test_each_address_and_each_kind_has_its_own(fresh_database: FreshDatabase) -> None:
    """A person who applied as an agent, was freed and became a member is still welcomed as a member."""
    email = f"both{get_next_serial()}@example.test"
    agent_id = apply(fresh_database, email)
    free(fresh_database, email)
    member_id = register(fresh_database, email)
    other = register(fresh_database, f"other{get_next_serial()}@example.test")
    assert count_mails(fresh_database, [agent_id], "agent-received") == 1
    assert count_mails(fresh_database, [member_id], "member-welcome") == 1
    assert count_mails(fresh_database, [other], "member-welcome") == 1


def test_the_sign_in_is_made_each_time(fresh_database: FreshDatabase) -> None:
    """Each call makes the sign-in; only the mail is held back."""
    email = f"sign-in{get_next_serial()}@example.test"
    ids: list[Any] = []
    for _ in range(2):
        ids.append(register(fresh_database, email))
        free(fresh_database, email)
    assert (
        len(
            fresh_database.query_rows(
                "SELECT FROM outbox WHERE subject_id = ANY(%s::uuid[]) AND kind = 'identity'", ids
            )
        )
        == 2
    )


def test_addresses_are_forgotten_after_a_day(fresh_database: FreshDatabase) -> None:
    """They are kept for nothing else."""
    young, old = f"young{get_next_serial()}@example.test", f"old{get_next_serial()}@example.test"
    for email in (young, old):
        register(fresh_database, email)
    fresh_database.query_rows("UPDATE greetings SET sent_at = sent_at - interval '25 hours' WHERE address = %s", old)
    done = Housekeeper(
        fresh_database.make_database(), FakeDocumentStore(), read_utc_now, "request-1", make_deadline()
    ).run()
    assert done["unsolicited_mails_deleted"] == 1
    assert {row["address"] for row in fresh_database.query_rows("SELECT address FROM greetings")} >= {young}
    assert fresh_database.query_rows("SELECT FROM greetings WHERE address = %s", old) == []
