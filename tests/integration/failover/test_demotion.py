"""A writer that has become a reader takes connections and answers: nothing ends them but we."""

from collections.abc import Mapping

import pytest

from members.app import api
from shared.database.pipeline import Database
from tests.api_client import ApiClient, make_container
from tests.databases import FreshDatabase, PostgresHandle
from tests.failover.relay import TcpRelay, relay_to
from tests.failover.servers import configure, look, promote, wait_until
from tests.fakes.admission import InMemoryAdmissionStore
from tests.fakes.relay_waker import FakeRelayWaker
from tests.integration.function_client import get_next_serial
from tests.roles import SESSION_OF_A_FUNCTION
from tests.sample_people import make_person

pytestmark = pytest.mark.timed

SESSIONS = f"SELECT count(*) FROM pg_stat_activity WHERE {SESSION_OF_A_FUNCTION}"


class RelayedEnvironment:
    """The members function behind a relay, and the retries of its transactions."""

    def __init__(self, fresh_database: FreshDatabase, relay: TcpRelay) -> None:
        settings = fresh_database.direct.model_copy(update={"db_port": relay.port})
        container = make_container(settings, admission_store=InMemoryAdmissionStore(), queues=FakeRelayWaker())
        self.retries: list[Mapping[str, object]] = []
        container.__dict__["database"] = Database(container.connector, observer=self._note_event)
        self.client = ApiClient(api, container)

    def _note_event(self, event: str, facts: Mapping[str, object]) -> None:
        if event == "transaction_retried":
            self.retries.append(facts)

    def register(self, key: str | None = None) -> int:
        """Register somebody; return the status."""
        return self.client.call("POST", "/members", make_person(), key=key or f"key-{get_next_serial()}").status


def test_a_demoted_writer_is_left_at_once(pair: tuple[FreshDatabase, PostgresHandle]) -> None:
    """After its first refusal the second try uses a new connection, which leads to the new writer."""
    fresh_database, standby = pair
    with relay_to(fresh_database.postgres.server.port) as relay:
        environment = RelayedEnvironment(fresh_database, relay)
        assert environment.register() == 201
        configure(fresh_database.postgres, "default_transaction_read_only = on")
        wait_until(
            lambda: look(fresh_database.postgres, "SHOW transaction_read_only") == "on", "the writer was not demoted"
        )
        take_over(standby)
        relay.retarget(standby.server.port, cut=False)
        assert environment.register() == 201
        assert [(facts["sqlstate"], facts["attempt"]) for facts in environment.retries] == [("25006", 1)]
        assert relay.made == 2
    assert FreshDatabase(standby, fresh_database.name).count("members") == 2
    wait_until(lambda: look(fresh_database.postgres, SESSIONS) == 0, "the demoted writer was not left")


def test_a_reader_is_left_at_each_try_until_there_is_a_writer(pair: tuple[FreshDatabase, PostgresHandle]) -> None:
    """A standby that is not promoted yet: the client learns when to come back, and then its call is done once."""
    fresh_database, standby = pair
    with relay_to(standby.server.port) as relay:
        environment = RelayedEnvironment(fresh_database, relay)
        assert environment.register("patient") == 503
        assert [facts["sqlstate"] for facts in environment.retries] == ["25006"]  # all that was saved for
        assert relay.made == 2
        take_over(standby)
        assert environment.register("patient") == 201
        assert relay.made == 3
    assert FreshDatabase(standby, fresh_database.name).count("members") == 1


def take_over(standby: PostgresHandle) -> None:
    """Promote, and wait until it takes writes."""
    promote(standby)
    wait_until(lambda: look(standby, "SELECT pg_is_in_recovery()") is False, "the standby was not promoted")
